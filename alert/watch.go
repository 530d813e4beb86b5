package alert

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

// Notice is one piece of news about an alert, as the operator's program gets it.
type Notice struct {
	State    string `json:"state"` // raised or over
	Pipeline string `json:"pipeline"`
	engine.Alert
	At time.Time `json:"at"`
}

// Keeper keeps a small value under a key; nil: there is none. store.Store is one.
type Keeper interface {
	Setting(key string) ([]byte, error)
	PutSetting(key string, value []byte) error
}

const setting = "alerts"

// standing is an alert that was told of.
type standing struct {
	engine.Alert
	Told int `json:"told"` // its size when it was
}

// Watch remembers which alerts stand, over restarts as well, and tells of what is new. Its methods may be called concurrently.
type Watch struct {
	pipeline string
	keep     Keeper
	log      *slog.Logger
	send     func(Notice) // may be nil

	mu     sync.Mutex
	stands []standing
	seen   map[string]bool // found at the last look, and not told yet
}

// NewWatch goes on where the last one ended. send is called with each notice and must return at once; it may be nil.
func NewWatch(pipeline string, keep Keeper, log *slog.Logger, send func(Notice)) *Watch {
	w := &Watch{pipeline: pipeline, keep: keep, log: log, send: send, seen: map[string]bool{}}
	if raw, err := keep.Setting(setting); err == nil && raw != nil {
		_ = json.Unmarshal(raw, &w.stands) // not readable: all is told once more
	}
	return w
}

// Standing returns the alerts that stand.
func (w *Watch) Standing() []engine.Alert {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]engine.Alert, 0, len(w.stands))
	for _, s := range w.stands {
		all = append(all, s.Alert)
	}
	return all
}

// Find returns what needs an operator by the rules, for when no Watch runs. Alerts that one has told of keep their beginning. Nothing is
// told, and nothing is written.
func Find(keep Keeper, r Rules, f Facts) []engine.Alert {
	w := NewWatch("", keep, nil, nil)
	r.Is = func(kind, dest string) bool { return w.find(kind, dest) >= 0 }
	all := []engine.Alert{}
	for _, a := range r.look(f) {
		a.Since = time.Time{}
		if i := w.find(a.Alert.Alert, a.Destination); i >= 0 {
			a.Since = w.stands[i].Since
		}
		all = append(all, a.Alert)
	}
	return all
}

// Look applies the rules and tells of what has changed since the last look.
func (w *Watch) Look(r Rules, f Facts) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r.Is = func(kind, dest string) bool { return w.find(kind, dest) >= 0 }
	all := r.look(f)
	before, _ := json.Marshal(w.stands)
	var news []Notice
	seen := map[string]bool{}
	for _, a := range all {
		switch i := w.find(a.Alert.Alert, a.Destination); {
		case i < 0 && a.passes && !w.seen[a.Alert.Alert+" "+a.Destination]:
			seen[a.Alert.Alert+" "+a.Destination] = true
		case i < 0:
			w.stands = append(w.stands, standing{a.Alert, a.size})
			news = append(news, w.notice("raised", a.Alert, f.Now))
		default:
			s := &w.stands[i]
			a.Since = s.Since
			s.Alert = a.Alert
			if a.size >= 2*s.Told {
				s.Told = a.size
				news = append(news, w.notice("raised", a.Alert, f.Now))
			}
		}
	}
	w.seen = seen
	w.stands = slices.DeleteFunc(w.stands, func(s standing) bool {
		if slices.ContainsFunc(all, func(a found) bool { return a.Alert.Alert == s.Alert.Alert && a.Destination == s.Destination }) {
			return false
		}
		news = append(news, w.notice("over", s.Alert, f.Now))
		return true
	})
	if len(news) == 0 {
		return
	}
	// Kept before it is told: a restart in between loses one notice rather than repeating all of them each time.
	if after, err := json.Marshal(w.stands); err == nil && string(after) != string(before) {
		if err := w.keep.PutSetting(setting, after); err != nil {
			w.log.Warn("cannot keep which alerts were told of; a restart repeats them", "error", err)
		}
	}
	for _, n := range news {
		w.tell(n)
	}
}

func (w *Watch) find(kind, dest string) int {
	return slices.IndexFunc(w.stands, func(s standing) bool { return s.Alert.Alert == kind && s.Destination == dest })
}

func (w *Watch) notice(state string, a engine.Alert, now time.Time) Notice {
	return Notice{State: state, Pipeline: w.pipeline, Alert: a, At: now}
}

func (w *Watch) tell(n Notice) {
	attrs := []any{"alert", n.Alert.Alert}
	if n.Destination != "" {
		attrs = append(attrs, "dest", n.Destination)
	}
	if n.State == "over" {
		w.log.Info("over: "+n.Message, append(attrs, "after", n.At.Sub(n.Since).Round(time.Second))...)
	} else {
		level := slog.LevelError
		switch n.Alert.Alert {
		case Dead, Clock, LeftOut, Listen, WentBack:
			level = slog.LevelWarn
		case Halted: // the engine has logged the halt as an error
			level = slog.LevelInfo
		}
		w.log.Log(context.Background(), level, "needs an operator: "+n.Message, append(attrs, "remedy", n.Remedy)...)
	}
	if w.send != nil {
		w.send(n)
	}
}

// Text shows alerts to people, one a line.
func Text(all []engine.Alert) string {
	var b strings.Builder
	for _, a := range all {
		b.WriteString(a.Alert + ": " + a.Message)
		if a.Remedy != "" {
			b.WriteString(" (" + a.Remedy + ")")
		}
		b.WriteByte('\n')
	}
	return b.String()
}
