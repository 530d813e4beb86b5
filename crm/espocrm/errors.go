package espocrm

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// refusal reads an answer as the error that a Write returns; nil: it is a success.
func refusal(answer *httpx.Answer, path, shape string) error {
	raw := answer.Body
	defer func() { answer.Body = raw }()
	// The reason stands in a header; the body repeats it in a form for the browser, or is empty.
	if reason := answer.Header.Get("X-Status-Reason"); reason != "" {
		answer.Body = []byte(reason)
	}
	err := httpx.Verdict(answer, shape)
	if err == nil {
		return nil
	}
	return &httpx.Refused{Err: fmt.Errorf("%s: %w", shapeOf(path), err), Status: answer.Status, Body: raw}
}

// explain adds to a refused status what the site would take.
func (w *Writer) explain(ctx context.Context, err error) error {
	f := w.statusField(lead)
	if httpx.StatusOf(err) != http.StatusBadRequest || !step.InText(err, f) {
		return err
	}
	options, e := w.options(ctx, lead, f)
	if e != nil || len(options) == 0 {
		return err
	}
	return httpx.Explain(err, "Lead."+f+" takes "+strings.Join(options, ", "))
}

// dropped tells whether EspoCRM has dropped an attribute without a word, as it does with what it does not know, or what the API user's role
// may not see: it was sent, and is not in the record that EspoCRM answers.
func dropped(sent, answer object, attribute string) bool {
	_, given := sent[attribute]
	_, held := answer[attribute]
	return given && !held
}

// kept looks whether a Lead or Contact, as EspoCRM answers it, has the attributes that matter.
func (w *Writer) kept(entity string, sent, answer object, p *crm.Progress) error {
	if f := w.doNotCall(); dropped(sent, answer, f) {
		p.Warn("the contact asked not to be called again, and EspoCRM drops %s.%s, which is to say so: see that the field is there and that the API user's role may edit it", entity, f)
	}
	if f := w.statusField(entity); dropped(sent, answer, f) {
		return crm.Rejected(fmt.Errorf("%s drops the lead status: %s has no field %s, or the API user's role may not see it: add the field, or name another by fields: {status: …}",
			w.api.host(), entity, f), "PUT "+entity+" {"+f+"}")
	}
	return nil
}
