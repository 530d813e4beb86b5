package bolt_test

import (
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

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/bolt"
)

// filled makes a store with calls in all stages and returns its path and content.
func filled(t *testing.T) (string, []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	d := open(t, path)
	if err := begin(d); err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		var rows []store.Row
		for k := range 10 {
			rows = append(rows, call(fmt.Sprintf("call%03d", n*10+k), n*10+k))
		}
		if _, err := d.Ingest(pageOf(n*10+9, rows...)); err != nil {
			t.Fatal(err)
		}
	}
	deliver(t, d, "crm", 100)
	var b bytes.Buffer // without the free end of the file
	if _, err := d.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, path, b.Bytes())
	return path, b.Bytes()
}

func deliver(t *testing.T, d store.Store, dest string, n int) {
	t.Helper()
	refs, _, err := d.Scan(dest, nil, n, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range refs {
		if _, err := d.Settle(context.Background(), store.Outcome{Job: ref, Verdict: store.Delivered, At: noon}); err != nil {
			t.Fatal(err)
		}
	}
}

// refused opens a store that must not be opened, and returns the message. The file must stay as it is.
func refused(t *testing.T, path string, want error) string {
	t.Helper()
	before, _ := os.ReadFile(path)
	d, err := bolt.Open(path, bolt.Options{Timeout: 50 * time.Millisecond})
	if err == nil {
		_ = d.Close()
		t.Fatalf("opened, want %v", want)
	}
	if !errors.Is(err, want) {
		t.Fatalf("%v, want %v", err, want)
	}
	after, _ := os.ReadFile(path)
	if !bytes.Equal(before, after) {
		t.Fatal("the file was changed")
	}
	return err.Error()
}

func mentions(t *testing.T, message string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(message, w) {
			t.Errorf("%q does not mention %q", message, w)
		}
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestForeign(t *testing.T) {
	for name, b := range map[string][]byte{
		"text":   []byte("vinfer:\n  base_url: x\n"),
		"sqlite": append([]byte("SQLite format 3\x00"), make([]byte, 8000)...),
		"noise":  bytes.Repeat([]byte{0xed, 1, 2, 3}, 10_000),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.db")
			write(t, path, b)
			mentions(t, refused(t, path, store.ErrDamaged), path)
		})
	}
}

func TestTruncated(t *testing.T) {
	path, b := filled(t)
	lengths := []int{1, 16, 511, 4095, 4096, 8191, 8192, 8193, 12288, 16384, len(b) / 2}
	for range 60 {
		lengths = append(lengths, 1+rand.IntN(len(b)-1))
	}
	opened := 0
	for _, n := range lengths {
		for _, marked := range []bool{true, false} {
			dir := t.TempDir()
			cut := filepath.Join(dir, "state.db")
			write(t, cut, b[:n])
			if marked {
				id, _ := os.ReadFile(path + ".id")
				write(t, cut+".id", id)
			}
			d, err := bolt.Open(cut, bolt.Options{})
			if err == nil { // only what is free was cut off
				opened++
				if err := errors.Join(d.Check(), d.Close()); err != nil {
					t.Fatalf("cut to %d of %d: %v", n, len(b), err)
				}
				continue
			}
			if !errors.Is(err, store.ErrDamaged) {
				t.Fatalf("cut to %d of %d: %v", n, len(b), err)
			}
			if now, _ := os.ReadFile(cut); !bytes.Equal(now, b[:n]) {
				t.Fatal("the file was changed")
			}
		}
	}
	t.Logf("%d of %d could be opened: the end of the file was free", opened, 2*len(lengths))
}

// A file that is cut off while it is open is an error, not the end of the process.
func TestTruncatedWhileOpen(t *testing.T) {
	path, _ := filled(t)
	d := open(t, path)
	if err := os.Truncate(path, 4096); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, _, err := d.Scan("hook", nil, 100, nil); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("scan: %v", err)
			}
			if _, err := d.Ingest(pageOf(500, call("new", 500))); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("ingest: %v", err)
			}
			if _, err := d.Settle(context.Background(), store.Outcome{Job: store.JobRef{Dest: "crm"}}); !errors.Is(err, store.ErrDamaged) {
				t.Errorf("settle: %v", err)
			}
		})
	}
	wg.Wait()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// A flipped byte is found out or does no harm, wherever it is; it never ends the process.
