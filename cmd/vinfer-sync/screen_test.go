package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/vinfer-sync/vinfer-sync/admin"
	"github.com/vinfer-sync/vinfer-sync/store"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

// TestScreensFit: in 80 columns no line is longer and no word of a reason is lost; without a terminal nothing is cut.
func TestScreensFit(t *testing.T) {
	t.Parallel()
	kolkata, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 15, 10, 0, 0, 0, time.UTC)
	reason := "crm.example.internal answers 401 Unauthorized: the token of the integration user has expired, next try 2026-01-15T10:05:00Z"
	status := engine.Status{
		Pipeline: "default", Version: "1.0", Config: "/etc/vinfer-sync/config.yaml", Cursor: "2026-01-15T10:00:00Z",
		Alerts:       []engine.Alert{{Alert: "halted", Destination: "sales-of-the-north", Message: "sales-of-the-north is halted, and its calls are kept: " + reason, Remedy: "fix the cause, then: vinfer-sync resume sales-of-the-north", Since: at}},
		Destinations: []engine.DestStatus{{Name: "sales-of-the-north", Kind: "leadsquared", State: "halted", Reason: reason, Pending: 123456, Dead: 1234, Delivered: 12345678}, {Name: "archive", Kind: "jsonl", State: "ok"}},
	}
	var lines []admin.CallLine
	for _, id := range []string{"call_9Hm3kP7qZ", "call_with_an_id_that_is_long"} {
		lines = append(lines, admin.CallLine{Known: engine.NewCall{ID: id, Phone: "+xxxxxxxxxx10", Disposition: "callback_requested"}, CallSummary: store.CallSummary{ID: id, When: at, Dests: []store.DestLife{
			{Dest: "sales-of-the-north", State: "pending"}, {Dest: "archive", State: "delivered"},
		}}})
	}
	for name, show := range map[string]func(w *screen) error{
		"status":     func(w *screen) error { return printStatus(w, status) },
		"calls list": func(w *screen) error { return printCalls(w, lines) },
		"backfill list": func(w *screen) error {
			return printBackfills(w, []engine.BackfillStatus{{ID: 12, State: "interrupted", Range: "2025-12-15T10:00:00Z/2026-01-15T10:00:00Z", Queued: 1234567, Delivered: 123456, Fetched: 1234567, Dead: 12, To: "sales-of-the-north", Campaign: "cmp_winter"}})
		},
		"plan": func(w *screen) error {
			return printPlan(w, engine.Plan{Since: "2026-01-15T10:00:00Z", Fetched: 12, New: 3, Destinations: []engine.PlanDest{{Name: "sales-of-the-north", Kind: "leadsquared", State: "ok", Calls: []engine.PlanCall{{
				CallID: "call_9Hm3kP7qZ", Action: "send", Event: "call.completed", Origin: "new", EndedAt: "2026-01-15T10:00:00Z", Phone: "+xxxxxxxxxx10", Disposition: "callback_requested", Status: "Callback", SetsStatus: true,
				Task: &engine.PlanTask{Title: "Call back Asha Rao", Due: "2026-01-15T12:00:00Z"}, Contact: &engine.PlanContact{Action: "match", ID: "00Q5g00000A1b2c", Label: "Asha Rao"},
			}}}}})
		},
		"check": func(w *screen) error {
			c := &checkTable{}
			c.row("sales-of-the-north", "connection", nil, reason)
			return c.end(w, false)
		},
	} {
		var narrow, wide bytes.Buffer
		if err := show(&screen{clock: clock{kolkata}, out: &narrow, width: 80}); err != nil {
			t.Fatal(name, err)
		}
		if err := show(&screen{clock: clock{kolkata}, out: &wide}); err != nil {
			t.Fatal(name, err)
		}
		for line := range strings.Lines(narrow.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
				t.Errorf("%s: %d columns: %s", name, n, line)
			}
		}
		if strings.Contains(wide.String(), "…") {
			t.Errorf("%s is cut without a terminal:\n%s", name, wide.String())
		}
		if strings.Contains(narrow.String()+wide.String(), "T10:0") || !strings.Contains(narrow.String(), "IST") {
			t.Errorf("%s does not show times in the zone:\n%s", name, narrow.String())
		}
		t.Logf("%s\n%s", name, narrow.String())
	}
}

// TestHelpFits: help of every command fits into 80 columns; one line of it is cobra's.
func TestHelpFits(t *testing.T) {
	t.Parallel()
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		var out bytes.Buffer
		c.SetOut(&out)
		if err := c.Help(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > helpWidth && !strings.HasPrefix(line, `Use "`) {
				t.Errorf("%s: %d columns: %s", c.CommandPath(), n, line)
			}
		}
		for _, sub := range c.Commands() {
			if sub.Name() != "completion" {
				visit(sub)
			}
		}
	}
	visit(rootCommand(&app{}))
}
