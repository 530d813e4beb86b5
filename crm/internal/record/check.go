package record

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// Access holds what a check advises where its first request fails.
type Access struct {
	Subject   string // what the credentials are called: "key"
	Unreached string // where there is no answer
	Refused   string // where the credentials are refused
	Other     string // where the answer is not that of the CRM
}

// Check returns the finding of a check whose first request failed; nil: it did not. A check that finds something here ends.
func (a Access) Check(err error) []crm.Finding {
	f := crm.Finding{Subject: a.Subject, Err: err, Detail: a.Other}
	switch limited := people.CheckLimit(err); {
	case err == nil:
		return nil
	case limited != nil:
		return limited
	case crm.VerdictOf(err) == crm.Halt:
		f.Detail = a.Refused
	case httpx.StatusOf(err) == 0:
		f.Subject, f.Detail = "connection", a.Unreached
	}
	return []crm.Finding{f}
}

// CheckTLS returns the finding of a CRM that is reached without TLS. what names what crosses the network besides names and numbers.
func CheckTLS(base *url.URL, what string) []crm.Finding {
	if base.Scheme != "http" {
		return nil
	}
	return []crm.Finding{{Subject: "encryption", Detail: base.Host + " is reached without TLS: the " + what + ", names and numbers cross the network readably"}}
}

// CheckStatuses tells whether the field of the lead status takes those that the mapping sets and that the configuration protects. valid are its values,
// as people read them; none: it takes any.
func CheckStatuses(subject, field string, valid, mapped, protected []string, takes func(status string) bool) crm.Finding {
	f := crm.Finding{Subject: subject, Detail: "valid: " + strings.Join(valid, ", ")}
	if len(valid) == 0 {
		f.Detail = field + " takes any, or does not tell which"
		return f
	}
	for _, list := range []struct {
		which    string
		statuses []string
		takes    func(status string) bool
	}{
		{"the mapping sets", mapped, takes},
		{"protect names", protected, func(s string) bool {
			return takes(s) || slices.ContainsFunc(valid, func(v string) bool { return strings.EqualFold(strings.TrimSpace(s), v) })
		}},
	} {
		unknown := slices.DeleteFunc(slices.Clone(list.statuses), list.takes)
		if len(unknown) > 0 {
			f.Err = errors.Join(f.Err, fmt.Errorf("%s %q, which %s does not take", list.which, unknown, field))
		}
	}
	return f
}
