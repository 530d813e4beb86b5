package suitecrm

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// errDenied is what SuiteCRM answers to what a role does not allow. Of one record it is a Reject, of a module it halts.
var errDenied = errors.New("the role of the client's user does not allow it")

// halting makes a lack of rights for a whole module a reason to stop.
func halting(err error) error {
	if errors.Is(err, errDenied) {
		return crm.Halted(err)
	}
	return err
}

// errExists is what SuiteCRM answers to a record whose id it has or has had.
var errExists = errors.New("a record with this id is there, or was")

var (
	exists  = regexp.MustCompile(`(?i)already exist`)
	denied  = regexp.MustCompile(`AccessDenied|NotAllowed|does not have access`)
	noUser  = regexp.MustCompile(`^Users module with id|^Module id is empty when trying to get Users`) // the client's own is gone
	missing = regexp.MustCompile(`(?i)not found|not exist|is deleted|could not (?:be )?load`)
	badName = regexp.MustCompile(`(?i)propert(?:y|ies)|field|column|option`)
)

// refusal reads an answer as the error that a Write returns; nil: it is a success.
func refusal(answer *httpx.Answer, shape string) error {
	if answer.Status/100 == 2 {
		return nil
	}
	var said struct {
		Errors struct {
			Detail string `json:"detail"`
		} `json:"errors"`
	}
	_ = json.Unmarshal(answer.Body, &said)
	detail := said.Errors.Detail
	if detail != "" {
		answer.Body = []byte(detail)
	}
	err := httpx.Verdict(answer, shape)
	// SuiteCRM says 400 to all of these.
	switch rejected := answer.Status == http.StatusBadRequest || answer.Status == http.StatusNotFound; {
	case rejected && noUser.MatchString(detail):
		err = crm.Halted(fmt.Errorf("%w: the user of the OAuth2 client was deleted", err))
	case rejected && denied.MatchString(detail):
		what, _, _ := strings.Cut(shape, " {")
		err = fmt.Errorf("%w: %s: %w", errDenied, what, err)
	case rejected && exists.MatchString(detail):
		err = fmt.Errorf("%w: %w", errExists, err)
	case rejected && missing.MatchString(detail) && !badName.MatchString(detail): // 400, not 404
		err = fmt.Errorf("%w: %w", step.ErrGone, err)
	}
	return &httpx.Refused{Err: err, Status: answer.Status, Message: detail}
}
