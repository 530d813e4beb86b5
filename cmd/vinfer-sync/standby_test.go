package main

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/alert"
	"github.com/vinfer-sync/vinfer-sync/config"
	"github.com/vinfer-sync/vinfer-sync/store"
)

// A standby is quiet while another node leads, and while a takeover may be under way; then it tells that nobody leads, until somebody does.
func TestStandbyTellsWhenNobodyLeads(t *testing.T) {
	cfg := &config.Config{Name: "sales"}
	refused := errors.New("connection refused")
	s := newStandby(t.Context(), cfg, slog.New(slog.DiscardHandler))
	stands := func(what, want string) {
		t.Helper()
		got := ""
		for _, a := range s.alerts.Standing() {
			got += a.Alert
		}
		if got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	s.wait(cfg, fmt.Errorf("%w: node b leads", store.ErrLocked))
	s.wait(cfg, refused)
	stands("at first", "")
	s.since = s.since.Add(-2 * time.Minute)
	s.wait(cfg, refused)
	stands("after two minutes", alert.NoLeader)
	s.wait(cfg, fmt.Errorf("%w: node b leads", store.ErrLocked))
	stands("another node leads", "")
	s.wait(cfg, refused)
	stands("for a moment again", "")
	s.since = s.since.Add(-2 * time.Minute)
	s.wait(cfg, refused)
	s.end(cfg)
	stands("this node leads", "")
}
