package admin

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/alert"
	"github.com/vinfer-sync/vinfer-sync/store"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// someFacts are those of a pipeline with a healthy destination, a halted one, and one that is no longer configured.
func someFacts() Facts {
	now := time.Now().UTC()
	f := Facts{StoreBytes: 4096, Schedule: "@every 1m", Lag: 15 * time.Minute}
	f.Now, f.Started = now, now.Add(-time.Hour)
	f.Stats = store.Stats{
		Watermark: now.Add(-20 * time.Second), LastRun: store.Run{LastSuccess: now.Add(-20 * time.Second), At: now.Add(-20 * time.Second)},
		LateFound: 2, Pending: 7, Dead: 3, Transcripts: 1,
		Dests: []store.Dest{
			{DestSpec: store.DestSpec{Name: "sales", Kind: "webhook"}, Delivered: 40},
			{DestSpec: store.DestSpec{Name: "none", Kind: "sqlite"}, Pending: 7, Dead: 2, Halted: "401 Unauthorized"},
			{DestSpec: store.DestSpec{Name: "gone", Kind: "jsonl"}, Orphaned: true},
		},
	}
	f.Oldest = map[string]time.Time{"none": now.Add(-time.Hour)}
	f.Disks = []alert.Space{{Path: "/var/lib/vinfer-sync", Free: 1 << 30, Total: 1 << 34}}
	f.Status = engine.StatusOf(f.Stats, "default", "1.0")
	f.Status.Budget = engine.BudgetStatus{Limit: 1000, Remaining: 900, Reset: now.Add(time.Minute).Format(time.RFC3339)}
	f.Status.Role, f.Status.Leader = "leader", &engine.Leader{Node: "a/1", Since: now}
	f.Status.NextRun = now.Add(40 * time.Second).Format(time.RFC3339)
	f.Status.Alerts = []engine.Alert{{Alert: alert.Halted, Destination: "none", Message: "none is halted", Since: now}}
	return f
}

func facts() (Facts, error) { return someFacts(), nil }

// used is what metrics look like after some work.
func used(t *testing.T) *Metrics {
	m := NewMetrics("default", "1.0", facts)
	m.Configured([]string{"sales", "none"})
	m.Polled(engine.Polled{Took: time.Second, Fetched: 3})
	m.Polled(engine.Polled{Took: time.Second, Err: errors.New("502")})
	m.Stored(2, 1, nil)
	m.Attempted(engine.Attempt{Dest: "sales", Result: engine.ResultDelivered, Took: time.Second, Behind: time.Minute})
	m.Reloaded(nil)
	return m
}

func get(t *testing.T, h http.Handler, path string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	r.Host = "127.0.0.1:9477"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(body)
}

