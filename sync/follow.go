package sync

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

const (
	watchesAtOnce = 32
	asksAtOnce    = 4
)

// transcriptWaits are the waits after the first ask, the second, …; the last one repeats.
var transcriptWaits = []time.Duration{2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute, time.Hour}

func waitAfter(waits []time.Duration, attempt int) time.Duration {
	return waits[min(max(attempt, 1), len(waits))-1]
}

// watcher asks for what comes later: the ends of calls in progress, and transcripts. Each of the two has a loop of its own, so that no call waits
// to be found for as long as transcripts wait for the rate limit.
type watcher struct {
	e     *Engine
	loops []*watchLoop
}

// watchLoop asks for what is due of one kind.
type watchLoop struct {
	w    *watcher
	kind store.WatchKind
	kick chan struct{}

	mu     sync.Mutex
	active bool
	next   time.Time // when something is due; zero: nothing
	fresh  bool      // something was added since the last look
}

func newWatcher(e *Engine) *watcher {
	w := &watcher{e: e}
	for _, kind := range []store.WatchKind{store.FinishWatch, store.TranscriptWatch} {
		w.loops = append(w.loops, &watchLoop{w: w, kind: kind, kick: make(chan struct{}, 1), fresh: true})
	}
	return w
}

// wake says that there is something new to watch.
func (w *watcher) wake() {
	for _, l := range w.loops {
		l.mu.Lock()
		l.fresh = true
		l.mu.Unlock()
		select {
		case l.kick <- struct{}{}:
		default:
		}
	}
}

// quiet tells whether nothing is being asked or due now.
func (w *watcher) quiet() bool {
	return !slices.ContainsFunc(w.loops, func(l *watchLoop) bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.active || l.fresh || !l.next.IsZero() && !l.next.After(time.Now())
	})
}

// run asks until ctx ends.
func (w *watcher) run(ctx context.Context) {
	var all sync.WaitGroup
	for _, l := range w.loops {
		all.Go(func() { l.run(ctx) })
	}
	all.Wait()
}

func (l *watchLoop) run(ctx context.Context) {
	for ctx.Err() == nil {
		l.mu.Lock()
		l.active, l.fresh = true, false
		l.mu.Unlock()
		next := l.look(ctx)
		l.mu.Lock()
		l.active, l.next = false, next
		again := l.fresh
		l.mu.Unlock()
		if again {
			continue
		}
		var timer <-chan time.Time
		var t *time.Timer
		if !next.IsZero() {
			t = time.NewTimer(max(time.Until(next), 10*time.Millisecond))
			timer = t.C
		}
		select {
		case <-ctx.Done():
		case <-l.kick:
		case <-timer:
		}
		if t != nil {
			t.Stop()
		}
	}
}

// look asks for all that is due and returns when the next is; zero: nothing is.
func (l *watchLoop) look(ctx context.Context) time.Time {
	e := l.w.e
	if l.kind == store.TranscriptWatch && !e.o.FetchTranscripts || l.kind == store.FinishWatch && !e.plan.ready() {
		return time.Time{}
	}
	for ctx.Err() == nil {
		due, next, err := e.o.Store.DueWatches(l.kind, time.Now(), watchesAtOnce)
		if err != nil {
			e.log.Error("cannot read the watch list", keyError, err)
			return time.Now().Add(10 * time.Second)
		}
		if len(due) == 0 {
			return next
		}
		l.w.askAll(ctx, l.kind, due)
	}
	return time.Time{}
}

func (w *watcher) askAll(ctx context.Context, kind store.WatchKind, due []store.Watch) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, asksAtOnce)
	for _, x := range due {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			defer w.e.busy.begin("ask VInfer for " + x.ID)()
			var err error
			if kind == store.FinishWatch {
				err = w.finish(ctx, x)
			} else {
				err = w.transcript(ctx, x)
			}
			if err != nil && ctx.Err() == nil {
				w.e.log.Error("cannot keep what became of a watched call", keyCall, x.ID, keyError, err)
				_ = pause(ctx, time.Second) // the store's fault: do not spin on it
			}
		})
	}
	wg.Wait()
}

