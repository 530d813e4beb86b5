// Package step makes the records of a call in a CRM (the activity, the task, a note), each once, whatever fails whenever.
//
// One step is one record. Its id is kept in the refs; where they have none, because the process died, an answer was lost or
// the state was restored from an old backup, the CRM is asked first by the strongest key that it has, and again after every failed
// create: no status proves that nothing was made.
package step

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// ErrGone is what Update returns of a record that is not in the CRM any more.
var ErrGone = errors.New("the record is not there any more")

// deleted stands before the id of a record that a person deleted.
const deleted = "deleted:"

// Deleted is what Create returns in place of the id of a record that the CRM has had and a person deleted: it is not made again.
func Deleted(id string) string { return deleted + id }

// Lingering is the usual Step.Linger.
const Lingering = 8 * time.Second

// Step is one record of a call.
type Step struct {
	Ref string // its name in the refs: "activity", "link", "task", "note"
	// Content is what the record is to say, as it would be sent. An equal Content is not sent again, so that a repeat does not
	// undo what people have changed since.
	Content any
	// Look returns the id of the record if an earlier attempt made it; empty: none. It asks for the call's id, never an index
	// that lags. nil: the CRM has no means, or Create has its own (an upsert by key).
	Look func(ctx context.Context) (id string, err error)
	// Fresh says that no earlier attempt can have made the record, as the step before it was made just now: Look is asked only
	// after a failed Create.
	Fresh bool
	// Linger is for how long the CRM may still be at work on a request whose sender has been killed or has given it up, and then make
	// the record after Look was asked: so long it is not made again. 0: it need not be thought of, the record has a key.
	Linger time.Duration
	// Create makes the record and returns its id.
	Create func(ctx context.Context) (id string, err error)
	// Update brings a record up to date without emptying a field that Content lacks. nil: it is never changed once it is there.
	Update func(ctx context.Context, id string) error
}

// Do does what the step still needs, saves the id, and returns it; empty: a person deleted the record, which is left so.
func Do(ctx context.Context, p *crm.Progress, s Step) (id string, err error) {
	known := p.Refs[s.Ref]
	if strings.HasPrefix(known, deleted) {
		return "", nil
	}
	sum := Sum(s.Content)
	sent := s.Ref + ".sent"
	if known == "" && s.Look != nil && (!s.Fresh || p.Refs[sent] != "") {
		if known, err = s.Look(ctx); err != nil {
			return "", err
		}
	}
	if known != "" {
		p.Forget(sent)
		return s.update(ctx, p, known, sum)
	}
	if at, err := time.Parse(time.RFC3339Nano, p.Refs[sent]); err == nil && at.Before(time.Now()) && time.Since(at) < s.Linger {
		return "", crm.Postponed(fmt.Errorf("whether the %s was made is not known yet: the request was not answered; asking again", s.Ref), s.Linger-time.Since(at))
	}
	if s.Linger > 0 {
		if err := p.Save(sent, time.Now().UTC().Format(time.RFC3339Nano)); err != nil {
			return "", err
		}
	}
	id, err = s.Create(ctx)
	if !httpx.Unanswered(err) {
		p.Forget(sent)
	}
	if err != nil {
		if id = s.again(ctx, err); id == "" {
			return "", err
		}
		p.Forget(sent)
		return s.update(ctx, p, id, sum) // whoever made it may have said something else
	}
	if id == "" {
		return "", fmt.Errorf("the CRM accepted the %s and returned no id", s.Ref)
	}
	p.Refs[s.Ref+".sum"] = sum
	if err := p.Save(s.Ref, id); err != nil || strings.HasPrefix(id, deleted) {
		return "", err
	}
	return id, nil
}

// again looks for what a failed create may have made.
func (s Step) again(ctx context.Context, failure error) string {
	if v := crm.VerdictOf(failure); s.Look == nil || ctx.Err() != nil || v == crm.Halt || v == crm.Throttle {
		return ""
	}
	id, err := s.Look(ctx)
	if err != nil {
		return ""
	}
	return id
}

func (s Step) update(ctx context.Context, p *crm.Progress, id, sum string) (string, error) {
	if s.Update != nil && p.Refs[s.Ref+".sum"] != sum {
		err := s.Update(ctx, id)
		if errors.Is(err, ErrGone) {
			p.Warn("%s %s was deleted in the CRM; it is not made again", s.Ref, id)
			return "", p.Save(s.Ref, deleted+id)
		}
		if err != nil {
			return "", err
		}
		p.Refs[s.Ref+".sum"] = sum
	}
	return id, p.Save(s.Ref, id)
}

// Sum returns a short hash of what a record says.
func Sum(content any) string {
	b, err := json.Marshal(content)
	if err != nil {
		b = fmt.Append(nil, content)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:6])
}
