package zoho

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// verdict is what Zoho says of a request or of one of its rows.
type verdict struct {
	Code    string          `json:"code"`
	Message string          `json:"message"`
	Status  string          `json:"status"`
	Details json.RawMessage `json:"details"`
}

// details are what goes with a code; Zoho's errors have some of them.
type details struct {
	ID        id     `json:"id"`
	Name      string `json:"api_name"`
	Path      string `json:"json_path"`
	Duplicate struct {
		ID id `json:"id"`
	} `json:"duplicate_record"`
}

// id is a record's id: a string, and in some answers a number.
type id string

// UnmarshalJSON takes both.
func (i *id) UnmarshalJSON(b []byte) error {
	*i = id(strings.Trim(string(b), `"`))
	if *i == "null" {
		*i = ""
	}
	return nil
}

func (v verdict) details() (d details) {
	_ = json.Unmarshal(v.Details, &d) // an array or text where there are none
	return d
}

// codeOf returns Zoho's code of an error; empty: it has none.
func codeOf(err error) string { return httpx.RefusedBy(err).Code }

// detailsOf returns what goes with the code of an error.
func detailsOf(err error) details { return verdict{Details: httpx.RefusedBy(err).Body}.details() }

// about tells whether an error names a field as the one that is wrong.
func about(err error, field string) bool {
	d := detailsOf(err)
	return codeOf(err) != "" && (d.Name == field || strings.HasSuffix(d.Path, "."+field) || strings.Contains(d.Path, "."+field+".") || step.InText(err, field))
}

// refusesToken tells whether an answer is about the access token, rather than about what it may be used for.
func refusesToken(answer *httpx.Answer) bool {
	return answer.Status == http.StatusUnauthorized && !strings.Contains(string(answer.Body), "OAUTH_SCOPE_MISMATCH")
}

// codes that are no matter of the one record.
var (
	haltCodes = map[string]bool{
		"OAUTH_SCOPE_MISMATCH": true, "NO_PERMISSION": true, "PERMISSION_DENIED": true, "AUTHORIZATION_FAILED": true, "AUTHENTICATION_FAILURE": true,
		"INVALID_TOKEN": true, "INVALID_OAUTHTOKEN": true, "LICENSE_EXPIRED": true, "ORG_UNAUTHORIZED": true, "API_DISABLED": true,
	}
	waitCodes  = map[string]bool{"TOO_MANY_REQUESTS": true, "LIMIT_EXCEEDED": true, "API_LIMIT_EXCEEDED": true, "LIMIT_REACHED": true}
	retryCodes = map[string]bool{"INTERNAL_ERROR": true, "INTERNAL_SERVER_ERROR": true, "RECORD_LOCKED": true, "SERVICE_UNAVAILABLE": true, "REQUEST_TIMEOUT": true}
)

// lockCodes say that this one record may not be changed now, by whoever it is.
var lockCodes = map[string]bool{
	"RECORD_IN_BLUEPRINT": true, "NOT_ALLOWED": true, "NOT_APPROVED": true, "RECORD_NOT_APPROVED": true, "RECORD_IN_APPROVAL": true,
	"CONVERTED_RECORD": true, "ID_ALREADY_CONVERTED": true, "CANNOT_UPDATE_CONVERTED_RECORD": true,
}

// judge reads a code as the error that a Write returns.
func judge(answer *httpx.Answer, host, shape string, v verdict) error {
	d := v.details()
	said := fmt.Sprintf("%s answers %d: %s", host, answer.Status, answer.Words([]byte(v.Code+" "+v.Message)))
	if name := cmp.Or(d.Path, d.Name); name != "" {
		said += " (" + answer.Words([]byte(name)) + ")"
	}
	return &httpx.Refused{Err: verdictOf(answer, errors.New(said), shape, v.Code), Status: answer.Status, Code: v.Code, Body: v.Details}
}