func TestFlippedByte(t *testing.T) {
	path, b := filled(t)
	id, _ := os.ReadFile(path + ".id")
	dir := t.TempDir()
	found := 0
	const times = 400
	for i := range times {
		flipped := filepath.Join(dir, fmt.Sprint("state", i))
		at := rand.IntN(len(b))
		c := bytes.Clone(b)
		c[at] ^= 1 << rand.IntN(8)
		write(t, flipped, c)
		write(t, flipped+".id", id)
		d, err := bolt.Open(flipped, bolt.Options{})
		if err == nil {
			err = d.Check()
			_, _ = d.Ingest(pageOf(500, call("new", 500)))
			for n := range 200 {
				_, _ = d.Life(fmt.Sprintf("call%03d", n))
			}
			_ = d.Close()
		}
		if err != nil {
			found++
			if !errors.Is(err, store.ErrDamaged) && !errors.Is(err, store.ErrNewer) {
				t.Fatalf("byte %d: %v", at, err)
			}
		}
		_ = os.Remove(flipped)
		_ = os.Remove(flipped + ".id")
	}
	t.Logf("%d of %d were found", found, times)
}

// A damaged body is found when it is claimed; the other jobs go on.
func TestFlippedBody(t *testing.T) {
	path, b := filled(t)
	want := []byte(`{"id":"call150"`)
	if !bytes.Contains(b, want) {
		t.Fatal("no such body")
	}
	write(t, path, bytes.ReplaceAll(b, want, []byte(`{"id":"call15O"`)))
	d := open(t, path)
	defer d.Close() //nolint:errcheck // nothing was written
	refs, _, err := d.Scan("hook", nil, 1000, nil)
	if err != nil || len(refs) != 200 {
		t.Fatalf("%d jobs, %v", len(refs), err)
	}
	for _, ref := range refs {
		job, err := claim(d, ref)
		if ref.ID != "call150" {
			if err != nil || job == nil {
				t.Fatalf("%s: %v", ref.ID, err)
			}
			continue
		}
		if !errors.Is(err, store.ErrDamaged) {
			t.Fatalf("the damaged job: %v", err)
		}
		mentions(t, err.Error(), "outbox", "call150")
	}
	claimed, err := d.Claim(context.Background(), []store.JobRef{refs[0], refs[150], refs[151]})
	if err != nil || claimed[0].Job == nil || !errors.Is(claimed[1].Err, store.ErrDamaged) || claimed[2].Job == nil {
		t.Fatalf("the others must be claimed though one is damaged: %+v, %v", claimed, err)
	}
	if _, err := d.Settle(context.Background(), store.Outcome{Job: refs[0], Verdict: store.Delivered, At: noon}); err != nil {
		t.Fatal(err)
	}
}

func TestLocked(t *testing.T) {
	path, _ := filled(t)
	d := open(t, path)
	mentions(t, refused(t, path, store.ErrLocked), path, fmt.Sprint("process ", os.Getpid()))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
}

// What root would write in a service's directory would lock the service out.
func TestOwner(t *testing.T) {
	path, _ := filled(t)
	err := os.Chown(filepath.Dir(path), 12345, -1)
	if os.Geteuid() != 0 { // then the system sees to it
		if err == nil {
			t.Fatal("gave a directory away")
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	refusedBy := func() {
		t.Helper()
		d, err := bolt.Open(path, bolt.Options{})
		if err == nil {
			_ = d.Close()
			t.Fatal("opened")
		}
		mentions(t, err.Error(), "12345", "run this as that user")
	}
	refusedBy()
	for name, uid := range map[string]int{filepath.Dir(path): 0, path: 12345} {
		if err := os.Chown(name, uid, -1); err != nil {
			t.Fatal(err)
		}
	}
	refusedBy()
	if err := os.Chown(path, 0, -1); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
}

// Of many that make the store at once, all get the same one, one after the other.
func TestMadeAtOnce(t *testing.T) {
	for range 10 {
		path := filepath.Join(t.TempDir(), "state.db")
		var mu sync.Mutex
		salts := map[string]bool{}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				d, err := bolt.Open(path, bolt.Options{Timeout: 30 * time.Second})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				st, err := d.Stats()
				salts[string(st.Salt)] = true
				mu.Unlock()
				if err := errors.Join(err, d.Close()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(salts) != 1 {
			t.Fatalf("%d stores were made", len(salts))
		}
	}
}

func TestClosed(t *testing.T) {
	path, _ := filled(t)
	d := open(t, path)
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Stats(); err == nil {
		t.Error("a closed store answers")
	}
	if _, err := d.Settle(context.Background(), store.Outcome{}); err == nil {
		t.Error("a closed store settles")
	}
	if _, err := d.Ingest(store.Page{}); err == nil {
		t.Error("a closed store ingests")
	}
}

// A copy made while work goes on is a whole store.
func TestCopy(t *testing.T) {
	path, _ := filled(t)
	d := open(t, path)
	defer d.Close() //nolint:errcheck // only read
	var b bytes.Buffer
	if _, err := d.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(t.TempDir(), "copy.db")
	write(t, at, b.Bytes())
	c := open(t, at)
	if err := errors.Join(c.Check(), c.Close()); err != nil {
		t.Fatal(err)
	}
}
