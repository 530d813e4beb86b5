package crm

import (
	"errors"
	"time"
)

// Verdict is what the engine does with an entry after Write.
type Verdict int

// The verdicts.
const (
	Delivered Verdict = iota // no error: settle it
	Retry                    // a passing fault: again later, the contact's other entries wait
	Reject                   // this entry can never be accepted: dead letter
	Halt                     // the destination needs an operator: stop it, keep everything
	Throttle                 // the destination asked to wait: all of it waits, no attempt is counted
	Skip                     // the configuration keeps this entry from the destination: settle it, the receipt says why
	Refuse                   // the same, but kept as a dead letter; it tells nothing of the destination's health
	Postpone                 // the destination is well, but cannot tell yet what became of an earlier attempt: this entry waits, its contact's others with it
)

// String returns the verdict's name as logs and status show it.
func (v Verdict) String() string {
	return [...]string{"delivered", "retry", "reject", "halt", "throttle", "skip", "refuse", "postpone"}[v]
}

type verdictError struct {
	err     error
	verdict Verdict
	wait    time.Duration
	request string
}

func (e *verdictError) Error() string { return e.err.Error() }
func (e *verdictError) Unwrap() error { return e.err }

// Rejected marks err as one that no repetition can mend: the entry becomes a dead letter. request describes the shape of
// what was sent (method, path, field names), without values, for the operator.
func Rejected(err error, request string) error {
	return &verdictError{err: err, verdict: Reject, request: request}
}

// Halted marks err as one that stops the whole destination until an operator acts or its credentials change.
func Halted(err error) error { return &verdictError{err: err, verdict: Halt} }

// Throttled marks err as the destination's wish to be left alone for wait; 0: it did not say how long.
func Throttled(err error, wait time.Duration) error {
	return &verdictError{err: err, verdict: Throttle, wait: wait}
}

// Skipped says that the configuration keeps the entry from the destination (on_missing: skip, on_many: skip): it is not
// delivered, and its receipt holds the reason.
func Skipped(reason string) error { return &verdictError{err: errors.New(reason), verdict: Skip} }

// Refused says that the configuration makes the entry a dead letter (on_missing: dead). Unlike one that the destination
// Rejected it never counts towards halting the destination.
func Refused(reason string) error { return &verdictError{err: errors.New(reason), verdict: Refuse} }

// Postponed says that nothing is wrong but that it is not known yet whether an earlier attempt has written something, for a search that
// shows new records late. The entry is tried again, at the latest after wait, and it counts as no failure.
func Postponed(err error, wait time.Duration) error {
	return &verdictError{err: err, verdict: Postpone, wait: wait}
}

// VerdictOf tells what err, as returned by Write, asks for.
func VerdictOf(err error) Verdict {
	if err == nil {
		return Delivered
	}
	var v *verdictError
	if errors.As(err, &v) {
		return v.verdict
	}
	return Retry
}

// Wait returns how long a throttled or postponed err asks to wait; 0 if it does not say.
func Wait(err error) time.Duration {
	var v *verdictError
	if errors.As(err, &v) {
		return v.wait
	}
	return 0
}

// Request returns the shape of the request that a rejected err is about; empty if it does not say.
func Request(err error) string {
	var v *verdictError
	if errors.As(err, &v) {
		return v.request
	}
	return ""
}
