package admin

import (
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/alert"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

// The worst comes first, and only what waits for an operator calls one.
func TestJudge(t *testing.T) {
	now := time.Date(2026, 1, 15, 10, 0, 0, 0, time.UTC) // 15:30 in Kolkata
	raised := func(kind, dest string) engine.Alert {
		return engine.Alert{Alert: kind, Destination: dest, Since: now.Add(-48 * time.Minute)}
	}
	for _, tt := range []struct {
		name   string
		change func(*engine.Status)
		want   Verdict
	}{
		{"all is well", func(*engine.Status) {}, Verdict{fine, false, "All is well", "Every call that VInfer has shown is delivered."}},
		{"deliveries", func(s *engine.Status) { s.Pending = 3 }, Verdict{fine, false, "All is well", "Deliveries under way: 3."}},
		{"never run", func(s *engine.Status) { s.LastRun.At = "" }, Verdict{fine, false, "Starting", "The first poll is under way."}},
		{"halted, no alert yet", func(s *engine.Status) { s.Destinations[0].State = "halted" }, Verdict{grave, true, "sales is halted", "Its calls are kept."}},
		{"paused", func(s *engine.Status) { s.Destinations[0].State, s.Destinations[0].Paused = "halted", true }, Verdict{mild, false, "sales is paused", "Its calls are kept until it is resumed: vinfer-sync resume sales"}},
		{"waiting", func(s *engine.Status) { s.Destinations[0].State = "waiting" }, Verdict{mild, false, "sales is not taking calls just now", "Its calls are kept, and are tried again without you."}},
		{"orphaned", func(s *engine.Status) {
			s.Pending, s.Destinations[0].State, s.Destinations[0].Pending = 3, "orphaned", 3
		}, Verdict{mild, false, "sales is no longer configured", "Calls kept for it: 3. They are delivered when a destination of that name and kind is configured again."}},
		{"orphaned with nothing kept", func(s *engine.Status) { s.Destinations[0].State = "orphaned" }, Verdict{fine, false, "All is well", "Every call that VInfer has shown is delivered."}},
		{"a poll failed", func(s *engine.Status) { s.LastRun.Error = "502 for +919876543210" }, Verdict{mild, false, "The last poll failed", "The next one tries again: 502 for +xxxxxxxxxx10"}},
		{"halted", func(s *engine.Status) { s.Alerts = []engine.Alert{raised(alert.Halted, "sales")} }, Verdict{grave, true, "sales is halted since 14:42", "Calls are kept; nothing is lost."}},
		{"the worst of many", func(s *engine.Status) {
			s.Alerts, s.ConfigError = []engine.Alert{raised(alert.Dead, "sales"), raised(alert.Key, "")}, "no"
		}, Verdict{grave, true, "VInfer refuses the key since 14:42, and 2 more", "Calls are kept; nothing is lost."}},
		{"without a beginning", func(s *engine.Status) { s.Alerts = []engine.Alert{{Alert: alert.Lag}} }, Verdict{grave, true, "Reading is late", "Calls are kept; nothing is lost."}},
		{"dead letters", func(s *engine.Status) { s.Alerts = []engine.Alert{raised(alert.Dead, "sales")} }, Verdict{mild, true, "sales has dead letters since 14:42", "Calls go on."}},
		{"skipped by a filter", func(s *engine.Status) { s.Alerts = []engine.Alert{raised(alert.LeftOut, "sales")} }, Verdict{fine, false, "All is well", "Every call that VInfer has shown is delivered."}},
		{"a configuration with faults", func(s *engine.Status) { s.ConfigError = "config.yaml:3" }, Verdict{mild, true, "The configuration on the disk has faults", "The one before is in use."}},
	} {
		s := engine.Status{LastRun: engine.LastRun{At: "2026-01-15T09:59:30Z"}, Destinations: []engine.DestStatus{{Name: "sales", State: "ok", Delivered: 3}}}
		tt.change(&s)
		if got := Judge(s, now, zone()); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
	for _, kind := range alert.Kinds {
		if kind != alert.LeftOut && headline(engine.Alert{Alert: kind}, now, zone()) == "" {
			t.Errorf("%s has no headline", kind)
		}
	}
}
