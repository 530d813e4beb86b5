package step

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/cache"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/warn"
)

// believe is for how long a field that the CRM does not know is not sent: somebody may make it.
const believe = time.Hour

// Optional sends records and leaves out fields that the CRM refuses: one cosmetic field must not keep a call out of it. Each writer
// has one of its own, which remembers what it has reported, and which fields the CRM does not know. The zero value is ready; it is safe for concurrent use.
type Optional struct {
	told    warn.Daily
	unknown cache.Cache[struct{}]
}

// Send calls send with the fields and, as long as the destination rejects them by an error that names some of the optional ones,
// again without those. A field that the CRM does not know is not sent again for an hour; one whose value was refused is, as the next value may be
// another. What was left out is reported once a day. record names what is sent, for the report ("Call"). named
// tells whether an error is about a field; nil: its text has the field's name in it as a word.
func (o *Optional) Send(p *crm.Progress, record string, fields map[string]any, optional []string, named func(err error, field string) bool,
	send func(fields map[string]any) error,
) error {
	if named == nil {
		named = InText
	}
	fields = maps.Clone(fields)
	for _, f := range optional {
		if _, unknown := o.unknown.Held(record + "." + f); unknown {
			delete(fields, f)
		}
	}
	for {
		err := send(fields)
		if crm.VerdictOf(err) != crm.Reject {
			return err
		}
		refused := slices.DeleteFunc(slices.Clone(optional), func(f string) bool {
			_, sent := fields[f]
			return !sent || !named(err, f)
		})
		if len(refused) == 0 {
			return err
		}
		for _, f := range refused {
			delete(fields, f)
			if isUnknown(err, f) {
				o.unknown.Put(record+"."+f, struct{}{}, believe)
				o.told.Warn(p, record+"."+f, "%s.%s is not known to the CRM and is skipped for an hour at a time; the rest is written: %v", record, f, err)
			} else {
				o.told.Warn(p, record+"."+f, "the value of %s.%s was refused and skipped, as those that follow may be; the rest is written: %v", record, f, err)
			}
		}
	}
}

// isUnknown tells whether an error says that the CRM has no such field, or not for us, rather than that its value is wrong. The field may have a part
// of a request in front of its name.
func isUnknown(err error, field string) bool {
	name := regexp.QuoteMeta(field[strings.LastIndexByte(field, '.')+1:])
	return regexp.MustCompile(`(?i)\b(property|field|attribute|column)\W{1,8}` + name + `\W.{0,40}(not exist|n't exist|not found|in \w+ module is invalid)` + // HubSpot, LeadSquared, SuiteCRM
		`|no such column\W{1,8}` + name + `\b` +
		`|unable to create/update fields:[^.]*\b` + name + `\b`, // Salesforce
	).MatchString(err.Error())
}

// InText tells whether an error's text has the field's name in it as a word.
func InText(err error, field string) bool {
	return regexp.MustCompile(`(^|[^\p{L}\p{N}_])` + regexp.QuoteMeta(field) + `($|[^\p{L}\p{N}_])`).MatchString(err.Error())
}
