package bench

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
	"github.com/vinfer-sync/vinfer-sync/store/bolt"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// answerTime is how long the simulated API takes for an answer.
var answerTime = setting("BENCH_ANSWER", 40*time.Millisecond)

// setting is a time that the environment may change.
func setting(name string, usual time.Duration) time.Duration {
	if d, err := time.ParseDuration(os.Getenv(name)); err == nil && d >= 0 {
		return d
	}
	return usual
}

// daemonInBubble is the engine as the daemon runs it, against the simulator, in the time of a bubble.
type daemonInBubble struct {
	sim   *simulator.Server
	e     *engine.Engine
	api   *vinfer.Client
	notes notebook
}

// inBubble runs f beside a daemon. The state file is on the disk; time passes when everything waits.
func inBubble(b *testing.B, so simulator.Options, change func(*engine.Options), latency time.Duration, f func(t *testing.T, d *daemonInBubble)) {
	b.Helper()
	// Bubbles are for tests only: this is one, whatever -run says.
	all := func(string, string) (bool, error) { return true, nil }
	ok := testing.RunTests(all, []testing.InternalTest{{Name: b.Name(), F: func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "state.db")
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(26 * 365 * 24 * time.Hour) // from 2000, which is the far past to the probe
			so.Before = func(*http.Request) { time.Sleep(answerTime) }
			d := &daemonInBubble{sim: simulator.New(so)}
			d.notes.latency, d.notes.written = latency, map[string]time.Time{}
			dial, hangUp := d.sim.Pipe()
			defer hangUp()
			st, err := bolt.Open(path, bolt.Options{})
			if err != nil {
				t.Fatal(err)
			}
			api, err := vinfer.New(vinfer.Config{
				BaseURL: "http://vinfer.invalid/v1", Dial: dial, Reserve: 0.1, Key: func() (secret.Text, error) { return secret.New("k"), nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			o := engine.Options{
				Name: "bench", API: api, Store: st, Lookback: 15 * time.Minute, Settle: time.Hour, MaxCall: 4 * time.Hour,
				GiveUpAfter: 24 * time.Hour, Logger: slog.New(&d.notes),
				Destinations: []engine.Destination{{Name: "d", Kind: "test", Writer: &d.notes}},
			}
			change(&o)
			if d.e, err = engine.New(o); err != nil {
				t.Fatal(err)
			}
			d.e.Observe(&d.notes)
			d.api = api
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- d.e.Run(ctx, nil) }()
			f(t, d)
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			api.Close()
			time.Sleep(2*answerTime + time.Second) // for requests that were given up
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		})
	}}})
	if !ok {
		b.Fatal("the measurement failed")
	}
}

// notebook notes what happens: as a destination, as an observer, and as the log.
type notebook struct {
	latency time.Duration // of a write

	mu      sync.Mutex
	written map[string]time.Time // calls by id
	doubled int
	texts   int // transcripts
	failed  int // polls
	errors  []string
}

// Write notes when a call is written first.
func (n *notebook) Write(_ context.Context, e crm.Entry, p *crm.Progress) error {
	time.Sleep(n.latency)
	n.mu.Lock()
	defer n.mu.Unlock()
	switch e.Event {
	case crm.CallCompleted:
		if _, before := n.written[e.Call.ID]; before {
			n.doubled++
		} else {
			n.written[e.Call.ID] = time.Now()
		}
	case crm.TranscriptReady:
		n.texts++
	}
	return p.Save("activity", e.Call.ID)
}

// Polled counts polls that failed.
func (n *notebook) Polled(p engine.Polled) {
	if p.Err != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.failed++
	}
}

// Stored is of no interest.
func (*notebook) Stored(int, int, []engine.NewCall) {}

// Attempted is of no interest.
func (*notebook) Attempted(engine.Attempt) {}

// Enabled tells that only errors are noted.
func (*notebook) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }

// Handle notes a line.
func (n *notebook) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		return true
	})
	n.mu.Lock()
	defer n.mu.Unlock()
	n.errors = append(n.errors, text)
	return nil
}

// WithAttrs keeps none.
func (n *notebook) WithAttrs([]slog.Attr) slog.Handler { return n }

// WithGroup keeps none.
func (n *notebook) WithGroup(string) slog.Handler { return n }
