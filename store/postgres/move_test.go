//go:build external

package postgres

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/internal/dbtest"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/bolt"
)

func openToMove(t *testing.T, dsn, path string) (*bolt.DB, *DB) {
	t.Helper()
	file, err := bolt.Open(path, bolt.Options{Move: true})
	if err != nil {
		t.Fatal(err)
	}
	db, err := OpenToMove(t.Context(), configOf(dsn), "default", Node())
	if err != nil {
		t.Fatal(err)
	}
	return file, db
}

func noMarker(string) error { return nil }

// The state goes from the file into the database and back, the way there being interrupted after any transaction. What is there is the same in both, and
// what was left cannot be used any more.
func TestMove(t *testing.T) {
	_, dsn, _ := dbtest.NewPostgres(t)
	path := filepath.Join(t.TempDir(), "state.db")
	file, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	begin(t, file)
	for n := range 6 {
		p := pageOf(n)
		p.At = p.At.AddDate(0, n/2, 0) // three generations
		if _, err := file.Ingest(p); err != nil {
			t.Fatal(err)
		}
	}
	var letters []store.DeadLetter
	for i, ref := range scanAll(t, file, "crm") {
		if i%3 == 0 {
			if _, err := file.Settle(t.Context(), store.Outcome{Job: ref, Verdict: store.Dead, At: noon, Error: "refused"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if letters, err = file.DeadLetters("", true, 0, 1000); err != nil {
		t.Fatal(err)
	}
	want, err := file.Survey()
	if err = errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	same := func(got store.Survey, err error) {
		t.Helper()
		got.Path, got.Size, got.Used = want.Path, want.Size, want.Used
		if err != nil || got != want {
			t.Fatalf("%+v, %v; want %+v", got, err, want)
		}
	}
	killed := errors.New("killed")
	kills := 0
	for done := false; !done; kills++ {
		file, db := openToMove(t, dsn, path)
		func() {
			defer func() {
				if r := recover(); r != nil && r != killed { //nolint:errorlint // just this value
					panic(r)
				}
			}()
			commits := 0
			db.beforeCommit = func() {
				if commits++; commits > 1+kills/2 {
					panic(killed)
				}
			}
			got, err := file.MoveTo(db.DB, "elsewhere", noMarker)
			same(got, err)
			done = true
		}()
		db.beforeCommit = nil
		if err := errors.Join(file.Close(), db.Close()); err != nil {
			t.Fatal(err)
		}
		if done {
			break
		}
		if d, err := Open(t.Context(), configOf(dsn), "default", Node()); !errors.Is(err, store.ErrMoved) {
			t.Fatalf("what is half filled can be used: %v, %v", d, err)
		}
	}
	t.Logf("interrupted %d times", kills)
	if _, err := bolt.Open(path, bolt.Options{}); !errors.Is(err, store.ErrMoved) {
		t.Errorf("the file can be used: %v", err)
	}
	file, db := openToMove(t, dsn, path)
	got, err := file.MoveTo(db.DB, "elsewhere", noMarker) // once more
	same(got, err)
	if err := errors.Join(file.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}

	d := openAt(t, dsn, "default")
	got, err = d.Survey()
	same(got, err)
	if again, err := d.DeadLetters("", true, 0, 1000); err != nil || fmt.Sprint(again) != fmt.Sprint(letters) {
		t.Errorf("dead letters differ: %v", err)
	}
	for _, ref := range scanAll(t, d, "crm")[:1] { // the next dead letter gets a number of its own
		if _, err := d.Settle(t.Context(), store.Outcome{Job: ref, Verdict: store.Dead, At: noon, Error: "refused"}); err != nil {
			t.Fatal(err)
		}
	}
	want, err = d.Survey()
	if err = errors.Join(err, d.Close()); err != nil || want.DeadLetters != len(letters)+1 {
		t.Fatalf("%+v, %v", want, err)
	}

	file, db = openToMove(t, dsn, path) // into the file that the state has left
	got, err = db.MoveTo(file.DB, path, file.Adopt)
	same(got, err)
	if err := errors.Join(file.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), configOf(dsn), "default", Node()); !errors.Is(err, store.ErrMoved) {
		t.Errorf("the database can be used: %v", err)
	}
	if file, err = bolt.Open(path, bolt.Options{}); err != nil {
		t.Fatal(err)
	}
	got, err = file.Survey()
	same(got, err)
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}

	other := filepath.Join(t.TempDir(), "other.db")
	if file, err = bolt.Open(other, bolt.Options{}); err != nil {
		t.Fatal(err)
	}
	begin(t, file)
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	file, db = openToMove(t, dsn, other)
	if _, err = file.MoveTo(db.DB, "elsewhere", noMarker); err == nil {
		t.Error("another state was overwritten")
	}
	if err := errors.Join(file.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
}
