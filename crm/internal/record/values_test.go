package record_test

import (
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
)

func TestSpan(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 1, 5, 10, minute, 0, 0, time.UTC) }
	seconds := func(s float64) *float64 { return &s }
	for name, test := range map[string]struct {
		call       crm.Call
		start, end time.Time
		known      bool
	}{
		"all is known: the duration counts from the answer": {crm.Call{StartedAt: at(0), EndedAt: at(5), Duration: seconds(240)}, at(0), at(4), true},
		"no duration":                       {crm.Call{StartedAt: at(0), EndedAt: at(5)}, at(0), at(5), true},
		"an end before the start":           {crm.Call{StartedAt: at(5), EndedAt: at(0)}, at(5), at(5), true},
		"the end and the duration":          {crm.Call{EndedAt: at(5), Duration: seconds(120)}, at(3), at(5), true},
		"not connected":                     {crm.Call{StartedAt: at(0), EndedAt: at(1), Duration: seconds(0)}, at(0), at(0), true},
		"the end alone":                     {crm.Call{EndedAt: at(5)}, at(5), at(5), false},
		"a duration that cannot be":         {crm.Call{EndedAt: at(5), Duration: seconds(-1)}, at(5), at(5), false},
		"nothing":                           {crm.Call{}, time.Time{}, time.Time{}, false},
		"a start, and a duration beside it": {crm.Call{StartedAt: at(0), Duration: seconds(60)}, at(0), at(1), true},
	} {
		if start, end, known := record.Span(&test.call); !start.Equal(test.start) || !end.Equal(test.end) || known != test.known {
			t.Errorf("%s: %s to %s, %t", name, start, end, known)
		}
	}
}

func TestTimes(t *testing.T) {
	want := time.Date(2026, 1, 5, 10, 2, 3, 0, time.UTC)
	for _, s := range []string{
		"2026-01-05T10:02:03Z", "2026-01-05T10:02:03.000+0000", "2026-01-05T15:32:03+05:30", "2026-01-05 10:02:03", "2026-01-05 10:02:03.000", "1767607323000",
		"/Date(1767607323000)/",
	} {
		if got := record.When(s); !got.Equal(want) {
			t.Errorf("%q: %s", s, got)
		}
	}
	for _, s := range []string{"", "soon", "2026-01-05", "/Date(x)/"} {
		if got := record.When(s); !got.IsZero() {
			t.Errorf("%q: %s", s, got)
		}
	}
	if got := record.Stamp(want.In(time.FixedZone("", 3600)), time.DateTime); got != "2026-01-05 10:02:03" || record.Stamp(time.Time{}, time.DateTime) != "" {
		t.Errorf("%q", got)
	}
}

func TestSplitName(t *testing.T) {
	for name, want := range map[string][2]string{"Priya Sharma": {"Priya", "Sharma"}, "Maria del Mar": {"Maria del", "Mar"}, "Cher": {"", "Cher"}, "": {"", ""}} {
		if first, last := record.SplitName(name); first != want[0] || last != want[1] {
			t.Errorf("%q: %q, %q", name, first, last)
		}
	}
}

func TestCheckStatuses(t *testing.T) {
	valid := []string{"Hot", "Cold"}
	takes := func(s string) bool { return s == "Hot" || s == "Cold" }
	if f := record.CheckStatuses("statuses", "Lead.status", valid, []string{"Hot"}, []string{" cold "}, takes); f.Err != nil || f.Detail != "valid: Hot, Cold" {
		t.Errorf("%+v", f)
	}
	f := record.CheckStatuses("statuses", "Lead.status", valid, []string{"Hot", "hot"}, []string{"Warm"}, takes)
	if f.Err == nil || f.Err.Error() != "the mapping sets [\"hot\"], which Lead.status does not take\nprotect names [\"Warm\"], which Lead.status does not take" {
		t.Errorf("%v", f.Err)
	}
}
