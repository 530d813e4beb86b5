package bolt_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/bolt"
)

// children are what a child process can be told to do.
var children = map[string]func(path string) error{
	"work":    work,
	"create":  createOnly,
	"full":    func(path string) error { return limited(path) },
	"compact": compacting,
	"forget":  forgetting,
	"settle":  settleAndDie,
}

// createOnly makes a store, again and again under new names, saying so before each.
func createOnly(path string) error {
	fmt.Println("go")
	d, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		return err
	}
	fmt.Println("made")
	return d.Close()
}

// settled is how many deliveries settleAndDie has acknowledged.
const settled = 100

// settleAndDie delivers and kills itself right after the last acknowledgement, with one more job claimed.
func settleAndDie(path string) error {
	d, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		return err
	}
	if err := begin(d); err != nil {
		return err
	}
	var rows []store.Row
	for n := range settled + 10 {
		rows = append(rows, call(fmt.Sprintf("call%03d", n), n))
	}
	if _, err := d.Ingest(pageOf(len(rows)-1, rows...)); err != nil {
		return err
	}
	refs, _, err := d.Scan("hook", nil, len(rows), nil)
	if err != nil {
		return err
	}
	if _, err := d.Claim(context.Background(), refs[:settled+1]); err != nil {
		return err
	}
	acks := make(chan error, settled)
	for _, ref := range refs[:settled] {
		go func() {
			_, err := d.Settle(context.Background(), store.Outcome{Job: ref, Verdict: store.Delivered, At: noon})
			acks <- err
		}()
	}
	for range settled {
		if err := <-acks; err != nil {
			return err
		}
	}
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// What was acknowledged survives a kill of the process, the claim of what was under way with it.
func TestKilledRightAfterSettling(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	cmd, out := child(t, "settle", path)
	said, err := io.ReadAll(out)
	if err := errors.Join(err, cmd.Wait()); len(said) > 0 || err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the child ended with %v: %s", err, said)
	}
	d := open(t, path)
	defer d.Close() //nolint:errcheck // only read
	st, err := d.Stats()
	if err != nil || st.Dests[1].Delivered != settled || st.Dests[1].Pending != 10 {
		t.Fatalf("%+v, %v", st.Dests, err)
	}
	refs, _, err := d.Scan("hook", nil, 100, nil)
	if err != nil || len(refs) != 10 || refs[0].Attempts != 1 || refs[1].Attempts != 0 {
		t.Fatalf("what was under way may have arrived, the others not: %+v, %v", refs, err)
	}
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
}

// claim claims one job.
func claim(d store.Store, ref store.JobRef) (*store.Job, error) {
	claimed, err := d.Claim(context.Background(), []store.JobRef{ref})
	if err != nil {
		return nil, err
	}
	return claimed[0].Job, claimed[0].Err
}

// work ingests pages and delivers them with four workers a destination, and prints what was acknowledged, each line in one write.
func work(path string) error {
	d, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		return err
	}
	if err := begin(d); err != nil {
		return err
	}
	st, err := d.Stats()
	if err != nil {
		return err
	}
	n := int(st.Watermark.Sub(noon) / time.Second)
	var mu sync.Mutex
	say := func(format string, a ...any) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = os.Stdout.WriteString(fmt.Sprintf(format, a...) + "\n")
	}
	errs := make(chan error, 9)
	for _, x := range spec {
		for slot := range 4 {
			go func() { errs <- courier(d, x.Name, slot, say) }()
		}
	}
	go func() {
		for {
			var rows []store.Row
			var ids []string
			for range 1 + rand.IntN(20) {
				n++
				id := "c" + strconv.Itoa(n)
				rows = append(rows, call(id, n))
				ids = append(ids, id)
			}
			if _, err := d.Ingest(pageOf(n, rows...)); err != nil {
				errs <- err
				return
			}
			say("stored %s", strings.Join(ids, " "))
		}
	}()
	return <-errs
}

