package bolt_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/bolt"
)

// dump lists all that a store's file holds, key by key.
func dump(t *testing.T, path string) string {
	t.Helper()
	b, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close() //nolint:errcheck // only read
	var out strings.Builder
	var walk func(name string, k *bbolt.Bucket) error
	walk = func(name string, k *bbolt.Bucket) error {
		fmt.Fprintf(&out, "%s #%d\n", name, k.Sequence())
		return k.ForEach(func(key, v []byte) error {
			if v == nil {
				return walk(fmt.Sprintf("%s/%x", name, key), k.Bucket(key))
			}
			fmt.Fprintf(&out, "%s %x=%x\n", name, key, v)
			return nil
		})
	}
	err = b.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, k *bbolt.Bucket) error { return walk(string(name), k) })
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestCompact(t *testing.T) {
	path, _ := filled(t)
	d := open(t, path)
	deliver(t, d, "crm", 200)
	deliver(t, d, "hook", 150)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	before := dump(t, path)
	traces := func() (n int) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 150 {
			n += bytes.Count(b, fmt.Appendf(nil, `{"id":"call%03d"`, i))
		}
		return n
	}
	if traces() == 0 {
		t.Fatal("the content that was delivered has left no trace to be removed")
	}
	d = open(t, path)
	r, err := d.Compact()
	if err != nil || r.After >= r.Before || r.After == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	// The same store, open as before.
	if _, err := d.Ingest(pageOf(500, call("new", 500))); err != nil {
		t.Fatal(err)
	}
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
	mentions(t, refused(t, path, store.ErrLocked), path)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if n := traces(); n > 0 {
		t.Fatalf("deleted content is still in the file, %d times", n)
	}
	if st, err := os.Stat(path); err != nil || st.Mode() != 0o600 {
		t.Fatal(st.Mode(), err)
	}
	d = open(t, path)
	if _, err := d.Compact(); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	after := strings.Split(dump(t, path), "\n")
	have := map[string]bool{}
	for _, l := range after {
		have[l] = true
	}
	lost := 0
	for l := range strings.SplitSeq(before, "\n") {
		if !have[l] && !strings.HasPrefix(l, "meta ") && !strings.HasPrefix(l, "dests ") { // these count
			lost++
			t.Log(l)
		}
	}
	if lost > 0 {
		t.Fatalf("%d records are lost", lost)
	}
}

// A damaged store is left as it is, and a copy that cannot be made leaves the store to go on.
func TestCompactRefuses(t *testing.T) {
	path, b := filled(t)
	write(t, path, bytes.ReplaceAll(b, []byte(`{"id":"call150"`), []byte(`{"id":"call15O"`)))
	d := open(t, path)
	if _, err := d.Compact(); !errors.Is(err, store.ErrDamaged) {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, path, b)
	d = open(t, path)
	if err := os.Mkdir(path+".compact", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(path+".compact", "x"), nil)
	_, err := d.Compact()
	if err == nil {
		t.Fatal("compacted")
	}
	mentions(t, err.Error(), path)
	if err := errors.Join(d.Check(), d.Close()); err != nil {
		t.Fatal(err)
	}
}

