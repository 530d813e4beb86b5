package crm_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

func TestVerdictOf(t *testing.T) {
	for want, err := range map[crm.Verdict]error{
		crm.Delivered: nil,
		crm.Retry:     io.ErrUnexpectedEOF,
		crm.Reject:    crm.Rejected(io.ErrUnexpectedEOF, "POST /calls"),
		crm.Halt:      crm.Halted(io.ErrUnexpectedEOF),
		crm.Throttle:  crm.Throttled(io.ErrUnexpectedEOF, time.Minute),
	} {
		if got := crm.VerdictOf(err); got != want {
			t.Errorf("%v: got %s, want %s", err, got, want)
		}
		if err == nil {
			continue
		}
		wrapped := fmt.Errorf("step 2: %w", err)
		if crm.VerdictOf(wrapped) != want || !errors.Is(wrapped, io.ErrUnexpectedEOF) {
			t.Errorf("%s: wrapping loses the verdict or the cause", want)
		}
		if (crm.Wait(wrapped) == time.Minute) != (want == crm.Throttle) || (crm.Request(wrapped) == "POST /calls") != (want == crm.Reject) {
			t.Errorf("%s: wait %s, request %q", want, crm.Wait(wrapped), crm.Request(wrapped))
		}
	}
}

func TestVerdictsOfTheConfiguration(t *testing.T) {
	for want, err := range map[crm.Verdict]error{crm.Skip: crm.Skipped("two contacts match"), crm.Refuse: crm.Refused("no contact matches")} {
		wrapped := fmt.Errorf("contact: %w", err)
		if crm.VerdictOf(wrapped) != want || want.String() == "" || err.Error() == "" {
			t.Errorf("%s: got %s: %v", want, crm.VerdictOf(wrapped), err)
		}
	}
}

func TestProgress(t *testing.T) {
	given := crm.Refs{"contact": "1"}
	var saved []crm.Refs
	p := crm.NewProgress(given, func(r crm.Refs) error {
		saved = append(saved, r)
		if r["note"] != "" {
			return io.ErrShortWrite
		}
		return nil
	})
	if err := errors.Join(p.Save("contact", "1"), p.Save("activity", "2")); err != nil {
		t.Fatal(err)
	}
	if err := p.Save("note", "3"); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("got %v", err)
	}
	p.Refs["task"] = "4"
	if len(saved) != 2 || len(saved[0]) != 2 || len(saved[1]) != 3 || len(given) != 1 {
		t.Errorf("saved %v, given %v", saved, given)
	}
	p.Warn("%d contacts match", 2)
	if len(p.Warnings) != 1 || p.Warnings[0] != "2 contacts match" {
		t.Errorf("warnings %v", p.Warnings)
	}
	if err := crm.NewProgress(nil, nil).Save("contact", "1"); err != nil {
		t.Error(err)
	}
}
