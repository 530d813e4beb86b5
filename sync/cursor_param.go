package sync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

const settingBounds = "bounds"

// bounds finds out which bounds the server honours, once a process; nil while the workspace shows no call at all, which decides nothing.
func (e *Engine) bounds(ctx context.Context) (*vinfer.Bounds, error) {
	if b := e.probed.Load(); b != nil {
		return b, nil
	}
	return e.probe(ctx)
}

// probe asks the server again, and remembers.
func (e *Engine) probe(ctx context.Context) (*vinfer.Bounds, error) {
	b, err := e.askBounds(ctx)
	if errors.Is(err, ErrUnbounded) {
		e.probed.Store(nil)
	}
	if b == nil || err != nil {
		return nil, err
	}
	if old := e.probed.Swap(b); old == nil || *old != *b {
		e.log.Info("lower bound of listings found out", "cursor_param", e.param(), "upper_bound", b.To, "totals", !b.AnyTotal)
	}
	v, err := json.Marshal(b)
	if err != nil {
		return b, nil //nolint:nilerr // it is only remembered
	}
	return b, e.o.Store.PutSetting(settingBounds, v)
}

// askBounds asks the server which bounds it honours of those that the configuration allows; nil where it shows no call at all.
func (e *Engine) askBounds(ctx context.Context) (*vinfer.Bounds, error) {
	b, err := e.o.API.Probe(ctx)
	if err != nil {
		return nil, err
	}
	if b.Empty {
		return nil, nil
	}
	switch e.o.CursorParam {
	case string(vinfer.After):
		b.From = false
	case string(vinfer.From):
		b.After = false
	}
	if !b.After && !b.From {
		return nil, e.unbounded()
	}
	return &b, nil
}

func (e *Engine) unbounded() error {
	what := "neither `after` nor `from`"
	if e.o.CursorParam != "auto" {
		what = "not `" + e.o.CursorParam + "`"
	}
	return fmt.Errorf("%w: asked for calls of the far future it answers with old ones, so it honours %s; "+
		"set vinfer.cursor_param to auto, or ask VInfer which parameter this workspace takes. Nothing was delivered", ErrUnbounded, what)
}

// param is the bound in use, found out now or by an earlier process; empty: not known yet.
func (e *Engine) param() string {
	if b := e.probed.Load(); b != nil {
		return string(boundOf(b))
	}
	return KnownParam(e.o.Store)
}

// KnownParam is the bound that an earlier run found out; empty: none has.
func KnownParam(s store.Store) string {
	v, err := s.Setting(settingBounds)
	if err != nil || v == nil {
		return ""
	}
	var b vinfer.Bounds
	if json.Unmarshal(v, &b) != nil {
		return ""
	}
	return string(boundOf(&b))
}

// BoundFor returns the bound that a setting of cursor_param uses at a server; empty: it honours none that the setting allows.
func BoundFor(setting string, b vinfer.Bounds) string {
	switch {
	case b.After && setting != string(vinfer.From):
		return string(vinfer.After)
	case b.From && setting != string(vinfer.After):
		return string(vinfer.From)
	}
	return ""
}

func boundOf(b *vinfer.Bounds) vinfer.Bound {
	if b.After {
		return vinfer.After
	}
	return vinfer.From
}

// listedAt is the time by which a server that filters by the bound lists a call.
func listedAt(c vinfer.Call, bound vinfer.Bound) time.Time {
	if bound == vinfer.From && !c.StartedAt.IsZero() {
		return c.StartedAt
	}
	return c.Completed()
}

// tooOld tells whether a row lies below the bound that was asked for, by more than the clocks' granularity.
func tooOld(c vinfer.Call, q vinfer.Query) bool {
	at := listedAt(c, q.Bound)
	return !at.IsZero() && !q.Since.IsZero() && at.Before(q.Since.Add(-2*time.Second))
}

// guard looks at a page for rows below the bound. They may be calls that changed since, or show that the server ignores the bound: then it is an error.
// look: nothing is remembered.
func (e *Engine) guard(ctx context.Context, p vinfer.Page, q vinfer.Query, look bool) error {
	for _, c := range p.Calls {
		if !tooOld(c, q) {
			continue
		}
		if look {
			_, err := e.askBounds(ctx)
			return err
		}
		e.probed.Store(nil)
		_, err := e.probe(ctx)
		if errors.Is(err, ErrUnbounded) || err != nil {
			return err
		}
		return nil
	}
	return nil
}