// The file is written anew while workers work: they wait, and nothing of theirs is lost.
func TestCompactBesideWork(t *testing.T) {
	path, _ := filled(t)
	d := open(t, path)
	deliver(t, d, "hook", 200)
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := range 60 {
			if _, err := d.Ingest(pageOf(300+n, call(fmt.Sprint("n", n), 300+n))); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for range 20 {
			refs, _, err := d.Scan("crm", nil, 3, nil)
			if err != nil {
				t.Error(err)
			}
			for _, ref := range refs {
				if _, err := d.Settle(context.Background(), store.Outcome{Job: ref, Verdict: store.Delivered, At: noon}); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for range 6 {
		if _, err := d.Compact(); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	st, err := d.Stats()
	if err != nil || st.Pending != 100+60*2-60 {
		t.Fatalf("%d jobs wait, %v", st.Pending, err)
	}
	if err := errors.Join(d.Check(), d.Close()); err != nil {
		t.Fatal(err)
	}
}

// A copy that is made while workers work is a whole store, as of one moment.
func TestCopyBesideWork(t *testing.T) {
	path, _ := filled(t)
	d := open(t, path)
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := range 60 {
			if _, err := d.Ingest(pageOf(300+n, call(fmt.Sprint("n", n), 300+n))); err != nil {
				t.Error(err)
			}
			deliver(t, d, "hook", 2)
		}
	})
	at := filepath.Join(t.TempDir(), "copy.db")
	for range 10 {
		var b bytes.Buffer
		if _, err := d.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		write(t, at, b.Bytes())
		// Of each call that was there from the beginning crm waits for half; of each later one both do until hook has it.
		if s, err := bolt.SurveyFile(at); err != nil || s.Calls < 200 || s.Jobs > 300+60*2 {
			t.Fatalf("%+v, %v", s, err)
		}
	}
	wg.Wait()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// compacting opens the store and writes it anew, again and again.
func compacting(path string) error {
	for {
		d, err := bolt.Open(path, bolt.Options{Timeout: 5 * time.Second})
		if err != nil {
			return err
		}
		fmt.Println("opened")
		for range 3 {
			if _, err := d.Compact(); err != nil {
				return err
			}
			fmt.Println("compacted")
		}
		if err := d.Close(); err != nil {
			return err
		}
	}
}

// A kill at any point of compacting leaves the whole store under its name.
func TestKillWhileCompacting(t *testing.T) {
	path, _ := filled(t)
	want := dump(t, path)
	done := 0
	for round := 0; round < 25 || done == 0; round++ {
		cmd, out := child(t, "compact", path)
		var kill *time.Timer // from the opened store on: how long a program takes to start depends on the machine
		for s := bufio.NewScanner(out); s.Scan(); {
			switch s.Text() {
			case "opened":
				if kill == nil {
					kill = time.AfterFunc(time.Duration(rand.IntN(80_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
				}
			case "compacted":
				done++
			default:
				t.Error(s.Text())
			}
		}
		_ = cmd.Wait()
		d := open(t, path)
		if _, err := os.Stat(path + ".compact"); err == nil {
			t.Error("what the kill left was not removed")
		}
		if err := errors.Join(d.Check(), d.Close()); err != nil {
			t.Fatal(err)
		}
		if dump(t, path) != want {
			t.Fatal("the content changed")
		}
	}
}

func TestSurvey(t *testing.T) {
	path, b := filled(t)
	d := open(t, path)
	s, err := d.Survey()
	if err != nil || s.Path != path || s.Calls != 200 || s.Jobs != 300 || s.Size == 0 || s.Used == 0 || s.Used > s.Size {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, err := bolt.SurveyFile(path); !errors.Is(err, store.ErrLocked) {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "backup.db")
	var buf bytes.Buffer
	if _, err := d.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, copied, buf.Bytes())
	got, err := bolt.SurveyFile(copied)
	if err != nil || got.Jobs != s.Jobs || got.Calls != s.Calls {
		t.Fatalf("%+v, %v", got, err)
	}
	if now, _ := os.ReadFile(copied); !bytes.Equal(now, buf.Bytes()) {
		t.Fatal("looking changed the file")
	}
	if _, err := os.Stat(copied + ".id"); err == nil {
		t.Fatal("looking made a marker")
	}
	for name, content := range map[string][]byte{
		"empty": nil, "foreign": []byte("a letter"), "cut": buf.Bytes()[:buf.Len()/2],
		"flipped": bytes.ReplaceAll(b, []byte(`{"id":"call150"`), []byte(`{"id":"call15O"`)),
	} {
		write(t, copied, content)
		if _, err := bolt.SurveyFile(copied); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
