package admin

import (
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/vinfer-sync/vinfer-sync/internal/mask"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

const (
	tallyHours    = 48
	tallyRecent   = 100
	tallyNames    = 20 // dispositions counted apart in one hour: the set is open
	tallyEvery    = time.Minute
	tallySetting  = "tally"
	recentSetting = "recent_calls"
	otherOutcomes = "others"
	noOutcome     = "none yet"
)

// Keeper keeps a small value under a key; nil: there is none. store.Store is one.
type Keeper interface {
	Setting(key string) ([]byte, error)
	PutSetting(key string, value []byte) error
}

// Tally counts new calls by hour and disposition for the dashboard, and remembers the last ones with their numbers masked. Both outlive the
// process. It is an engine's Observer.
type Tally struct {
	keep Keeper
	zone func() *time.Location

	mu     sync.Mutex
	hours  map[int64]map[string]int // by the hour's beginning, in Unix time
	recent map[string]engine.NewCall
	order  []string // of recent, the oldest first
	dirty  bool
	saved  time.Time
}

var _ engine.Observer = (*Tally)(nil)

// NewTally goes on with what the last one saved. zone is where the operator's clock is: hours begin by that.
func NewTally(keep Keeper, zone func() *time.Location) *Tally {
	t := &Tally{keep: keep, zone: zone, hours: map[int64]map[string]int{}, recent: map[string]engine.NewCall{}}
	if raw, err := keep.Setting(tallySetting); err == nil && raw != nil {
		if json.Unmarshal(raw, &t.hours) != nil || t.hours == nil {
			t.hours = map[int64]map[string]int{} // it is only a chart
		}
	}
	var calls []engine.NewCall
	if raw, err := keep.Setting(recentSetting); err == nil && json.Unmarshal(raw, &calls) == nil {
		for _, c := range calls {
			t.remember(c)
		}
	}
	return t
}

// hour returns the beginning of an hour by the operator's clock; there are zones half an hour off.
func (t *Tally) hour(at time.Time) time.Time {
	at = at.In(t.zone())
	return at.Add(-time.Duration(at.Minute())*time.Minute - time.Duration(at.Second())*time.Second - time.Duration(at.Nanosecond()))
}

// Polled implements engine.Observer.
func (t *Tally) Polled(engine.Polled) {}

// Attempted implements engine.Observer.
func (t *Tally) Attempted(engine.Attempt) {}

// Stored implements engine.Observer.
func (t *Tally) Stored(_, _ int, recent []engine.NewCall) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range recent {
		hour := t.hour(c.Ended).Unix()
		if t.hours[hour] == nil {
			t.hours[hour] = map[string]int{}
		}
		name := cmp.Or(c.Disposition, noOutcome)
		if _, known := t.hours[hour][name]; !known && len(t.hours[hour]) >= tallyNames {
			name = otherOutcomes
		}
		t.hours[hour][name]++
		t.dirty = true
		t.remember(c)
	}
}

// remember takes up a call among the last ones. The caller holds mu.
func (t *Tally) remember(c engine.NewCall) {
	if _, known := t.recent[c.ID]; !known {
		t.order = append(t.order, c.ID)
	}
	t.recent[c.ID] = c
	for len(t.order) > tallyRecent {
		delete(t.recent, t.order[0])
		t.order = t.order[1:]
	}
}

// Forget erases the calls that are named by their ids, or whose masked number ends like one of the phone numbers: a few more may go than
// are meant, which costs a line on the dashboard.
func (t *Tally) Forget(ids, phones []string) error {
	t.mu.Lock()
	before := len(t.order)
	t.order = slices.DeleteFunc(t.order, func(id string) bool {
		phone := t.recent[id].Phone
		gone := slices.Contains(ids, id) || slices.ContainsFunc(phones, func(p string) bool { return phone != "" && ending(p) == ending(phone) })
		if gone {
			delete(t.recent, id)
		}
		return gone
	})
	gone := len(t.order) < before
	t.dirty = t.dirty || gone
	t.mu.Unlock()
	if !gone {
		return nil
	}
	return t.Save(time.Now(), true)
}

// ending is what a masked number shows of a number.
func ending(phone string) string {
	digits := strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) || r == 'x' {
			return r
		}
		return -1
	}, mask.Phone(phone))
	return digits[max(0, len(digits)-2):]
}

// Save keeps the counts if they have changed and were not kept just now; last: in any case.
func (t *Tally) Save(now time.Time, last bool) error {
	t.mu.Lock()
	oldest := now.Add(-tallyHours * time.Hour).Unix()
	maps.DeleteFunc(t.hours, func(hour int64, _ map[string]int) bool { return hour < oldest })
	if !t.dirty || !last && now.Sub(t.saved) < tallyEvery {
		t.mu.Unlock()
		return nil
	}
	t.dirty, t.saved = false, now
	hours, err := json.Marshal(t.hours)
	calls := make([]engine.NewCall, 0, len(t.order))
	for _, id := range t.order {
		calls = append(calls, t.recent[id])
	}
	recent, rerr := json.Marshal(calls)
	t.mu.Unlock() // not held while the disk is written to: who delivers calls must not wait
	if err := errors.Join(err, rerr); err != nil {
		return err
	}
	return errors.Join(t.keep.PutSetting(tallySetting, hours), t.keep.PutSetting(recentSetting, recent))
}

// count is how many calls had an outcome.
type count struct {
	Name string
	N    int
}

// counts returns the last n hours, the oldest first, and what all of them came to, the most frequent first.
func (t *Tally) counts(now time.Time, n int) (hours []count, outcomes []count) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := map[string]int{}
	for i := range n {
		hour := t.hour(now).Add(-time.Duration(n-1-i) * time.Hour)
		total := 0
		for name, k := range t.hours[hour.Unix()] {
			total += k
			sum[name] += k
		}
		hours = append(hours, count{hour.Format("15:04"), total})
	}
	for name, k := range sum {
		outcomes = append(outcomes, count{name, k})
	}
	slices.SortFunc(outcomes, func(a, b count) int { return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Name, b.Name)) })
	return hours, outcomes
}

// call returns what is remembered of a call.
func (t *Tally) call(id string) (engine.NewCall, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, ok := t.recent[id]
	return c, ok
}
