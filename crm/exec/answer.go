package exec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// result is what became of giving one entry to a program.
type result struct {
	stdout []byte   // what it answered
	stderr string   // the end of what it said there
	code   int      // its exit code; -1: it runs on, or was killed
	from   *program // which runs on; nil: none does
	err    error    // why there is no result: it could not be started, or was killed
}

// answer is what a program says.
type answer struct {
	Key      string                     `json:"key"`
	OK       *bool                      `json:"ok"`
	Verdict  string                     `json:"verdict"`
	Error    string                     `json:"error"`
	Wait     json.RawMessage            `json:"wait"`
	Refs     map[string]json.RawMessage `json:"refs"`
	Warnings []string                   `json:"warnings"`
}

// The verdicts by their names in answers.
const (
	sayDelivered = "delivered"
	sayRetry     = "retry"
	sayReject    = "reject"
	sayHalt      = "halt"
	sayThrottle  = "throttle"
)

// The exit codes that mean something where the program answers nothing: those of sysexits.h, and the shell's.
const (
	exitData       = 65  // EX_DATAERR: reject
	exitTemporary  = 75  // EX_TEMPFAIL: retry
	exitPermission = 77  // EX_NOPERM: halt
	exitConfig     = 78  // EX_CONFIG: halt
	exitNotRun     = 126 // cannot be executed: halt
	exitNotFound   = 127 // halt
)

// Limits of what is kept of an answer's refs.
const (
	maxRefs = 32
	maxRef  = 1000
)

var errUnusable = errors.New("its answer is not a line of JSON as docs/crm/exec.md tells")

// judge turns what came of a program into the error that Write returns, and keeps its refs.
func (w *Writer) judge(r result, e *crm.Entry, p *crm.Progress) error {
	if r.err != nil {
		return fmt.Errorf("%s: %w%s", w.name, r.err, w.stderr(r))
	}
	out := bytes.TrimSpace(r.stdout)
	if len(out) == 0 {
		return w.byCode(r, e)
	}
	var a answer
	if out[0] != '{' || json.Unmarshal(out, &a) != nil || a.OK == nil && a.Verdict == "" {
		if r.code > 0 {
			return w.byCode(r, e)
		}
		return crm.Halted(fmt.Errorf("%s: %w, but: %s; fix it, then resume", w.name, errUnusable, w.words(string(out))))
	}
	if a.Key != e.Key && (a.Key != "" || w.pool != nil) {
		// Whatever it says is about another entry.
		return crm.Halted(fmt.Errorf("%s: its answer has another key than the line that it was given; with keep_running each answer must repeat the key; fix it, then resume", w.name))
	}
	verdict := a.Verdict
	switch {
	case verdict == "" && *a.OK:
		verdict = sayDelivered
	case verdict == "":
		verdict = sayRetry
	case a.OK != nil && *a.OK != (verdict == sayDelivered):
		return crm.Halted(fmt.Errorf("%s: its answer says ok: %t and verdict: %s; fix it, then resume", w.name, *a.OK, w.words(verdict)))
	}
	keep(p.Refs, a.Refs)
	for _, text := range a.Warnings {
		p.Warn("%s: %s", w.name, w.words(text))
	}
	said := w.words(a.Error)
	if said == "" {
		said = "it says " + w.words(verdict) + " and no reason" + w.stderr(r)
	}
	err := fmt.Errorf("%s: %s", w.name, said)
	switch verdict {
	case sayDelivered:
		return nil
	case sayRetry:
		return err
	case sayReject:
		return crm.Rejected(err, w.shape(e))
	case sayHalt:
		return crm.Halted(err)
	case sayThrottle:
		return crm.Throttled(err, waitOf(a.Wait))
	}
	return crm.Halted(fmt.Errorf("%s: its verdict %s is none of delivered, retry, reject, halt, throttle; fix it, then resume", w.name, strconv.Quote(w.words(verdict))))
}

// byCode judges a program that answered nothing.
func (w *Writer) byCode(r result, e *crm.Entry) error {
	said := w.stderr(r)
	err := fmt.Errorf("%s: exit code %d%s", w.name, r.code, said)
	switch r.code {
	case 0:
		return nil
	case exitData:
		return crm.Rejected(err, w.shape(e))
	case exitPermission, exitConfig, exitNotRun, exitNotFound:
		return crm.Halted(err)
	case -1:
		return fmt.Errorf("%s: it ended without an answer%s", w.name, said)
	}
	return err // exitTemporary, and all others
}

// keep puts the refs of an answer into those of the call: texts as they are, numbers as they are written. null takes one away.
func keep(refs crm.Refs, from map[string]json.RawMessage) {
	for name, raw := range from {
		var text string
		switch {
		case isEvent(name) || len(name) > maxRef || len(raw) > maxRef:
			continue
		case string(raw) == "null":
			delete(refs, name)
			continue
		case json.Unmarshal(raw, &text) != nil:
			text = string(raw)
		}
		if _, known := refs[name]; known || len(refs) < maxRefs {
			refs[name] = text
		}
	}
}

// waitOf reads how long a program asks to wait: "30s", or a number of seconds. 0: it did not say, or not so that it can be read.
func waitOf(raw json.RawMessage) time.Duration {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	text = strings.TrimSpace(text)
	d, err := time.ParseDuration(text)
	if err != nil {
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(seconds) {
			return 0
		}
		d = time.Duration(min(max(seconds, 0), 86400) * float64(time.Second))
	}
	return min(max(d, 0), 24*time.Hour)
}
