package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/sqlite"
)

func mkdir(path string) error { return os.MkdirAll(filepath.Dir(path), 0o700) }

func try(t testing.TB, w crm.Writer, n int) error {
	t.Helper()
	return w.Write(context.Background(), crmtest.Completed(n), crm.NewProgress(nil, nil))
}

func TestModes(t *testing.T) {
	path, _ := begun(t, crmtest.Completed(1))
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if info, err := os.Stat(path + suffix); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", suffix, info, err)
		}
	}
	expect(t, path, "PRAGMA journal_mode", "wal")
}

// What is not ours is left as it is, to the byte.
func TestUnusableFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	foreign, newer := file("foreign.db", nil), file("newer.db", nil)
	if _, err := shell(t, foreign).Exec("CREATE TABLE contacts (a)"); err != nil {
		t.Fatal(err)
	}
	put(t, open(t, newer)) // nothing yet
	w := open(t, newer)
	put(t, w, crmtest.Completed(1))
	_ = w.Close()
	if _, err := shell(t, newer).Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	damaged := file("damaged.db", nil)
	w = open(t, damaged)
	for n := range 200 {
		put(t, w, crmtest.Completed(n))
	}
	_ = w.Close()
	b, err := os.ReadFile(damaged)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096; i < len(b); i++ {
		b[i] = 0xa5
	}
	file("damaged.db", b)
	for path, want := range map[string]string{
		file("text.db", []byte(strings.Repeat("this is no database ", 100))): "not an SQLite database",
		foreign: "another program",
		newer:   "version 99",
		damaged: "damaged",
		dir:     "not a regular file",
	} {
		before, _ := os.ReadFile(path)
		w := open(t, path)
		err := try(t, w, 1)
		if crm.VerdictOf(err) != crm.Halt || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %s: %v", path, crm.VerdictOf(err), err)
		}
		var faults []string
		for _, f := range w.Check(t.Context(), nil) {
			if f.Err != nil {
				faults = append(faults, f.Err.Error())
			}
		}
		if got := strings.Join(faults, "\n"); !strings.Contains(got, want) {
			t.Errorf("%s: check finds %q", path, got)
		}
		_ = w.Close()
		if after, _ := os.ReadFile(path); string(after) != string(before) {
			t.Errorf("%s was changed", path)
		}
	}
}

// A file that an older binary made empty, or that was only touched, is a new one.
func TestEmptyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "crm.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w := open(t, path)
	defer func() { _ = w.Close() }()
	put(t, w, crmtest.Completed(1))
	expect(t, path, "SELECT count(*) FROM calls", 1)
}

func TestLockedByAShell(t *testing.T) {
	path, w := begun(t, crmtest.Completed(1))
	db := shell(t, path)
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	// A caller that cannot wait does not.
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.Write(ctx, crmtest.Completed(2), crm.NewProgress(nil, nil)) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := try(t, w, 3); crm.VerdictOf(err) != crm.Retry || err == nil || !strings.Contains(err.Error(), "locked") {
		t.Errorf("got %v", err)
	}
	if _, err := db.Exec("COMMIT"); err != nil {
		t.Fatal(err)
	}
	put(t, w, crmtest.Completed(2), crmtest.Completed(3))
	expect(t, path, "SELECT count(*) FROM calls", 3)
}

// Reports that are being read hold up no call, and see none of its halves.
func TestReadersAndWriters(t *testing.T) {
	path, w := begun(t, crmtest.Full(0))
	db := shell(t, path)
	stop := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			var calls, tasks int
			if err := db.QueryRow("SELECT (SELECT count(*) FROM calls), (SELECT count(*) FROM tasks)").Scan(&calls, &tasks); err != nil || calls != tasks {
				t.Errorf("%d calls, %d tasks, %v", calls, tasks, err)
				return
			}
		}
	})
	for n := range 100 {
		put(t, w, crmtest.Full(n))
	}
	close(stop)
	group.Wait()
}

func TestTwoWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "crm.db")
	var group sync.WaitGroup
	for range 3 {
		w := open(t, path)
		defer func() { _ = w.Close() }()
		group.Go(func() {
			for n := range 30 { // all the same calls
				if err := try(t, w, n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	expect(t, path, "SELECT count(*) || ' ' || count(DISTINCT contact_id) FROM calls", "30 30")
}

func TestFileIsMovedAway(t *testing.T) {
	path, w := begun(t, crmtest.Completed(1))
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(path+suffix, path+".old"+suffix); err != nil {
			t.Fatal(err)
		}
	}
	put(t, w, crmtest.Completed(2))
	expect(t, path, "SELECT id FROM calls", crmtest.Completed(2).Call.ID)
	expect(t, path+".old", "SELECT id FROM calls", crmtest.Completed(1).Call.ID)
}

func TestChangedTables(t *testing.T) {
	path, w := begun(t, crmtest.Completed(1))
	if _, err := shell(t, path).Exec("DROP VIEW open_callbacks; DROP VIEW contact_timeline; ALTER TABLE tasks RENAME TO chores"); err != nil {
		t.Fatal(err)
	}
	err := w.Write(context.Background(), crmtest.Full(2), crm.NewProgress(nil, nil))
	if crm.VerdictOf(err) != crm.Halt || !strings.Contains(err.Error(), "tasks") {
		t.Errorf("%s: %v", crm.VerdictOf(err), err)
	}
	if _, err := shell(t, path).Exec("ALTER TABLE chores RENAME TO tasks"); err != nil {
		t.Fatal(err)
	}
	put(t, w, crmtest.Full(2))
}

func TestDiskFull(t *testing.T) {
	if !crmtest.Alone(t) {
		return
	}
	path, w := begun(t, crmtest.Completed(0))
	wal, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	lift := crmtest.LimitFiles(t, wal.Size()+100_000)
	written := 1
	for ; err == nil && written < 1000; written++ {
		err = try(t, w, written)
	}
	again := try(t, w, written)
	lift()
	if err == nil || crm.VerdictOf(err) != crm.Retry || !strings.Contains(err.Error(), path) {
		t.Errorf("after %d calls: %s: %v, then %v", written, crm.VerdictOf(err), err, again)
	}
	for n := range written + 1 {
		put(t, w, crmtest.Completed(n))
	}
	expect(t, path, "SELECT count(*) || ' ' || count(DISTINCT contact_id) FROM calls", fmt.Sprint(written+1, written+1))
	expect(t, path, "PRAGMA integrity_check", "ok")
}

// What only looks leaves nothing beside the file: whoever runs check or plan may be another user than the service's.
func TestLookingLeavesNoFiles(t *testing.T) {
	path, _ := begun(t, crmtest.Completed(1))
	looked := map[string]func(w *sqlite.Writer) error{
		"check": func(w *sqlite.Writer) error { return w.Check(t.Context(), nil)[0].Err },
		"plan": func(w *sqlite.Writer) error {
			m, err := w.Find(t.Context(), crmtest.Completed(1).Call.Contact)
			if err == nil && m.ID == "" {
				err = errors.New("the contact is not found")
			}
			return err
		},
		"setup": func(w *sqlite.Writer) error { _, err := w.Provision(t.Context(), false); return err },
	}
	// While the service has the file open, its log is there and stays; a killed one leaves it behind.
	for name, look := range looked {
		if err := look(open(t, path)); err != nil {
			t.Errorf("%s beside the service: %v", name, err)
		}
	}
	expect(t, path, "SELECT count(*) FROM calls", 1)
	path = filepath.Join(t.TempDir(), "crm.db")
	w := open(t, path)
	put(t, w, crmtest.Completed(1))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, look := range looked {
		if err := look(open(t, path)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := filepath.Glob(path + "-*"); len(left) > 0 {
			t.Errorf("%s leaves %q", name, left)
		}
	}
}

func TestProvision(t *testing.T) {
	path := filepath.Join(t.TempDir(), "crm.db")
	w := open(t, path)
	if changes, err := w.Provision(t.Context(), true); err != nil || len(changes) != 1 || changes[0].Done {
		t.Errorf("%+v, %v", changes, err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a dry run made the file")
	}
	if changes, err := w.Provision(t.Context(), false); err != nil || len(changes) != 1 || !changes[0].Done {
		t.Errorf("%+v, %v", changes, err)
	}
	if changes, err := w.Provision(t.Context(), false); err != nil || len(changes) != 0 {
		t.Errorf("%+v, %v", changes, err)
	}
	if found := w.Check(t.Context(), nil); len(found) != 3 || found[0].Err != nil || found[1].Err != nil || found[2].Err != nil {
		t.Errorf("%+v", found)
	}
}