// families scrapes and parses strictly.
func families(t *testing.T, m *Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	resp, text := get(t, m.handler(quiet), "/metrics")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", resp.StatusCode, text)
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, namespace) {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestMetrics(t *testing.T) {
	m := used(t)
	all := families(t, m)
	value := func(name string, labels ...string) float64 {
		t.Helper()
		f := all[name]
		if f == nil {
			t.Fatalf("there is no %s", name)
		}
	next:
		for _, x := range f.GetMetric() {
			got := map[string]string{}
			for _, l := range x.GetLabel() {
				got[l.GetName()] = l.GetValue()
			}
			if got["pipeline"] != "default" {
				t.Errorf("%s has no pipeline: %v", name, got)
			}
			for i := 0; i < len(labels); i += 2 {
				if got[labels[i]] != labels[i+1] {
					continue next
				}
			}
			switch {
			case x.Counter != nil:
				return x.GetCounter().GetValue()
			case x.Gauge != nil:
				return x.GetGauge().GetValue()
			default:
				return float64(x.GetHistogram().GetSampleCount())
			}
		}
		t.Errorf("%s has none of %q", name, labels)
		return -1
	}
	for _, tt := range []struct {
		want   float64
		name   string
		labels []string
	}{
		{1, "build_info", []string{"version", "1.0"}},
		{1, "runs_total", []string{"result", "ok"}},
		{1, "runs_total", []string{"result", "failed"}},
		{2, "run_duration_seconds", nil},
		{3, "calls_seen_total", nil},
		{2, "calls_new_total", nil},
		{2, "calls_late_total", nil},
		{1, "deliveries_total", []string{"destination", "sales", "result", "delivered"}},
		{0, "deliveries_total", []string{"destination", "sales", "result", "refused"}},
		{1, "delivery_duration_seconds", []string{"destination", "sales"}},
		{1, "end_to_end_seconds", []string{"destination", "sales"}},
		{7, "pending", []string{"destination", "none"}},
		{2, "dead_letters", []string{"destination", "none"}},
		{1, "unreadable_rows", nil},
		{1, "halted", []string{"destination", "none"}},
		{0, "halted", []string{"destination", "sales"}},
		{1000, "budget_limit_requests", nil},
		{900, "budget_remaining_requests", nil},
		{4096, "store_size_bytes", nil},
		{1 << 30, "disk_free_bytes", nil},
		{1, "alerts_active", []string{"alert", "halted"}},
		{0, "alerts_active", []string{"alert", "lag"}},
		{1, "config_in_use", nil},
		{1, "config_reloads_total", []string{"result", "ok"}},
	} {
		if got := value(namespace+"_"+tt.name, tt.labels...); got != tt.want {
			t.Errorf("%s %q: %v, want %v", tt.name, tt.labels, got, tt.want)
		}
	}
	if age := value(namespace+"_oldest_pending_seconds", "destination", "none"); age < 3600 || age > 3700 {
		t.Errorf("oldest: %v", age)
	}
	if lag := value(namespace + "_lag_seconds"); lag < 20 || lag > 100 {
		t.Errorf("lag: %v", lag)
	}
	m.Configured([]string{"sales"})
	for _, x := range families(t, m)[namespace+"_deliveries_total"].GetMetric() {
		for _, l := range x.GetLabel() {
			if l.GetValue() == "none" {
				t.Error("a destination that is no longer configured is still counted")
			}
		}
	}
}

func TestMetricsSayWhenTheStoreCannotBeRead(t *testing.T) {
	m := NewMetrics("default", "1.0", func() (Facts, error) { return Facts{}, errors.New("the store is closed") })
	if resp, text := get(t, m.handler(quiet), "/metrics"); resp.StatusCode != http.StatusInternalServerError || !strings.Contains(text, "the store is closed") {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
}

// What the dashboard and the rules of contrib ask for must be there.
func TestContribKnowsTheMetrics(t *testing.T) {
	known := families(t, used(t))
	names := regexp.MustCompile(`\b(vinfer_sync|go|process)_[a-z0-9_]+`)
	for _, file := range []string{"grafana-dashboard.json", "prometheus-rules.yaml", "prometheus-rules_test.yaml"} {
		text, err := os.ReadFile("../contrib/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, ".json") && !json.Valid(text) {
			t.Errorf("%s is no JSON", file)
		}
		found := names.FindAllString(string(text), -1)
		if len(found) < 10 {
			t.Errorf("%s names only %q", file, found)
		}
		for _, name := range found {
			base := strings.TrimSuffix(name, "_bucket")
			if known[base] == nil {
				t.Errorf("%s asks for %s, which there is none of", file, name)
			}
		}
	}
}

func TestOnlyThisMachinesNames(t *testing.T) {
	self, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") })
	for _, tt := range []struct {
		configured, addr, host, path string
		ok                           bool
	}{
		{"127.0.0.1:9477", "127.0.0.1:9477", "127.0.0.1:9477", "/", true},
		{"127.0.0.1:9477", "127.0.0.1:9477", "localhost:9477", "/", true},
		{"127.0.0.1:9477", "127.0.0.1:9477", "LOCALHOST.", "/", true},
		{"127.0.0.1:9477", "127.0.0.1:9477", "[::1]:9477", "/", true},
		{"127.0.0.1:9477", "127.0.0.1:9477", self + ":9477", "/", true},
		{"127.0.0.1:9477", "127.0.0.1:9477", "evil.example:9477", "/", false},
		{"127.0.0.1:9477", "127.0.0.1:9477", "evil.example", "/metrics", false},
		{"127.0.0.1:9477", "127.0.0.1:9477", "localhost.evil.example", "/", false},
		{"127.0.0.1:9477", "127.0.0.1:9477", "127.0.0.1.evil.example", "/", false},
		{"127.0.0.1:9477", "127.0.0.1:9477", "", "/", false},
		{"sync.corp.example:9477", "10.0.0.5:9477", "sync.corp.example:9477", "/", true},
		{":9477", "[::]:9477", "evil.example", "/", false},
		{":9477", "[::]:9477", "vinfer-sync.monitoring.svc:9477", "/metrics", true},
		{":9477", "[::]:9477", "vinfer-sync.monitoring.svc:9477", "/readyz", true},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, tt.path, nil)
		r.Host = tt.host
		w := httptest.NewRecorder()
		guarded(page, tt.configured, tt.addr).ServeHTTP(w, r)
		if ok := w.Code == http.StatusOK; ok != tt.ok {
			t.Errorf("%s asked as %q for %s: %d", tt.configured, tt.host, tt.path, w.Code)
		}
		if strings.Contains(w.Body.String(), "page") != tt.ok {
			t.Errorf("%s asked as %q: %s", tt.configured, tt.host, w.Body)
		}
	}
}

func TestHealth(t *testing.T) {
	well := func() error { return nil }
	if resp, text := get(t, health(well), "/readyz"); resp.StatusCode != http.StatusOK || text != "ok\n" {
		t.Errorf("%d %q", resp.StatusCode, text)
	}
	ill := func() error { return errors.New("no poll has ended yet") }
	if resp, text := get(t, health(ill), "/readyz"); resp.StatusCode != http.StatusServiceUnavailable || text != "no poll has ended yet\n" {
		t.Errorf("%d %q", resp.StatusCode, text)
	}
}

func TestStandby(t *testing.T) {
	w, err := ServeStandby("127.0.0.1:0", "sales", "1.0", func() error { return errors.New("standby: node b leads") }, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	for path, want := range map[string]struct {
		code int
		text string
	}{
		"/healthz": {http.StatusOK, "ok"},
		"/readyz":  {http.StatusServiceUnavailable, "node b leads"},
		"/":        {http.StatusOK, "sales: standby: node b leads"},
		"/metrics": {http.StatusOK, `vinfer_sync_leader{pipeline="sales"} 0`},
	} {
		resp, text := get(t, w.http.Handler, path)
		if resp.StatusCode != want.code || !strings.Contains(text, want.text) {
			t.Errorf("%s: %d %s", path, resp.StatusCode, text)
		}
	}
}
