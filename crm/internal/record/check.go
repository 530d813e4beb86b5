package record

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

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
