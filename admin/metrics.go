package admin

import (
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/vinfer-sync/vinfer-sync/alert"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

const namespace = "vinfer_sync"

// Metrics counts what happens and shows it to Prometheus. It is the engine's Observer; one Metrics outlives the engines of a process.
// Labels are destinations, results and kinds of alerts: as many as are configured, and nothing that names a person.
type Metrics struct {
	registry   *prometheus.Registry
	runs       *prometheus.CounterVec
	runTime    prometheus.Histogram
	seen, news prometheus.Counter
	deliveries *prometheus.CounterVec
	took       *prometheus.HistogramVec
	behind     *prometheus.HistogramVec
	reloads    *prometheus.CounterVec

	configured []string
}

var _ engine.Observer = (*Metrics)(nil)

// NewMetrics returns the metrics of a pipeline. facts is asked at each scrape.
func NewMetrics(pipeline, version string, facts func() (Facts, error)) *Metrics {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}
	}
	histogram := func(name, help string, buckets ...float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}
	}
	m := &Metrics{
		registry:   prometheus.NewRegistry(),
		runs:       prometheus.NewCounterVec(counter("runs_total", "Polls that have ended, by result (ok, failed)."), []string{"result"}),
		runTime:    prometheus.NewHistogram(histogram("run_duration_seconds", "How long polls took.", 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)),
		seen:       prometheus.NewCounter(counter("calls_seen_total", "Calls that the listings showed, repeats included.")),
		news:       prometheus.NewCounter(counter("calls_new_total", "Calls stored that were never seen before.")),
		deliveries: prometheus.NewCounterVec(counter("deliveries_total", "Attempts at deliveries that have ended, by destination and result."), []string{"destination", "result"}),
		took: prometheus.NewHistogramVec(histogram("delivery_duration_seconds", "How long attempts at deliveries took, by destination.",
			0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30), []string{"destination"}),
		behind: prometheus.NewHistogramVec(histogram("end_to_end_seconds", "Time from the end of a call to its first delivery, by destination, backfills left aside.",
			5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400), []string{"destination"}),
		reloads: prometheus.NewCounterVec(counter("config_reloads_total", "Configurations and rotated secrets read again, by result (ok, failed)."), []string{"result"}),
	}
	prometheus.WrapRegistererWith(prometheus.Labels{"pipeline": pipeline}, m.registry).MustRegister(
		m.runs, m.runTime, m.seen, m.news, m.deliveries, m.took, m.behind, m.reloads, newState(version, facts), newLeftOut(facts), newRequests(facts))
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, result := range []string{"ok", "failed"} {
		m.runs.WithLabelValues(result)
		m.reloads.WithLabelValues(result)
	}
	return m
}

// Configured tells which destinations there are now: theirs are shown from the first scrape on, those of others no more. It is not to be
// called from two goroutines at once.
func (m *Metrics) Configured(destinations []string) {
	for _, d := range m.configured {
		if !slices.Contains(destinations, d) {
			m.deliveries.DeletePartialMatch(prometheus.Labels{"destination": d})
			m.took.DeleteLabelValues(d)
			m.behind.DeleteLabelValues(d)
		}
	}
	m.configured = destinations
	for _, d := range destinations {
		for _, r := range engine.Results {
			m.deliveries.WithLabelValues(d, r)
		}
		m.took.WithLabelValues(d)
		m.behind.WithLabelValues(d)
	}
}

// Reloaded counts a configuration that was read again.
func (m *Metrics) Reloaded(err error) { m.reloads.WithLabelValues(resultOf(err)).Inc() }

func resultOf(err error) string {
	if err != nil {
		return "failed"
	}
	return "ok"
}

// Polled implements engine.Observer.
func (m *Metrics) Polled(p engine.Polled) {
	m.runs.WithLabelValues(resultOf(p.Err)).Inc()
	m.runTime.Observe(p.Took.Seconds())
	m.seen.Add(float64(p.Fetched))
}

// Stored implements engine.Observer.
func (m *Metrics) Stored(n, _ int, _ []engine.NewCall) { m.news.Add(float64(n)) }

