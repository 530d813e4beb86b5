package sync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/bolt"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testsOf(m)) }

// These are others where the state is in a database. stored is another text after each change.
var (
	stored = func(t *testing.T, path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	openStore = func(_ *testing.T, path string) (store.Store, error) { return bolt.Open(path, bolt.Options{}) }
	testsOf   = func(m *testing.M) goleak.TestingM { return m }
)

// row is a call as the small API of these tests serves it.
type row struct {
	id, phone, disposition string
	started                time.Time
	seconds                float64
	running                bool
	raw                    string // instead of all that
}

func (r row) ended() time.Time { return r.started.Add(time.Duration(r.seconds) * time.Second) }

// api is VInfer as small as a test can hold it: rows in whatever order they stand, and a hook to misbehave.
type api struct {
	*httptest.Server
	mu       sync.Mutex
	rows     []row
	after    bool // honours after, else from and to
	hook     func(w http.ResponseWriter, r *http.Request, n int) bool
	n        int
	noTotal  bool
	surplus  int               // of the total
	texts    map[string]string // transcripts by call id
	requests []string
}

func newAPI(t *testing.T, after bool, rows ...row) *api {
	a := &api{after: after, rows: rows, texts: map[string]string{}}
	a.Server = httptest.NewServer(http.HandlerFunc(a.serve))
	t.Cleanup(a.Close)
	return a
}

func (a *api) set(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

func (r row) json(after bool) string {
	if r.raw != "" {
		return r.raw
	}
	m := map[string]any{"contact": map[string]string{"phone": r.phone, "name": "Priya Sharma"}, "language": "hi-IN", "campaign_id": "cmp_1"}
	if r.disposition != "" {
		m["disposition"] = r.disposition
	}
	if after {
		m["call_id"], m["timestamp"], m["duration_seconds"] = r.id, r.ended().UTC().Format(time.RFC3339), r.seconds
		b, _ := json.Marshal(m)
		return string(b)
	}
	m["id"], m["started_at"] = r.id, r.started.UTC().Format(time.RFC3339)
	m["status"] = "in_progress"
	if !r.running {
		m["status"], m["ended_at"], m["duration_seconds"] = "completed", r.ended().UTC().Format(time.RFC3339), r.seconds
	}
	b, _ := json.Marshal(m)
	return string(b)
}

func (a *api) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n++
	a.requests = append(a.requests, r.URL.String())
	if a.hook != nil && a.hook(w, r, a.n) {
		return
	}
	q := r.URL.Query()
	bound := func(name string) time.Time {
		t, _ := time.Parse(time.RFC3339, q.Get(name))
		return t
	}
	switch {
	case r.URL.Path == "/v1/calls":
	case len(r.URL.Path) > len("/v1/calls/") && r.URL.Path[:10] == "/v1/calls/":
		for _, x := range a.rows {
			if x.id == r.URL.Path[10:] {
				text := x.json(a.after)
				if _, ok := a.texts[x.id]; ok {
					text = text[:len(text)-1] + `,"transcript_job_id":"job_` + x.id + `"}`
				}
				_, _ = io.WriteString(w, text)
				return
			}
		}
		http.Error(w, "{}", http.StatusNotFound)
		return
	default:
		for id, text := range a.texts {
			if r.URL.Path == "/v1/transcription/job_"+id && text != "" {
				_, _ = fmt.Fprintf(w, `{"status":"completed","segments":[{"speaker":"customer","text":%q,"start":0,"end":1.5}]}`, text)
				return
			}
		}
		http.Error(w, "{}", http.StatusNotFound)
		return
	}
	var out []string
	for _, x := range a.rows {
		switch {
		case a.after && (x.running || !bound("after").IsZero() && !x.ended().After(bound("after"))):
		case !a.after && !bound("from").IsZero() && x.started.Before(bound("from")):
		case !a.after && !bound("to").IsZero() && x.started.After(bound("to")):
		default:
			out = append(out, x.json(a.after))
		}
	}
	limit, _ := strconv.Atoi(q.Get("limit"))
	if limit == 0 {
		limit = 20
	}
	limit = min(limit, 100)
	offset, _ := strconv.Atoi(q.Get("offset"))
	total := len(out)
	out = out[min(offset, total):min(offset+limit, total)]
	_, _ = io.WriteString(w, `{"data":[`)
	for i, s := range out {
		if i > 0 {
			_, _ = io.WriteString(w, ",")
		}
		_, _ = io.WriteString(w, s)
	}
	if a.noTotal {
		_, _ = io.WriteString(w, `]}`)
		return
	}
	_, _ = fmt.Fprintf(w, `],"total":%d,"limit":%d,"offset":%d}`, total+a.surplus, limit, offset)
}

// recorder is a destination that remembers everything and answers as told.
type recorder struct {
	mu      sync.Mutex
	got     []crm.Entry
	answer  func(e crm.Entry, n int) error
	latency time.Duration
}

func (r *recorder) Write(ctx context.Context, e crm.Entry, p *crm.Progress) error {
	if r.latency > 0 {
		time.Sleep(r.latency)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answer != nil {
		if err := r.answer(e, len(r.got)); err != nil {
			return err
		}
	}
	r.got = append(r.got, e)
	return p.Save("activity", "a-"+e.Call.ID)
}

func (r *recorder) entries() []crm.Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// ids of the entries with an event, in order.
func (r *recorder) ids(ev crm.Event) []string {
	var out []string
	for _, e := range r.entries() {
		if e.Event == ev {
			out = append(out, e.Call.ID)
		}
	}
	return out
}

// appendRecorder is a recorder that cannot recognise a call.
type appendRecorder struct{ recorder }

func (*appendRecorder) AppendOnly() {}

// rigWorkers is how many workers the destination of a rig has. It is changed only between tests that do not run side by side.
var rigWorkers = 4

// rig is an engine over a real store, and what it takes to restart it.
type rig struct {
	t     *testing.T
	api   *api
	path  string
	o     Options
	store store.Store
	e     *Engine
}

func newRig(t *testing.T, a *api, writer crm.Writer, change func(*Options)) *rig {
	r := &rig{t: t, api: a, path: filepath.Join(t.TempDir(), "state.db")}
	r.o = Options{
		Name: "test", Start: time.Now().Add(-48 * time.Hour), Lookback: 15 * time.Minute, MaxCall: 4 * time.Hour, Schedule: "@every 1s",
		GiveUpAfter: 24 * time.Hour, Pause: time.Millisecond, Backoff: 5 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		Destinations: []Destination{{Name: "crm", Kind: "test", Writer: writer, Workers: rigWorkers, Identity: "a", Mapping: Mapping{Dispositions: map[string]Rule{
			"interested":         {Status: "Hot Lead"},
			"not_interested":     {Status: "Closed"},
			"callback_requested": {Status: "Callback", Task: &TaskRule{Title: "Call back {{.Contact.Name}}", Due: 2 * time.Hour}},
		}}}},
	}
	if change != nil {
		change(&r.o)
	}
	r.open()
	t.Cleanup(r.close)
	return r
}

func (r *rig) open() {
	r.t.Helper()
	st, err := openStore(r.t, r.path)
	if err != nil {
		r.t.Fatal(err)
	}
	r.store = st
	c, err := vinfer.New(vinfer.Config{BaseURL: r.api.URL + "/v1", Key: func() (secret.Text, error) { return secret.New("k-secret"), nil }, RetryWait: time.Millisecond})
	if err != nil {
		r.t.Fatal(err)
	}
	r.o.API, r.o.Store = c, st
	if r.e, err = New(r.o); err != nil {
		r.t.Fatal(err)
	}
	if err := r.e.Start(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) close() {
	if r.e == nil {
		return
	}
	r.e.Stop()
	r.o.API.Close()
	if err := r.store.Close(); err != nil {
		r.t.Error(err)
	}
	r.e = nil
}

func (r *rig) restart(change func(*Options)) {
	r.t.Helper()
	r.close()
	if change != nil {
		change(&r.o)
	}
	r.open()
}

func (r *rig) once() Summary {
	r.t.Helper()
	s, err := r.e.RunOnce(r.t.Context())
	if err != nil {
		r.t.Fatalf("run: %v", err)
	}
	return s
}

func (r *rig) fails() error {
	r.t.Helper()
	_, err := r.e.RunOnce(r.t.Context())
	if err == nil {
		r.t.Fatal("the run did not fail")
	}
	return err
}

func (r *rig) stats() store.Stats {
	r.t.Helper()
	st, err := r.store.Stats()
	if err != nil {
		r.t.Fatal(err)
	}
	return st
}

// past returns calls that ended i minutes ago, oldest first.
func past(n int) []row {
	var rows []row
	now := time.Now().Truncate(time.Second)
	for i := range n {
		rows = append(rows, row{
			id: fmt.Sprintf("call_%04d", i), phone: fmt.Sprintf("+9190000%05d", i), disposition: "interested",
			started: now.Add(-time.Duration(n-i)*10*time.Second - 2*time.Minute), seconds: 60,
		})
	}
	return rows
}

func idsOf(rows []row) []string {
	var out []string
	for _, r := range rows {
		out = append(out, r.id)
	}
	slices.Sort(out)
	return out
}

func sameIDs(t *testing.T, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Fatalf("got %d ids, want %d:\n%v\n%v", len(got), len(want), got, want)
	}
}

var errSick = errors.New("receiver is sick")
