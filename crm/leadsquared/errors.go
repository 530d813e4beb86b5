package leadsquared

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// fault is the body of a refusal.
type fault struct {
	Status           string
	ExceptionType    string
	ExceptionMessage string
}

func faultOf(body []byte) (f fault) {
	_ = json.Unmarshal(body, &f) // what is no such body has no exception
	return f
}

// Words in the types of LeadSquared's exceptions, by what they ask for. Permanent faults come as 500 too, so the type
// decides; a type that says nothing is taken for a passing fault.
var (
	haltWords   = []string{"authenticat", "authoriz", "accesskey", "secretkey", "permission", "accessdenied", "privilege", "subscription", "accountexpired"}
	waitWords   = []string{"ratelimit", "apilimit", "limitexceed", "exceededlimit", "quota", "toomany", "throttl"}
	againWords  = []string{"timeout", "deadlock", "connection", "unavailable", "database", "temporar", "lockwait"}
	rejectWords = []string{
		"mandatory", "missing", "invalid", "notfound", "notexist", "doesnotexist", "duplicate", "already", "xss", "format", "validation",
		"notsupported", "unsupported", "length", "mismatch", "attribute", "locked", "deleted", "outofrange", "notallowed", "argument",
	}
)

func anyIn(s string, words []string) bool {
	for _, w := range words {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

var (
	toldLimit = regexp.MustCompile(`(?i)limit of (\d+) in (\d+) second`)
	daily     = regexp.MustCompile(`(?i)\b(daily|per day|a day)\b`)
)

// verdict reads an answer as the error that a Write returns; nil: it is a success.
func (a *api) verdict(answer *httpx.Answer, shape string) error {
	f := faultOf(answer.Body)
	failed := answer.Status/100 != 2
	if !failed && !strings.EqualFold(f.Status, "Error") {
		return nil
	}
	if f.ExceptionType != "" || f.ExceptionMessage != "" {
		answer.Body = []byte(strings.TrimSpace(f.ExceptionType + " " + f.ExceptionMessage))
	}
	err := httpx.Verdict(answer, shape)
	if !failed {
		err = fmt.Errorf("%s answers %d with an error: %s", a.host(), answer.Status, answer.Words(answer.Body))
	}
	kind := strings.ToLower(f.ExceptionType)
	_, asked := answer.RetryAfter()
	switch {
	case answer.Status == http.StatusTooManyRequests, anyIn(kind, waitWords):
		err = a.tooMany(err, string(answer.Body))
	case answer.Status == http.StatusUnauthorized, answer.Status == http.StatusForbidden, asked, kind == "":
	case anyIn(kind, haltWords):
		err = crm.Halted(err)
	case anyIn(kind, againWords):
		err = errors.New(err.Error())
	case anyIn(kind, rejectWords):
		err = crm.Rejected(err, shape)
	}
	return &httpx.Refused{Err: err, Status: answer.Status, Code: kind, Message: f.ExceptionMessage, Body: answer.Body}
}

// tooMany learns the limit that a refusal tells of, and asks for a pause until its window is over.
func (a *api) tooMany(err error, said string) error {
	wait := crm.Wait(err)
	if m := toldLimit.FindStringSubmatch(said); m != nil {
		most, _ := strconv.Atoi(m[1])
		seconds, _ := strconv.Atoi(m[2])
		window := time.Duration(min(seconds, 3600)) * time.Second
		a.limit.Lower(most, window)
		wait = max(wait, window)
	} else if wait == 0 && daily.MatchString(said) {
		wait = 15 * time.Minute // the day's quota is used up
	}
	return crm.Throttled(err, wait)
}

// refusesKeys tells whether an answer is about the keys: they are wrong, or were not seen where they stood.
func refusesKeys(answer *httpx.Answer) bool {
	if answer.Status == http.StatusUnauthorized {
		return true
	}
	said := strings.ToLower(strings.ReplaceAll(string(answer.Body), " ", ""))
	return answer.Status >= 400 && answer.Status != http.StatusTooManyRequests && strings.Contains(said, "exceptiontype") &&
		(strings.Contains(said, "accesskey") || strings.Contains(said, "authenticationfailed"))
}

// takesKeys tells whether an answer shows that the keys were seen and are right: LeadSquared looks at them before anything else of a request.
func takesKeys(answer *httpx.Answer) bool {
	if answer.Status/100 == 2 {
		return true
	}
	if answer.Status == http.StatusForbidden || answer.Status == http.StatusTooManyRequests {
		return false
	}
	return faultOf(answer.Body).ExceptionType != "" && !refusesKeys(answer)
}

// exceptionOf returns the type of LeadSquared's exception that an error is about, in lower case; empty: it has none.
func exceptionOf(err error) string { return httpx.RefusedBy(err).Code }

// unavailable tells whether the error says that there is no such request, at least not for this account.
func unavailable(err error) bool {
	switch httpx.StatusOf(err) {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return exceptionOf(err) == "" || crm.VerdictOf(err) == crm.Reject
	}
	return false
}

var notThere = regexp.MustCompile(`(?i)not ?found|not exist|no (lead|prospect|activity|task) `)

// gone tells whether the error says that the record is not there.
func gone(err error) bool {
	r := httpx.RefusedBy(err)
	if crm.VerdictOf(err) != crm.Reject {
		return false
	}
	return r.Status == http.StatusNotFound || strings.Contains(r.Code, "notfound") || strings.Contains(r.Code, "notexist") || notThere.MatchString(r.Message)
}

func isMarkup(err error) bool { return strings.Contains(exceptionOf(err), "xss") }

func isDuplicate(err error) bool { return strings.Contains(exceptionOf(err), "duplicate") }

// overlong tells whether the error is about the length of a text.
func overlong(err error) bool {
	if crm.VerdictOf(err) != crm.Reject {
		return false
	}
	said := strings.ToLower(exceptionOf(err) + " " + httpx.RefusedBy(err).Message)
	return httpx.StatusOf(err) == http.StatusRequestEntityTooLarge || anyIn(said, []string{"length", "too long", "exceed", "maximum", "truncat", "characters"})
}