// verdictOf marks an error by what Zoho's code asks for.
func verdictOf(answer *httpx.Answer, err error, shape, code string) error {
	wait, asked := answer.RetryAfter()
	switch {
	case waitCodes[code], answer.Status == http.StatusTooManyRequests:
		if !asked {
			wait = resetIn(answer.Header)
		}
		return crm.Throttled(err, wait)
	case haltCodes[code], answer.Status == http.StatusUnauthorized, answer.Status == http.StatusForbidden && !lockCodes[code]:
		return crm.Halted(err)
	case retryCodes[code], answer.Status >= 500:
		if asked {
			return crm.Throttled(err, wait)
		}
		return err
	}
	return crm.Rejected(err, shape)
}

// resetIn returns how long it is until the window of requests ends; 0: not said.
func resetIn(h http.Header) time.Duration {
	n, err := strconv.ParseInt(strings.TrimSpace(h.Get("X-RATELIMIT-RESET")), 10, 64)
	if err != nil || n <= 0 {
		return 0
	}
	at := time.Unix(n, 0)
	switch {
	case n > 1e11: // in milliseconds
		at = time.UnixMilli(n)
	case n < 1e8:
		return min(time.Duration(n)*time.Second, longest)
	}
	return min(max(time.Until(at), 0), longest)
}

const longest = time.Hour // that is waited for what a header says

// spent tells whether the answer's headers say that no request is left in this window, and for how long.
func spent(h http.Header) time.Duration {
	if strings.TrimSpace(h.Get("X-RATELIMIT-REMAINING")) != "0" {
		return 0
	}
	return resetIn(h)
}

var wrongID = regexp.MustCompile(`(?i)\bid given seems|invalid id|no such record|does not exist|record not found`)

// isGone tells whether an error says that the record which the request names by id is not there.
func isGone(err error) bool {
	if crm.VerdictOf(err) != crm.Reject {
		return false
	}
	switch codeOf(err) {
	case "RECORD_NOT_FOUND", "RESOURCE_NOT_FOUND", "ENTITY_ID_INVALID", "RECORD_DELETED":
		return true
	case "INVALID_DATA":
		d := detailsOf(err)
		return (d.Name == "" || d.Name == "id") && (d.Path == "" || d.Path == "$.data[0].id") && wrongID.MatchString(err.Error())
	}
	return false
}

const duplicate = "DUPLICATE_DATA"

// twin returns the id of the record that a refused one would double; empty: it is refused for another reason.
func twin(err error) string {
	if codeOf(err) != duplicate {
		return ""
	}
	d := detailsOf(err)
	return string(cmp.Or(d.Duplicate.ID, d.ID))
}

// read judges an answer and decodes it. out gets the whole body; rows are judged by do's caller only where it writes.
func read(answer *httpx.Answer, host, shape string, out any) error {
	var said verdict
	if answer.Status/100 != 2 {
		_ = json.Unmarshal(answer.Body, &said)
		if said.Code == "" { // of one row
			if row, ok := firstRow(answer.Body); ok {
				said = row
			}
		}
		if said.Code == "" {
			return httpx.Verdict(answer, shape)
		}
		return judge(answer, host, shape, said)
	}
	if answer.Status == http.StatusNoContent || len(answer.Body) == 0 && answer.Status != http.StatusOK {
		return nil
	}
	if err := answer.JSON(&said); err != nil {
		return err
	}
	if said.Code != "" && said.Code != success {
		return judge(answer, host, shape, said)
	}
	if out == nil {
		return nil
	}
	return answer.JSON(out)
}

const success = "SUCCESS"

// firstRow returns what Zoho says of the first row of a write.
func firstRow(body []byte) (verdict, bool) {
	var rows struct {
		Data   []verdict `json:"data"`
		Fields []verdict `json:"fields"`
	}
	if json.Unmarshal(body, &rows) != nil {
		return verdict{}, false
	}
	if all := append(rows.Data, rows.Fields...); len(all) > 0 {
		return all[0], true
	}
	return verdict{}, false
}
