package jsonl_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/jsonl"
)

func put(t testing.TB, w crm.Writer, n int) {
	t.Helper()
	if err := w.Write(context.Background(), crmtest.Completed(n), crm.NewProgress(nil, nil)); err != nil {
		t.Fatal(err)
	}
}

// begun returns a file with calls 1 to n and its writer.
func begun(t testing.TB, n int) (path string, w *jsonl.Writer) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "calls.jsonl")
	w = open(t, path)
	t.Cleanup(func() { _ = w.Close() })
	for i := range n {
		put(t, w, i+1)
	}
	return path, w
}

func keysOf(t testing.TB, path string) string {
	t.Helper()
	var out []string
	for _, d := range deliveries(t, path) {
		out = append(out, strings.TrimSuffix(strings.TrimPrefix(d.Key, "cal-test0000"), "-completed-1"))
	}
	return strings.Join(out, " ")
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func overwrite(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestGolden(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	w := open(t, path)
	p := crm.NewProgress(nil, nil)
	bare := crm.Entry{Event: crm.CallUpdated, Key: "cal-bare-updated-2", Revision: 2, Attempt: 3, Late: true, Call: crm.Call{ID: "cal_bare"}}
	for _, e := range []crm.Entry{crmtest.Full(1), crmtest.Transcribed(1), bare} {
		if err := w.Write(t.Context(), e, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	crmtest.Golden(t, "testdata/golden.jsonl", read(t, path))
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// Wherever a line was cut, only the cut one goes, and the next write follows a whole line.
func TestTornLine(t *testing.T) {
	path, w := begun(t, 3)
	_ = w.Close()
	whole := read(t, path)
	last := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1
	for cut := last; cut <= len(whole); cut++ {
		if cut > last+20 && cut < len(whole)-20 && cut%23 != 0 {
			continue // the middle of a line is all alike
		}
		overwrite(t, path, whole[:cut])
		w := open(t, path)
		put(t, w, 4)
		_ = w.Close()
		want := "1 2 4"
		if cut >= len(whole)-1 { // a line that lacks only its end is whole
			want = "1 2 3 4"
		}
		if got := keysOf(t, path); got != want {
			t.Fatalf("cut at %d of %d: got %s, want %s", cut, len(whole), got, want)
		}
	}
}

// Another process that writes to the file may be killed too.
func TestTornByAnother(t *testing.T) {
	path, w := begun(t, 2)
	whole := read(t, path)
	overwrite(t, path, append(whole, whole[:50]...))
	put(t, w, 3)
	if got := keysOf(t, path); got != "1 2 3" {
		t.Errorf("got %s", got)
	}
}

func TestZerosAfterAPowerCut(t *testing.T) {
	path, w := begun(t, 2)
	_ = w.Close()
	whole := read(t, path)
	for _, tail := range []string{strings.Repeat("\x00", 4096), `{"event":"call.comp` + strings.Repeat("\x00", 100), `{"ev`} {
		overwrite(t, path, append(bytes.Clone(whole), tail...))
		w := open(t, path)
		put(t, w, 3)
		_ = w.Close()
		if got := keysOf(t, path); got != "1 2 3" {
			t.Errorf("%.20q: got %s", tail, got)
		}
	}
}

// What is not ours is left as it is, to the byte.
func TestForeignFile(t *testing.T) {
	for name, content := range map[string]string{
		"text": "root:x:0:0\n", "database": "SQLite format 3\x00 and more", "torn line of others": "{\"a\": 1}\n{\"b\": ",
	} {
		path := filepath.Join(t.TempDir(), "calls.jsonl")
		overwrite(t, path, []byte(content))
		w := open(t, path)
		err := w.Write(t.Context(), crmtest.Completed(1), crm.NewProgress(nil, nil))
		if crm.VerdictOf(err) != crm.Halt || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		if got := string(read(t, path)); got != content {
			t.Errorf("%s: is now %q", name, got)
		}
		_ = w.Close()
	}
	w := open(t, t.TempDir())
	if err := w.Write(t.Context(), crmtest.Completed(1), crm.NewProgress(nil, nil)); err == nil {
		t.Error("wrote to a directory")
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	w = open(t, pipe)
	if err := w.Write(t.Context(), crmtest.Completed(1), crm.NewProgress(nil, nil)); crm.VerdictOf(err) != crm.Halt {
		t.Errorf("a pipe: %v", err)
	}
}

func TestRotationByRename(t *testing.T) {
	path, w := begun(t, 2)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	put(t, w, 3)
	put(t, w, 2) // its acknowledgement was lost before the rotation
	if old, now := keysOf(t, path+".1"), keysOf(t, path); old != "1 2" || now != "3" {
		t.Errorf("old %q, new %q", old, now)
	}
}

func TestRotationByRenameAndCreate(t *testing.T) {
	path, w := begun(t, 1)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	put(t, w, 2)
	if old, now := keysOf(t, path+".1"), keysOf(t, path); old != "1" || now != "2" {
		t.Errorf("old %q, new %q", old, now)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o640 {
		t.Errorf("the mode that the rotation gave has become %s", info.Mode())
	}
}

func TestRotationByCopyTruncate(t *testing.T) {
	path, w := begun(t, 2)
	overwrite(t, path+".1", read(t, path))
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	put(t, w, 3)
	if got := read(t, path); bytes.IndexByte(got, 0) >= 0 || keysOf(t, path) != "3" {
		t.Errorf("got %q", got)
	}
}

func TestDeletedFile(t *testing.T) {
	path, w := begun(t, 1)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	put(t, w, 2)
	if got := keysOf(t, path); got != "2" {
		t.Errorf("got %q", got)
	}
}

// An entry whose acknowledgement got lost comes again: by the process that wrote it, or by the next one.
func TestRepeatAddsNoLine(t *testing.T) {
	path, w := begun(t, 3)
	put(t, w, 2)
	_ = w.Close()
	w = open(t, path)
	put(t, w, 1)
	put(t, w, 4)
	_ = w.Close()
	if got := keysOf(t, path); got != "1 2 3 4" {
		t.Errorf("got %q", got)
	}
}

func TestTwoWritersShareAFile(t *testing.T) {
	path, first := begun(t, 0)
	second := open(t, path)
	defer func() { _ = second.Close() }()
	var group sync.WaitGroup
	for i, w := range []*jsonl.Writer{first, second, first, second} {
		group.Go(func() {
			for n := range 50 {
				if err := w.Write(context.Background(), crmtest.Completed(i*50+n), crm.NewProgress(nil, nil)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	seen := map[string]bool{}
	for _, d := range deliveries(t, path) {
		seen[d.Key] = true
	}
	if len(seen) != 200 {
		t.Errorf("%d lines, want 200", len(seen))
	}
}

func TestLockedByAnother(t *testing.T) {
	path, w := begun(t, 1)
	other, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.Write(ctx, crmtest.Completed(2), crm.NewProgress(nil, nil)) }()
	cancel()
	if err := <-done; err == nil || ctx.Err() == nil {
		t.Errorf("got %v", err)
	}
	if err := w.Write(t.Context(), crmtest.Completed(3), crm.NewProgress(nil, nil)); crm.VerdictOf(err) != crm.Retry || !strings.Contains(fmt.Sprint(err), "lock") {
		t.Errorf("got %v", err)
	}
	if got := keysOf(t, path); got != "1" {
		t.Errorf("written beside the lock: %q", got)
	}
	_ = other.Close()
	put(t, w, 2)
	if got := keysOf(t, path); got != "1 2" {
		t.Errorf("got %q", got)
	}
}

func TestDiskFull(t *testing.T) {
	if !crmtest.Alone(t) {
		return
	}
	path, w := begun(t, 3)
	whole := read(t, path)
	for room := range 3 {
		lift := crmtest.LimitFiles(t, int64(len(whole)+room*200))
		err := w.Write(t.Context(), crmtest.Completed(4), crm.NewProgress(nil, nil))
		lift()
		if crm.VerdictOf(err) != crm.Retry || !strings.Contains(fmt.Sprint(err), path) {
			t.Errorf("room %d: %v", room*200, err)
		}
		if got := read(t, path); !bytes.Equal(got, whole) {
			t.Errorf("room %d: the file ends in %q", room*200, got[len(got)-20:])
		}
	}
	put(t, w, 4)
	if got := keysOf(t, path); got != "1 2 3 4" {
		t.Errorf("got %q", got)
	}
}

func TestMissingDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "later", "calls.jsonl")
	w := open(t, path)
	defer func() { _ = w.Close() }()
	err := w.Write(t.Context(), crmtest.Completed(1), crm.NewProgress(nil, nil))
	if crm.VerdictOf(err) != crm.Retry {
		t.Errorf("got %v", err)
	}
	if found := w.Check(t.Context(), nil); len(found) != 1 || found[0].Err == nil {
		t.Errorf("check: %+v", found)
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, w, 1)
	if found := w.Check(t.Context(), nil); len(found) != 1 || found[0].Err != nil {
		t.Errorf("check: %+v", found)
	}
}
