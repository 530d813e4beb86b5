package sync

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/number/numbertest"
)

// A number has one lane however it is spelled, and shares it with no other number; who has none shares it with nobody.
func TestLaneOfEverySpelling(t *testing.T) {
	e := &Engine{salt: []byte("salt")}
	rapid.Check(t, func(t *rapid.T) {
		a, b := numbertest.Draw(t, "a"), numbertest.Draw(t, "b")
		e.o.Region = a.Region
		want := e.lane(a.E164, "1")
		for _, s := range append(a.International(), a.Local()...) {
			if e.lane(s, "2") != want {
				t.Errorf("%q has another lane than %s", s, a.E164)
			}
		}
		if a.E164 == b.E164 {
			return
		}
		for _, s := range b.International() {
			if e.lane(s, "3") == want {
				t.Errorf("%q has the lane of %s", s, a.E164)
			}
		}
	})
	for _, s := range append(numbertest.Words, "") {
		if e.lane(s, "1") == e.lane(s, "2") {
			t.Errorf("two strangers with %q share a lane", s)
		}
	}
}

// Whatever spelling a person is forgotten by, the calls under all spellings go, and what the file held of them.
func TestForgetEverySpelling(t *testing.T) {
	n := numbertest.Number{}
	rapid.Check(t, func(r *rapid.T) { n = numbertest.Draw(r, "number") }) // the last one drawn
	spellings := append(n.International(), n.Local()...)
	now := time.Now().Truncate(time.Second)
	var rows []row
	for i, s := range spellings {
		rows = append(rows, row{id: fmt.Sprintf("call_%04d", i), phone: s, disposition: "interested", started: now.Add(time.Duration(i-2*len(spellings)) * time.Second), seconds: 60})
	}
	for i, s := range numbertest.Words {
		rows = append(rows, row{id: fmt.Sprintf("word_%04d", i), phone: s, disposition: "interested", started: now.Add(-time.Minute), seconds: 30})
	}
	rec := &recorder{answer: func(crm.Entry, int) error { return errSick }} // all of it still waits
	r := newRig(t, newAPI(t, true, rows...), rec, func(o *Options) { o.Region, o.Backoff = n.Region, time.Hour })
	r.once()
	f, err := r.e.Forget(ForgetRequest{Phones: []string{spellings[len(spellings)-1]}})
	if err != nil || len(f.Calls) != len(spellings) {
		t.Fatalf("%d calls of %d forgotten by %q: %v", len(f.Calls), len(spellings), spellings[len(spellings)-1], err)
	}
	if st := r.stats(); st.Pending != len(numbertest.Words) {
		t.Errorf("%d calls are left", st.Pending)
	}
	if s := r.once(); s.New != 0 {
		t.Errorf("brought back: %+v", s)
	}
	r.close()
	files, err := filepath.Glob(r.path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("call_0")) || bytes.Contains(b, []byte(n.E164)) {
			t.Errorf("%s still holds the person", filepath.Base(name))
		}
	}
	for _, s := range numbertest.Words {
		if _, err := Forget(r.store, n.Region, ForgetRequest{Phones: []string{s}}); !errors.Is(err, ErrNoNumber) {
			t.Errorf("%q was taken for somebody's number", s)
		}
	}
}
