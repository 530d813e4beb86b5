package alert

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/vinfer-sync/vinfer-sync/store"
)

var now = time.Date(2026, 1, 15, 10, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// healthy is a minute after a good poll.
func healthy() Facts {
	return Facts{
		Now: now, Started: ago(24 * time.Hour),
		Stats: store.Stats{
			Watermark: ago(time.Minute), LastRun: store.Run{At: ago(time.Minute), LastSuccess: ago(time.Minute)},
			Dests: []store.Dest{{DestSpec: store.DestSpec{Name: "sales"}}},
		},
		Oldest: map[string]time.Time{},
		Disks:  []Space{{Path: "/var/lib", Free: 50 << 30, Total: 100 << 30}},
	}
}

func rules(t *testing.T, schedule string) Rules {
	s, err := cron.ParseStandard(schedule)
	if err != nil {
		t.Fatal(err)
	}
	return Rules{Lag: 15 * time.Minute, LeftOut: time.Hour, Next: s.Next}
}

func TestRules(t *testing.T) {
	const minutely = "@every 1m"
	for _, tt := range []struct {
		name, schedule string
		change         func(*Facts)
		want           string // kinds and destinations
	}{
		{"all is well", minutely, func(*Facts) {}, ""},
		{"no node leads", minutely, func(f *Facts) { *f = Facts{Now: now, NoLeader: "connection refused"} }, "no_leader"},
		{"the database went back", minutely, func(f *Facts) { f.WentBack = ago(time.Hour) }, "went_back"},
		{"the database went back long ago", minutely, func(f *Facts) { f.WentBack = ago(25 * time.Hour) }, ""},
		{"a filter leaves all calls out", minutely, func(f *Facts) {
			f.Stats.Dests[0].LeftOut = store.LeftOut{InARow: fewCalls, Since: ago(3 * time.Hour), Until: ago(2 * time.Hour), Last: "filter"}
		}, "left_out sales"},
		{"a filter leaves a few calls out", minutely, func(f *Facts) {
			f.Stats.Dests[0].LeftOut = store.LeftOut{InARow: fewCalls - 1, Since: ago(3 * time.Hour), Until: ago(2 * time.Hour)}
		}, ""},
		{"a filter left calls out for a moment", minutely, func(f *Facts) {
			f.Stats.Dests[0].LeftOut = store.LeftOut{InARow: 100, Since: ago(3 * time.Hour), Until: ago(150 * time.Minute)}
		}, ""},
		{"the API fails for a moment", minutely, func(f *Facts) {
			f.Stats.LastRun.LastSuccess, f.Stats.LastRun.Error = ago(4*time.Minute), "502"
		}, ""},
		{"the API fails", minutely, func(f *Facts) {
			f.Stats.LastRun.LastSuccess, f.Stats.Watermark, f.Stats.LastRun.Error = ago(40*time.Minute), ago(40*time.Minute), "502"
		}, "runs"},
		{"the API fails, but the process is new", minutely, func(f *Facts) {
			f.Started, f.Stats.LastRun.LastSuccess, f.Stats.LastRun.Error = ago(time.Minute), ago(40*time.Minute), "502"
		}, ""},
		{"a listing that takes long", minutely, func(f *Facts) {
			f.Stats.LastRun.LastSuccess, f.Stats.Watermark = ago(14*time.Minute), ago(14*time.Minute)
		}, ""},
		{"a listing that takes too long", minutely, func(f *Facts) {
			f.Stats.LastRun.LastSuccess, f.Stats.Watermark = ago(17*time.Minute), ago(17*time.Minute)
		}, "lag"},
		{"it was down and catches up", minutely, func(f *Facts) { f.Started, f.Stats.Watermark = ago(5*time.Minute), ago(48*time.Hour) }, ""},
		{"it polls by the hour", "@hourly", func(f *Facts) { f.Stats.Watermark = ago(59 * time.Minute) }, ""},
		{"it polls by the hour, and missed one", "@hourly", func(f *Facts) { f.Stats.Watermark = ago(80 * time.Minute) }, "lag"},
		{"it rests at night", "CRON_TZ=UTC */5 10-18 * * *", func(f *Facts) { f.Stats.Watermark = ago(15 * time.Hour) }, ""},
		{"the key is refused", minutely, func(f *Facts) { f.Refusal, f.Stats.LastRun.Error = "401", "401" }, "key"},
		{"the key has been refused for long", minutely, func(f *Facts) {
			f.Refusal, f.Stats.LastRun.LastSuccess, f.Stats.Watermark, f.Stats.LastRun.Error = "401", ago(2*time.Hour), ago(2*time.Hour), "401"
		}, "key"},
		{"a part gives no sign of life", minutely, func(f *Facts) { f.Stuck = errors.New("the poll has made no progress for 10 min") }, "stuck"},
		{"a port is taken", minutely, func(f *Facts) { f.Listen = []error{errors.New("admin.listen: address already in use")} }, "listen"},
		{"the clock", minutely, func(f *Facts) { f.Skew = -31 * time.Second }, "clock"},
		{"a halt", minutely, func(f *Facts) {
			f.Stats.Dests[0].Halted, f.Oldest["sales"] = "401", ago(2*time.Hour)
		}, "halted sales"},
		{"a pause", minutely, func(f *Facts) { f.Stats.Dests[0].Paused, f.Oldest["sales"] = "maintenance", ago(2*time.Hour) }, ""},
		{"a destination that was taken out", minutely, func(f *Facts) { f.Stats.Dests[0].Orphaned, f.Oldest["sales"] = true, ago(2*time.Hour) }, ""},
		{"a destination that is down", minutely, func(f *Facts) { f.Oldest["sales"] = ago(16 * time.Minute) }, "lag sales"},
		{"dead letters", minutely, func(f *Facts) { f.Stats.Dead, f.Stats.Dests[0].Dead = 3, 3 }, "dead sales"},
		{"rows that cannot be read", minutely, func(f *Facts) { f.Stats.Dead = 1 }, "dead"},
		{"a large disk", minutely, func(f *Facts) { f.Disks[0].Free = 1<<30 + 1 }, ""},
		{"a large disk that is full", minutely, func(f *Facts) { f.Disks[0].Free = 1 << 29 }, "disk /var/lib"},
		{"a small disk", minutely, func(f *Facts) { f.Disks[0] = Space{"/small", 60 << 20, 200 << 20} }, ""},
		{"a small disk that is full", minutely, func(f *Facts) { f.Disks[0] = Space{"/small", 30 << 20, 200 << 20} }, "disk /small"},
	} {
		f := healthy()
		tt.change(&f)
		var got []string
		for _, a := range rules(t, tt.schedule).look(f) {
			got = append(got, strings.TrimSpace(a.Alert.Alert+" "+a.Destination))
		}
		if strings.Join(got, ", ") != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestNoPhoneInAMessage(t *testing.T) {
	f := healthy()
	f.Stats.Dests[0].Halted = "the CRM says that +919876543210 may not"
	if a := rules(t, "@every 1m").look(f); len(a) != 1 || strings.Contains(a[0].Message, "98765") {
		t.Errorf("%+v", a)
	}
}

func TestNoLagWhereNoneIsWanted(t *testing.T) {
	f := healthy()
	f.Stats.Watermark, f.Oldest["sales"] = ago(48*time.Hour), ago(48*time.Hour)
	r := rules(t, "@every 1m")
	r.Lag = 0
	if a := r.look(f); len(a) != 0 {
		t.Errorf("%+v", a)
	}
}

func TestSpaceOf(t *testing.T) {
	s, err := SpaceOf(t.TempDir())
	if err != nil || s.Total == 0 || s.Free > s.Total {
		t.Errorf("%+v %v", s, err)
	}
	if _, err := SpaceOf("/no/such/place"); err == nil {
		t.Error("room in a directory that is not there")
	}
}
