package sync

import (
	"encoding/json"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// RangeOf returns the range of a kept backfill, and up to where it has been read.
func RangeOf(b store.Backfill) (since, until, upTo time.Time) {
	var spec backfillSpec
	if json.Unmarshal(b.Spec, &spec) != nil {
		return since, until, upTo
	}
	var mark backfillMark
	switch {
	case !b.ReadDone.IsZero():
		mark.UpTo = spec.Until
	case json.Unmarshal(b.Checkpoint, &mark) != nil:
		mark.UpTo = spec.Since
	}
	return spec.Since, spec.Until, mark.UpTo
}
