package sync

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// A person is forgotten while a call to them is being written: the delivery ends, nothing of it is kept, and the operator is told where to look.
func TestForgetBesideADelivery(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	a := newAPI(t, true,
		row{id: "call_anna1", phone: "+919000000001", disposition: "interested", started: now.Add(-10 * time.Minute), seconds: 60},
		row{id: "call_anna2", phone: "+91 90000-00001", disposition: "interested", started: now.Add(-5 * time.Minute), seconds: 60},
		row{id: "call_ben", phone: "+919000000002", disposition: "interested", started: now.Add(-5 * time.Minute), seconds: 60})
	writing, goOn := make(chan struct{}), make(chan struct{})
	rec := &recorder{}
	rec.answer = func(e crm.Entry, _ int) error {
		if e.Call.ID == "call_anna1" {
			close(writing)
			rec.mu.Unlock()
			<-goOn
			rec.mu.Lock()
		}
		return nil
	}
	r := newRig(t, a, rec, nil)
	done := make(chan Summary)
	go func() {
		s, err := r.e.RunOnce(t.Context())
		if err != nil {
			t.Error(err)
		}
		done <- s
	}()
	<-writing
	f, err := r.e.Forget(ForgetRequest{Phones: []string{"9000000001"}})
	if err != nil || f.Jobs != 2 || !slices.Equal(f.Busy, []string{"crm"}) {
		t.Errorf("%+v %v", f, err)
	}
	close(goOn)
	if s := <-done; s.Pending != 0 {
		t.Errorf("%+v", s)
	}
	if s := r.once(); s.New != 0 || s.Pending != 0 {
		t.Errorf("brought back: %+v", s)
	}
	sameIDs(t, rec.ids(crm.CallCompleted), []string{"call_anna1", "call_ben"})
	if r.e.dests["crm"].isInFlight(f.Lanes) {
		t.Error("its delivery never ended")
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
		for _, trace := range []string{"call_anna", "9000000001", "90000-00001"} {
			if bytes.Contains(b, []byte(trace)) {
				t.Errorf("%s still holds %s", filepath.Base(name), trace)
			}
		}
	}
}

func TestForgetWhoIsNoNumber(t *testing.T) {
	r := newRig(t, newAPI(t, true), &recorder{}, nil)
	for _, p := range []string{"", "x", "+"} {
		if _, err := r.e.Forget(ForgetRequest{Phones: []string{p}}); !errors.Is(err, ErrNoNumber) {
			t.Errorf("%q: %v", p, err)
		}
	}
}
