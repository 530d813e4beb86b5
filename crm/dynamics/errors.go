package dynamics

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// errExists is that of a record whose id exists.
var errExists = errors.New("a record with this id exists")

// Codes of Dataverse.
const (
	codeNoRecord = "0x80040217" // the record does not exist
	codeExists   = "0x80040237" // a record of this key exists
)

// refusal reads an answer as the error that a Write returns; nil: it is a success.
func refusal(answer *httpx.Answer, shape string) error {
	if answer.Status/100 == 2 {
		return nil
	}
	var said struct {
		Error struct{ Code, Message string }
	}
	_ = json.Unmarshal(answer.Body, &said)
	code, message := strings.ToLower(said.Error.Code), said.Error.Message
	if message != "" {
		answer.Body = []byte(strings.TrimSpace(said.Error.Code + " " + message))
	}
	err := httpx.Verdict(answer, shape)
	switch s := answer.Status; {
	case s == http.StatusNotFound && code == codeNoRecord:
		err = fmt.Errorf("%w: %w", step.ErrGone, err)
	case s == http.StatusNotFound && strings.Contains(message, "for the segment"):
		err = crm.Halted(fmt.Errorf("%w: the environment has no such table: see tables, and which apps are installed", err))
	case s == http.StatusPreconditionFailed && code == codeNoRecord: // of If-Match: *, in some versions
		err = fmt.Errorf("%w: %w", step.ErrGone, err)
	case s == http.StatusPreconditionFailed, code == codeExists:
		err = fmt.Errorf("%w: %w", errExists, err)
	}
	return &httpx.Refused{Err: err, Status: answer.Status, Code: code, Message: message}
}

// oneRecord keeps the lack of a right to one record, which others own, from halting the destination. A lack of a privilege, which is named, halts.
func oneRecord(err error) error {
	if r := httpx.RefusedBy(err); r.Status == http.StatusForbidden && r.Message != "" && !strings.Contains(r.Message, "prv") {
		return crm.Rejected(errors.New(err.Error()), "PATCH of one record")
	}
	return err
}
