package sync

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
	"github.com/vinfer-sync/vinfer-sync/store/bolt"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// remote is a CRM on HTTP that keeps what it was asked: contacts are found by GET, calls are written by POST.
type remote struct {
	url  string
	mu   sync.Mutex
	got  []string // methods and paths
	fail int      // status of the answers to writes
}

func newRemote(t *testing.T, contacts map[string]crm.Match) *remote {
	r := &remote{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, q.Method+" "+q.URL.Path)
		if q.Method != http.MethodGet && r.fail != 0 {
			w.WriteHeader(r.fail)
			return
		}
		_ = json.NewEncoder(w).Encode(contacts[q.URL.Query().Get("phone")])
	}))
	t.Cleanup(s.Close)
	r.url = s.URL
	return r
}

func (r *remote) asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.got...)
}

func (r *remote) do(ctx context.Context, method, target string, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // read
	if resp.StatusCode != http.StatusOK {
		return crm.Halted(errors.New(resp.Status))
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

func (r *remote) Write(ctx context.Context, e crm.Entry, p *crm.Progress) error {
	p.Refs["activity"] = e.Call.ID
	return r.do(ctx, http.MethodPost, r.url+"/calls", &crm.Match{})
}

func (r *remote) Find(ctx context.Context, c crm.Contact) (m crm.Match, err error) {
	return m, r.do(ctx, http.MethodGet, r.url+"/contacts?phone="+strings.TrimPrefix(c.E164, "+"), &m)
}

func planned(t *testing.T, p Plan, id string) PlanCall {
	t.Helper()
	for _, c := range p.Destinations[0].Calls {
		if c.CallID == id {
			return c
		}
	}
	t.Fatalf("%s is not in the plan: %+v", id, p)
	return PlanCall{}
}

// A plan says what the next run then does, and while it is made no write leaves and the state file stays as it is.
func TestPlanWritesNothing(t *testing.T) {
	r := newRemote(t, map[string]crm.Match{"919000000001": {ID: "7", Label: "Priya", Count: 1}, "919000000002": {Count: 2}, "919000000004": {None: true}})
	now := time.Now().Truncate(time.Second)
	call := func(id, phone, disposition string, ago time.Duration) row {
		return row{id: id, phone: phone, disposition: disposition, started: now.Add(-ago), seconds: 60}
	}
	a := newAPI(t, true, call("old", "+919000000001", "interested", 10*time.Minute))
	rig := newRig(t, a, r, func(o *Options) {
		o.Destinations[0].Filter.Campaigns = []string{"cmp_1"}
		o.Destinations[0].Mapping.Unknown = UnknownSkip
	})
	rig.once()
	r.mu.Lock()
	r.fail = http.StatusUnauthorized
	r.mu.Unlock()
	a.set(func() {
		a.rows = append(a.rows,
			call("late", "+919000000001", "not_interested", 12*time.Minute), call("many", "+919000000002", "interested", 5*time.Minute),
			call("nobody", "+919000000003", "callback_requested", 4*time.Minute), call("odd", "+919000000001", "odd", 3*time.Minute),
			call("own", "+919000000004", "interested", 2*time.Minute))
		a.hook = func(_ http.ResponseWriter, q *http.Request, _ int) bool {
			if q.Method != http.MethodGet {
				t.Errorf("%s %s", q.Method, q.URL.Path)
			}
			return false
		}
	})
	before := stored(t, rig.path)
	asked := len(r.asked())
	p, err := rig.e.Plan(t.Context(), PlanRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if after := stored(t, rig.path); after != before {
		t.Fatal("the state changed")
	}
	looked := r.asked()[asked:]
	if len(looked) != 4 {
		t.Errorf("the destination was asked %v, want each contact once", looked)
	}
	for _, q := range looked {
		if !strings.HasPrefix(q, "GET ") {
			t.Errorf("a write left: %s", q)
		}
	}
	if d := p.Destinations[0]; p.New != 5 || d.Send != 3 || d.Skip != 2 {
		t.Errorf("%+v", p)
	}
	if c := planned(t, p, "late"); !c.Late || c.SetsStatus || c.Contact.Action != "match" || c.Contact.ID != "7" || c.Phone == "+919000000001" {
		t.Errorf("%+v", c)
	}
	if c := planned(t, p, "many"); c.Action != "skip" || c.Contact.Count != 2 {
		t.Errorf("%+v", c)
	}
	if c := planned(t, p, "nobody"); c.Contact.Action != "create" || c.Status != "Callback" || !c.SetsStatus || c.Task == nil || c.Task.Title != "Call back Priya Sharma" {
		t.Errorf("%+v", c)
	}
	if c := planned(t, p, "own"); c.Action != "send" || c.Contact.Action != "none" {
		t.Errorf("%+v", c)
	}
	if c := planned(t, p, "odd"); c.Action != "skip" || !strings.Contains(c.Reason, "mapping.unknown is skip") {
		t.Errorf("%+v", c)
	}
	// The run does it; what is refused waits, and the next plan says so.
	if s, err := rig.e.RunOnce(t.Context()); err != nil || s.New != 5 || s.Pending != 4 {
		t.Fatalf("%+v %v", s, err)
	}
	if p, err = rig.e.Plan(t.Context(), PlanRequest{}); err != nil || p.New != 0 {
		t.Fatalf("%+v %v", p, err)
	}
	if c := planned(t, p, "late"); c.Origin != "waiting" {
		t.Errorf("%+v", c)
	}
}

// A plan with --since shows what a backfill from then on would bring, over a store that has never run as well.
func TestPlanSince(t *testing.T) {
	rows := past(40)
	a := newAPI(t, false, rows...)
	path := filepath.Join(t.TempDir(), "state.db")
	st, err := bolt.OpenCopy(path, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := vinfer.New(vinfer.Config{BaseURL: a.URL + "/v1", Key: func() (secret.Text, error) { return secret.New("k"), nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	rec := &appendRecorder{}
	e, err := New(Options{API: c, Store: st, Lookback: 15 * time.Minute, Destinations: []Destination{{Name: "crm", Kind: "test", Writer: rec}}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.Plan(t.Context(), PlanRequest{})
	if err != nil || p.New != 0 {
		t.Fatalf("an empty store begins now: %+v %v", p, err)
	}
	p, err = e.Plan(t.Context(), PlanRequest{Since: time.Now().Add(-time.Hour)})
	if err != nil || p.New != 40 || p.Destinations[0].Send != 40 {
		t.Fatalf("%+v %v", p, err)
	}
	if planned(t, p, rows[7].id).Contact != nil {
		t.Error("a destination without contacts has one")
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if !bolt.Absent(path) || len(rec.entries()) != 0 {
		t.Error("something was written")
	}
}
