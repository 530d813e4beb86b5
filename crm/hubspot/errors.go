package hubspot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// pauses are how long to leave HubSpot alone by the limit that was overrun, where it does not say so itself. The daily one ends at
// the portal's midnight, which no answer tells.
var pauses = map[string]time.Duration{"TEN_SECONDLY_ROLLING": 10 * time.Second, "SECONDLY": time.Second, daily: 30 * time.Minute}

const daily = "DAILY"

var untilMidnight = fmt.Sprintf(" (until midnight in the portal's time zone; asking again every %s)", pauses[daily])

// verdict reads an answer as httpx.Verdict does, except for what means something else to HubSpot.
func verdict(a *httpx.Answer, shape string) error {
	err := httpx.Verdict(a, shape)
	if err == nil {
		return nil
	}
	wait, asked := a.RetryAfter()
	switch a.Status {
	case http.StatusLocked: // somebody else changes the record just now
		return errors.New(err.Error())
	case 477: // the portal moves to another data centre
		if asked {
			return crm.Throttled(err, wait)
		}
		return errors.New(err.Error())
	case http.StatusTooManyRequests:
		var said struct{ Message, PolicyName string }
		if asked || json.Unmarshal(a.Body, &said) != nil {
			return err
		}
		policy := strings.ToUpper(said.PolicyName)
		if policy == "" && strings.Contains(said.Message, "secondly") {
			policy = "SECONDLY"
			if strings.Contains(said.Message, "ten_secondly") {
				policy = "TEN_SECONDLY_ROLLING"
			}
		}
		if policy == daily {
			err = fmt.Errorf("%w%s", err, untilMidnight)
		}
		return crm.Throttled(err, pauses[policy])
	}
	return err
}

// names tells whether a refusal is about a property: its whole text has the name in it as a word.
func names(err error, property string) bool {
	return regexp.MustCompile(`(^|[^A-Za-z0-9_])` + regexp.QuoteMeta(property) + `($|[^A-Za-z0-9_])`).Match(httpx.RefusedBy(err).Body)
}

// says tells whether a refusal has a word of HubSpot's in it.
func says(err error, word string) bool {
	return bytes.Contains(httpx.RefusedBy(err).Body, []byte(word))
}

// explain adds to a refused status what the portal would take.
func (w *Writer) explain(ctx context.Context, err error) error {
	name := w.field(fieldStatus)
	if httpx.StatusOf(err) != http.StatusBadRequest || !names(err, name) {
		return err
	}
	def, e := w.define(ctx, contactKind, name)
	if e != nil || def == nil || len(def.Options) == 0 {
		return err
	}
	return httpx.Explain(err, name+" takes "+def.choices())
}