// courier delivers the lanes that fall to it, one of four.
func courier(d store.Store, dest string, slot int, say func(string, ...any)) error {
	ctx := context.Background()
	for {
		refs, _, err := d.Scan(dest, nil, 256, nil)
		if err != nil {
			return err
		}
		for _, ref := range refs {
			if l := ref.Lane; int(l[len(strings.TrimRight(string(l[:]), "\x00"))-1])%4 != slot {
				continue
			}
			job, err := claim(d, ref)
			if err != nil {
				return err
			}
			if job == nil {
				return errors.New("a job is gone that nobody else can have taken")
			}
			o := store.Outcome{Job: job.JobRef, At: noon}
			switch n := rand.IntN(10); {
			case n < 7:
				o.Verdict = store.Delivered
			case n < 8:
				o.Verdict, o.Error = store.Dead, "refused"
			case n < 9:
				o.Verdict, o.Error, o.Due = store.Retry, "busy", noon
			default:
				if err := d.SaveRefs(ctx, job.JobRef, map[string]string{"contact": ref.ID}); err != nil {
					return err
				}
				say("refs %s %s", dest, ref.ID)
				o.Verdict = store.Release
			}
			if o.Verdict == store.Delivered {
				say("sent %s %s", dest, ref.ID)
			}
			if _, err := d.Settle(ctx, o); err != nil {
				return err
			}
			say("settled %s %s %d", dest, ref.ID, o.Verdict)
		}
	}
}

// child starts this binary in a mode; its lines are sent until it ends.
func child(t *testing.T, mode, path string) (*exec.Cmd, io.ReadCloser) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childMode+"="+mode, childPath+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// A process killed at any time loses nothing that was acknowledged and leaves nothing half done.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	stored := map[string]bool{}
	type way struct{ dest, id string }
	settled, acknowledged := map[way]store.Verdict{}, map[way]bool{}
	sent, refs := map[way]int{}, map[way]bool{}
	doubled := 0
	const rounds = 30
	for round := range rounds {
		cmd, out := child(t, "work", path)
		kill := time.AfterFunc(time.Duration(20+rand.IntN(180))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		for s := bufio.NewScanner(out); s.Scan(); {
			f := strings.Fields(s.Text())
			switch f[0] {
			case "stored":
				for _, id := range f[1:] {
					stored[id] = true
				}
			case "settled":
				v, _ := strconv.Atoi(f[3])
				settled[way{f[1], f[2]}] = store.Verdict(v)
				acknowledged[way{f[1], f[2]}] = true
			case "sent":
				w := way{f[1], f[2]}
				if settled[w] == store.Delivered && acknowledged[w] {
					t.Errorf("%s was delivered to %s again", f[2], f[1])
				}
				if sent[w]++; sent[w] > 1 {
					doubled++
				}
			case "refs":
				refs[way{f[1], f[2]}] = true
			default:
				t.Errorf("the child says: %s", s.Text())
			}
		}
		_ = cmd.Wait()
		kill.Stop()
		d := open(t, path)
		if err := d.Check(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for id := range stored {
			l, err := d.Life(id)
			if err != nil {
				t.Fatalf("round %d: %s was stored: %v", round, id, err)
			}
			for _, x := range l.Dests {
				w := way{x.Dest, id}
				v, done := settled[w]
				if done && (v == store.Delivered) && x.State != "delivered" || done && v == store.Dead && x.State != "dead" {
					t.Fatalf("round %d: %s at %s was settled %d and is %s", round, id, x.Dest, v, x.State)
				}
				if refs[w] && x.Refs["contact"] != id {
					t.Fatalf("round %d: the refs of %s at %s are lost", round, id, x.Dest)
				}
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(stored) < rounds || len(settled) < rounds {
		t.Fatalf("too little was done: %d stored, %d settled", len(stored), len(settled))
	}
	if most := rounds * 4 * len(spec); doubled > most {
		t.Fatalf("%d deliveries were repeated, more than one a worker and kill (%d)", doubled, most)
	}
	t.Logf("%d calls, %d settlements, %d repeated in %d kills", len(stored), len(settled), doubled, rounds)
}

// A kill while the store is made does not stand in the way of the next start.
func TestKillWhileMaking(t *testing.T) {
	made := 0
	for range 40 {
		path := filepath.Join(t.TempDir(), "state.db")
		for range 2 {
			cmd, out := child(t, "create", path)
			s := bufio.NewScanner(out)
			s.Scan()
			time.Sleep(time.Duration(rand.IntN(4_000)) * time.Microsecond)
			_ = cmd.Process.Kill()
			if s.Scan() && s.Text() == "made" {
				made++
			}
			_ = cmd.Wait()
		}
		d := open(t, path)
		if err := begin(d); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(d.Check(), d.Close()); err != nil {
			t.Fatal(err)
		}
		open(t, path).Close() //nolint:errcheck // it opens
	}
	t.Logf("%d of 80 were made before the kill", made)
}
