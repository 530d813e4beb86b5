package sync

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"hash/fnv"
	"slices"
	"time"

	"github.com/vinfer-sync/vinfer-sync/internal/number"
	"github.com/vinfer-sync/vinfer-sync/store"
)

// ForgetRequest names calls by id, and people by phone number.
type ForgetRequest struct {
	Calls  []string `json:"calls"`
	Phones []string `json:"phones"`
	Dry    bool     `json:"dry"` // nothing is erased: it is only told what would be
}

// Forgotten is what was erased, and what only an operator can erase.
type Forgotten struct {
	store.Forgotten
	Busy []string // destinations at which a delivery of such a call was under way: what it made there is not listed
}

// ErrNoNumber says that what was given for a phone number is none.
var ErrNoNumber = errors.New("it has no digits of a phone number")

// Forget erases calls and people from a store; region is the default one of phone numbers, as in Options.
func Forget(s store.Store, region string, r ForgetRequest) (store.Forgotten, error) {
	var out store.Forgotten
	todo := make([]store.Forgetting, 0, len(r.Phones)+1)
	keys := make([]string, 0, len(r.Phones))
	for _, p := range r.Phones {
		key := phoneKey(p, region)
		if len(number.Digits(key)) < 3 {
			return out, ErrNoNumber
		}
		keys = append(keys, key)
	}
	now := time.Now().UTC()
	st, err := s.Stats()
	if err != nil {
		return out, err
	}
	if len(r.Calls) > 0 {
		ids := slices.Clone(r.Calls)
		todo = append(todo, store.Forgetting{IDs: ids, Region: region, At: now, Dry: r.Dry})
	}
	for _, key := range keys {
		todo = append(todo, store.Forgetting{
			Lane: laneOf(st.Salt, phoneLane+key), Field: store.Field{Tag: tagPhone, Hash: hashOf(key)}, Number: key, Region: region, At: now, Dry: r.Dry,
		})
	}
	for _, f := range todo {
		got, err := s.Forget(f)
		out.Calls = append(out.Calls, got.Calls...)
		out.Jobs += got.Jobs
		out.Letters += got.Letters
		out.Rows += got.Rows
		out.Watches += got.Watches
		out.Receipts += got.Receipts
		out.Lanes = append(append(out.Lanes, got.Lanes...), f.Lane)
		if out.File.Before == 0 {
			out.File.Before = got.File.Before
		}
		out.File.After = got.File.After
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// Forget erases calls and people, beside the deliveries.
func (e *Engine) Forget(r ForgetRequest) (Forgotten, error) {
	var out Forgotten
	var err error
	out.Forgotten, err = Forget(e.o.Store, e.o.Region, r)
	for _, c := range e.order {
		if c.isInFlight(out.Lanes) {
			out.Busy = append(out.Busy, c.d.Name)
		}
	}
	if err == nil && !r.Dry {
		e.log.Info("forgot at an operator's request", "calls", len(out.Calls), "receipts", out.Receipts, "jobs", out.Jobs, "dead_letters", out.Letters)
	}
	return out, err
}

// laneOf hashes the name of a lane so that it tells nothing to who has not the store.
func laneOf(salt []byte, name string) store.Lane {
	m := hmac.New(sha256.New, salt)
	m.Write([]byte(name))
	var l store.Lane
	copy(l[:], m.Sum(nil))
	return l
}

func hashOf(v string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(v))
	return h.Sum32()
}
