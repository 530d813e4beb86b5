//go:build soak

package soak

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// receiver is a webhook's handler that misbehaves until it is well, and keeps account of what it took.
type receiver struct {
	mu     sync.Mutex
	dice   *rand.Rand
	well   bool
	ended  func(id string) time.Time // when a call ended
	keys   map[string]*delivery
	events map[[2]string]map[string]bool // of an event and a call: the keys that it came under
	shown  map[string]string             // of a call: the disposition in what was taken last
	newest map[string]string             // of a phone number: the call that ended last among those that were taken
	wrong  []string                      // what no receiver may be shown
	done   map[string]int                // how often it did what
}

// delivery is what came under one key.
type delivery struct {
	body     [sha256.Size]byte
	taken    int  // times
	answered bool // the sender was told so
}

func newReceiver(seed uint64, ended func(id string) time.Time) *receiver {
	return &receiver{
		dice: rand.New(rand.NewPCG(seed, 1)), ended: ended, well: true,
		keys: map[string]*delivery{}, events: map[[2]string]map[string]bool{}, shown: map[string]string{}, newest: map[string]string{}, done: map[string]int{},
	}
}

func (r *receiver) behave(well bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.well = well
}

// What it does to a request, and to how many of a hundred; the others are taken and answered.
const (
	refuses = "500"      // 8
	ails    = "503"      // 4
	throttl = "429"      // 3
	hangsUp = "hang-up"  // 4: before anything was taken
	loses   = "lost"     // 4: takes it and hangs up
	stalls  = "too slow" // 1: takes it and answers when nobody waits any more
	dawdles = "slow"     // 6
	takes   = "taken"
)

func (r *receiver) choose() string {
	if r.well {
		return takes
	}
	n := r.dice.IntN(100)
	for _, c := range []struct {
		what  string
		share int
	}{{refuses, 8}, {ails, 4}, {throttl, 3}, {hangsUp, 4}, {loses, 4}, {stalls, 1}, {dawdles, 6}} {
		if n -= c.share; n < 0 {
			return c.what
		}
	}
	return takes
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return // the sender has gone
	}
	r.mu.Lock()
	what := r.choose()
	r.done[what]++
	r.seen(q.Header, body)
	if what == takes || what == loses || what == stalls || what == dawdles {
		r.take(q.Header, body)
	}
	r.mu.Unlock()
	switch what {
	case refuses:
		http.Error(w, "something went wrong", http.StatusInternalServerError)
	case ails:
		http.Error(w, "try again", http.StatusServiceUnavailable)
	case throttl:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many", http.StatusTooManyRequests)
	case hangsUp, loses:
		panic(http.ErrAbortHandler)
	case stalls:
		<-q.Context().Done()
	case dawdles, takes:
		if what == dawdles {
			time.Sleep(300 * time.Millisecond)
		}
		if q.Context().Err() == nil {
			r.mu.Lock()
			r.keys[q.Header.Get("Idempotency-Key")].answered = true
			r.mu.Unlock()
		}
	}
}

// blame notes what must not be; the caller holds mu.
func (r *receiver) blame(format string, args ...any) {
	if len(r.wrong) < 20 {
		r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
	}
}

// seen compares what came with what came before under its key.
func (r *receiver) seen(h http.Header, body []byte) {
	key, sum := h.Get("Idempotency-Key"), sha256.Sum256(body)
	d := r.keys[key]
	switch {
	case key == "":
		r.blame("a delivery without a key: %.200s", body)
	case d == nil:
		d = &delivery{body: sum}
		r.keys[key] = d
	case d.body != sum:
		r.blame("key %s came with another body: %.200s", key, body)
	}
	if d != nil && d.answered {
		r.blame("key %s came again although it had been answered: %.200s", key, body)
	}
}

func (r *receiver) take(h http.Header, body []byte) {
	var e struct {
		Event       string
		CallID      string `json:"call_id"`
		Disposition string
		Contact     struct{ Phone string }
	}
	if err := json.Unmarshal(body, &e); err != nil {
		r.blame("%v in %.200s", err, body)
		return
	}
	key := h.Get("Idempotency-Key")
	d := r.keys[key]
	d.taken++
	if e.Event == "call.completed" || e.Event == "call.disposition_set" {
		r.shown[e.CallID] = e.Disposition
	}
	id := [2]string{e.Event, e.CallID}
	if r.events[id] == nil {
		r.events[id] = map[string]bool{}
	}
	r.events[id][key] = true
	if len(r.events[id]) > 1 && e.Event != "call.disposition_set" {
		r.blame("%s of %s came under %d keys", e.Event, e.CallID, len(r.events[id]))
	}
	if e.Event != "call.completed" || d.taken > 1 {
		return
	}
	if r.ended(e.CallID).After(time.Now().Add(5 * time.Second)) {
		return // dated ahead by mistake: it stands where it was seen, and no call after it is late
	}
	last := r.newest[e.Contact.Phone]
	if last != "" && r.ended(e.CallID).Before(r.ended(last)) {
		if h.Get("X-VInfer-Sync-Late") == "" {
			r.blame("%s came after %s of the same contact, which ended later, and is not marked late", e.CallID, last)
		}
		return
	}
	r.newest[e.Contact.Phone] = e.CallID
}

// has tells whether the call has arrived, and with which disposition last.
func (r *receiver) has(id string) (disposition string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	disposition, ok = r.shown[id]
	return disposition, ok
}

// account tells what came more than once, all of it lost answers, and what was done how often.
func (r *receiver) account() (repeats int, done map[string]int, wrong []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.keys {
		repeats += max(d.taken-1, 0)
	}
	return repeats, r.done, r.wrong
}