// later puts a watch off. A fault of the API is no answer: it does not count.
func (w *watcher) later(x store.Watch, waits []time.Duration, err error) error {
	if err != nil {
		x.Due = time.Now().Add(time.Minute)
		return w.again(x)
	}
	x.Attempts++
	x.Due = time.Now().Add(waitAfter(waits, x.Attempts))
	return w.again(x)
}

// again keeps when to ask again.
func (w *watcher) again(x store.Watch) error {
	return w.e.o.Store.SettleWatch(x.Kind, x.ID, store.Asked{Again: &x})
}

// wantsTranscript tells whether a delivered call's transcript is to be asked for. A call that nobody answered has none.
func (e *Engine) wantsTranscript(d *Destination, c crm.Call) bool {
	return e.o.FetchTranscripts && !d.Off.Transcript && (c.Duration == nil || *c.Duration > 0)
}

// transcript asks for a transcript and, when it is there, queues it.
func (w *watcher) transcript(ctx context.Context, x store.Watch) error {
	now := time.Now().UTC()
	if x.Since.IsZero() {
		x.Since = now
	}
	body, err := decode(x.Body)
	if err != nil {
		return err
	}
	t, job, err := w.ask(ctx, body.Call, string(x.Note))
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the process ends; the watch stays as it is
	}
	x.Note = []byte(job)
	switch {
	case err == nil:
		body.Transcript = &t
		if body.Call.TranscriptJob == "" {
			body.Call.TranscriptJob = job
		}
		if err := w.e.o.Store.SettleWatch(x.Kind, x.ID, store.Asked{At: now, Found: encode(body)}); err != nil {
			return err
		}
		for _, d := range x.Dests {
			if c := w.e.dests[d]; c != nil {
				c.released()
			}
		}
		return nil
	case !w.isFinal(err):
		w.e.log.Debug("cannot ask for a transcript", keyCall, x.ID, keyError, err)
		return w.later(x, transcriptWaits, err)
	case now.Sub(x.Since) >= w.e.o.GiveUpAfter:
		return w.e.o.Store.SettleWatch(x.Kind, x.ID, store.Asked{At: now, GivenUp: "no transcript after " + w.e.o.GiveUpAfter.String() + ": " + err.Error()})
	}
	return w.later(x, transcriptWaits, nil)
}

// isFinal tells whether an error says something of this one transcript: that it is not there, or a fault while VInfer answers polls all the
// same. Else VInfer fails as a whole, and no call may lose its transcript by that.
func (w *watcher) isFinal(err error) bool {
	for _, e := range []error{vinfer.ErrNotReady, vinfer.ErrNotFound, vinfer.ErrBadRequest} {
		if errors.Is(err, e) {
			return true
		}
	}
	for _, e := range []error{vinfer.ErrRefused, vinfer.ErrLimited, vinfer.ErrClosed} {
		if errors.Is(err, e) {
			return false
		}
	}
	st, serr := w.e.Stats()
	return serr == nil && !st.LastRun.At.IsZero() && st.LastRun.Error == ""
}

// ask fetches the transcript by what is known of it; where that is nothing, the call's details are asked first and the job they name returned.
func (w *watcher) ask(ctx context.Context, c vinfer.Call, job string) (vinfer.Transcript, string, error) {
	if job == "" {
		job = c.TranscriptJob
	}
	url := c.TranscriptURL
	if url == "" && job == "" {
		d, err := w.e.o.API.Call(ctx, c.ID, vinfer.Transcripts)
		if err != nil {
			return vinfer.Transcript{}, "", err
		}
		if url, job = d.TranscriptURL, d.TranscriptJob; url == "" && job == "" {
			return vinfer.Transcript{}, "", vinfer.ErrNotReady
		}
	}
	t, err := w.e.o.API.Transcript(ctx, url, job, vinfer.Transcripts)
	return t, job, err
}