// Attempted implements engine.Observer.
func (m *Metrics) Attempted(a engine.Attempt) {
	m.deliveries.WithLabelValues(a.Dest, a.Result).Inc()
	m.took.WithLabelValues(a.Dest).Observe(a.Took.Seconds())
	if a.Behind > 0 {
		m.behind.WithLabelValues(a.Dest).Observe(a.Behind.Seconds())
	}
}

// handler answers scrapes.
func (m *Metrics) handler(log *slog.Logger) http.Handler { return scraped(m.registry, log) }

// standbyMetrics are those of a node that stands by.
func standbyMetrics(pipeline, version string, log *slog.Logger) http.Handler {
	r := prometheus.NewRegistry()
	labels := prometheus.Labels{"pipeline": pipeline}
	leads := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "leader", Help: leaderHelp, ConstLabels: labels})
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: buildHelp,
		ConstLabels: prometheus.Labels{"pipeline": pipeline, "version": version, "goversion": runtime.Version()},
	})
	build.Set(1)
	r.MustRegister(leads, build)
	return scraped(r, log)
}

const (
	buildHelp  = "1, labelled with the program's version and Go's."
	leaderHelp = "1 on the node that leads a pipeline that several share, 0 on a standby."
)

func scraped(r *prometheus.Registry, log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), MaxRequestsInFlight: 4, Timeout: 20 * time.Second,
		DisableCompression: true, // it costs more memory than it saves on this machine
	})
}

// state reads at each scrape what the store and the engine know.
type state struct {
	facts   func() (Facts, error)
	version string

	build, lag, lastSuccess, lastRun, nextRun, late                   *prometheus.Desc
	pending, oldest, dead, broken, halted, paused                     *prometheus.Desc
	budgetLimit, budgetLeft, budgetReset, skew                        *prometheus.Desc
	transcripts, unfinished, backfills, audited                       *prometheus.Desc
	storeBytes, diskFree, diskBytes, alerts, configOK, stuck, started *prometheus.Desc
	leader, leaderSince                                               *prometheus.Desc
}

func newState(version string, facts func() (Facts, error)) *state {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
	}
	return &state{
		facts: facts, version: version,
		build:       desc("build_info", buildHelp, "version", "goversion"),
		leader:      desc("leader", leaderHelp),
		leaderSince: desc("leader_since_timestamp_seconds", "Since when this node leads, in Unix time."),
		started:     desc("start_timestamp_seconds", "When the process started, in Unix time."),
		lag:         desc("lag_seconds", "How long ago the moment is up to which calls have been read."),
		lastSuccess: desc("last_success_timestamp_seconds", "When the last good poll began, in Unix time; 0: none yet."),
		lastRun:     desc("last_run_timestamp_seconds", "When the last poll began, in Unix time; 0: none yet."),
		nextRun:     desc("next_run_timestamp_seconds", "When the next poll begins, in Unix time; 0: the first one is under way."),
		late:        desc("calls_late_total", "Calls that showed up behind what had been read, since the store was made."),
		pending:     desc("pending", "Deliveries that wait, by destination.", "destination"),
		oldest:      desc("oldest_pending_seconds", "How long ago the oldest call ended that a destination lacks, backfills left aside; 0: it lacks none.", "destination"),
		dead:        desc("dead_letters", "Dead letters, by destination.", "destination"),
		broken:      desc("unreadable_rows", "Dead letters of no destination: rows of VInfer's that could not be understood."),
		halted:      desc("halted", "Whether a destination is halted (1) and waits for an operator.", "destination"),
		paused:      desc("paused", "Whether an operator holds a destination (1).", "destination"),
		budgetLimit: desc("budget_limit_requests", "VInfer's limit of requests in a window, as last seen."),
		budgetLeft:  desc("budget_remaining_requests", "Requests left in the window, as last seen."),
		budgetReset: desc("budget_reset_timestamp_seconds", "When the window ends, in Unix time."),
		skew:        desc("clock_skew_seconds", "VInfer's clock minus this machine's."),
		transcripts: desc("transcripts_waiting", "Transcripts that are awaited."),
		unfinished:  desc("calls_in_progress", "Calls whose end is awaited."),
		backfills:   desc("backfills", "Backfills that are not finished."),
		audited:     desc("audited_until_timestamp_seconds", "Up to when calls have been proven complete, in Unix time; 0: not yet."),
		storeBytes:  desc("store_size_bytes", "Size of the state file."),
		diskFree:    desc("disk_free_bytes", "Free room on the disks that it writes to, by directory.", "directory"),
		diskBytes:   desc("disk_size_bytes", "Size of these disks.", "directory"),
		alerts:      desc("alerts_active", "What needs an operator, as the daemon itself sees it, by kind.", "alert"),
		configOK:    desc("config_in_use", "1: the configuration's file is in use as it was last read; 0: it had faults."),
		stuck:       desc("stuck", "1: something has shown no sign of life for long."),
	}
}

