package step

import (
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// remind is how often a field that is refused again and again is reported.
const remind = 24 * time.Hour

// Optional sends records and leaves out fields that the CRM refuses: one cosmetic field must not keep a call out of it. Each writer
// has one of its own, which remembers what it has reported. The zero value is ready; it is safe for concurrent use.
type Optional struct {
	mu   sync.Mutex
	told map[string]time.Time
}

// Send calls send with the fields and, as long as the destination rejects them by an error that names some of the optional ones,
// again without those. What was left out is reported once a day. record names what is sent, for the report ("Call"). named
// tells whether an error is about a field; nil: its text has the field's name in it as a word.
func (o *Optional) Send(p *crm.Progress, record string, fields map[string]any, optional []string, named func(err error, field string) bool,
	send func(fields map[string]any) error,
) error {
	if named == nil {
		named = InText
	}
	fields = maps.Clone(fields)
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
			if o.report(record + "." + f) {
				p.Warn("%s.%s was refused and left out, here and in what follows; the rest is written: %v", record, f, err)
			}
		}
	}
}

func (o *Optional) report(field string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if at, ok := o.told[field]; ok && time.Since(at) < remind {
		return false
	}
	if o.told == nil {
		o.told = map[string]time.Time{}
	}
	o.told[field] = time.Now()
	return true
}

// InText tells whether an error's text has the field's name in it as a word.
func InText(err error, field string) bool {
	return regexp.MustCompile(`(^|[^\p{L}\p{N}_])` + regexp.QuoteMeta(field) + `($|[^\p{L}\p{N}_])`).MatchString(err.Error())
}
