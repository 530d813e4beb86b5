package sync

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// A requested time is read in every way that a call's own times are; what is not understood is told with its text.
func TestCallBackTimes(t *testing.T) {
	at := time.Now().Add(50 * time.Hour).Truncate(time.Second)
	india := at.In(time.FixedZone("", 19800))
	times := []string{
		india.Format("2006-01-02T15:04:05-0700"), fmt.Sprint(at.Unix()), fmt.Sprint(at.UnixMilli()), at.UTC().Format(time.RFC1123),
		at.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"), at.UTC().Format("2006-01-02 15:04:05") + " UTC",
		strings.ToLower(at.UTC().Format(time.RFC3339)), india.Format("2006-01-02 15:04:05"), at.UTC().Format(time.RFC3339),
	}
	rows := past(len(times) + 1)
	for i, s := range append(times, "tomorrow at 5, on 98765 43210") {
		rows[i].raw = fmt.Sprintf(`{"id":%q,"contact":{"phone":%q},"disposition":"callback","callback_at":%q,"timestamp":%q}`,
			rows[i].id, rows[i].phone, s, rows[i].ended().UTC().Format(time.RFC3339))
	}
	rec := &recorder{}
	r := newRig(t, newAPI(t, true, rows...), rec, nil)
	r.once()
	sameIDs(t, rec.ids(crm.CallCompleted), idsOf(rows))
	odd := rows[len(times)]
	for _, e := range rec.entries() {
		if e.Task == nil {
			t.Errorf("%s has no follow-up", e.Call.ID)
			continue
		}
		want := at
		if e.Call.ID == odd.id {
			want = e.Call.EndedAt.Add(2 * time.Hour)
		}
		if !e.Task.Due.Equal(want) {
			t.Errorf("%s is due at %v, not %v", e.Call.ID, e.Task.Due, want)
		}
	}
	for _, x := range rows {
		l, err := r.store.Life(x.id)
		if err != nil || len(l.Dests) != 1 {
			t.Fatal(l, err)
		}
		warned := strings.Join(l.Dests[0].Warnings, "; ")
		if x.id == odd.id && !strings.Contains(warned, "tomorrow at 5, on xxxxx xxx10") || x.id != odd.id && warned != "" {
			t.Errorf("%s: %q", x.id, warned)
		}
	}
}