// Describe implements prometheus.Collector. It announces nothing: what is collected is checked at each scrape.
func (s *state) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s *state) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	f, err := s.facts()
	if err != nil {
		ch <- prometheus.NewInvalidMetric(s.lag, err)
		return
	}
	gauge(s.build, 1, s.version, runtime.Version())
	gauge(s.started, unix(f.Started))
	if f.Status.Role != "" {
		gauge(s.leader, bit(f.Status.Role == "leader"))
		if f.Status.Leader != nil {
			gauge(s.leaderSince, unix(f.Status.Leader.Since))
		}
	}
	gauge(s.lag, max(f.Now.Sub(f.Stats.Watermark).Seconds(), 0))
	gauge(s.lastSuccess, unix(f.Stats.LastRun.LastSuccess))
	gauge(s.lastRun, unix(f.Stats.LastRun.At))
	next, _ := time.Parse(time.RFC3339, f.Status.NextRun)
	gauge(s.nextRun, unix(next))
	ch <- prometheus.MustNewConstMetric(s.late, prometheus.CounterValue, float64(f.Stats.LateFound))
	broken := f.Stats.Dead
	for _, d := range f.Stats.Dests {
		broken -= d.Dead
		if d.Orphaned && d.Pending == 0 && d.Dead == 0 {
			continue
		}
		var age float64
		if at := f.Oldest[d.Name]; !at.IsZero() {
			age = max(f.Now.Sub(at).Seconds(), 0)
		}
		gauge(s.pending, float64(d.Pending), d.Name)
		gauge(s.oldest, age, d.Name)
		gauge(s.dead, float64(d.Dead), d.Name)
		gauge(s.halted, bit(d.Halted != ""), d.Name)
		gauge(s.paused, bit(d.Paused != ""), d.Name)
	}
	gauge(s.broken, float64(broken))
	reset, _ := time.Parse(time.RFC3339, f.Status.Budget.Reset)
	gauge(s.budgetLimit, float64(f.Status.Budget.Limit))
	gauge(s.budgetLeft, float64(f.Status.Budget.Remaining))
	gauge(s.budgetReset, unix(reset))
	gauge(s.skew, f.Skew.Seconds())
	gauge(s.transcripts, float64(f.Stats.Transcripts))
	gauge(s.unfinished, float64(f.Stats.Unfinished))
	gauge(s.backfills, float64(len(f.Status.Backfills)))
	gauge(s.audited, unix(f.Stats.AuditedUntil))
	gauge(s.storeBytes, float64(f.StoreBytes))
	for _, d := range f.Disks {
		gauge(s.diskFree, float64(d.Free), d.Path)
		gauge(s.diskBytes, float64(d.Total), d.Path)
	}
	for _, kind := range alert.Kinds {
		n := 0
		for _, a := range f.Status.Alerts {
			if a.Alert == kind {
				n++
			}
		}
		gauge(s.alerts, float64(n), kind)
	}
	gauge(s.configOK, bit(f.Status.ConfigError == ""))
	gauge(s.stuck, bit(f.Stuck != nil))
}

func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix())
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Observers is several Observers as one.
type Observers []engine.Observer

// Polled implements engine.Observer.
func (o Observers) Polled(p engine.Polled) {
	for _, x := range o {
		x.Polled(p)
	}
}

// Stored implements engine.Observer.
func (o Observers) Stored(n, late int, recent []engine.NewCall) {
	for _, x := range o {
		x.Stored(n, late, recent)
	}
}

// Attempted implements engine.Observer.
func (o Observers) Attempted(a engine.Attempt) {
	for _, x := range o {
		x.Attempted(a)
	}
}
