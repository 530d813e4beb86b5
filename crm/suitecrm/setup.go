package suitecrm

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
)

// Check looks whether the client works, may read the modules, and which custom fields there are. SuiteCRM tells nobody the values of
// a drop-down and takes any: it can only be looked which statuses no lead has yet.
func (w *Writer) Check(ctx context.Context, statuses []string) []crm.Finding {
	host := w.suite.host()
	if _, err := w.suite.tokens.Token(ctx); err != nil {
		if found := people.CheckLimit(err); found != nil {
			return found
		}
		return []crm.Finding{{Subject: "connection", Err: err, Detail: host}}
	}
	found := []crm.Finding{{Subject: "connection", Detail: "V8 API at " + host}}
	found = append(found, record.CheckTLS(w.suite.client.Base(), "secret")...)
	for _, module := range []string{"Leads", "Contacts", "Calls", "Tasks", "Notes"} {
		if _, err := w.suite.find(ctx, module, url.Values{}, []string{"date_modified"}, 1); err != nil {
			found = append(found, crm.Finding{Subject: "module " + module, Err: err, Detail: "the client's user needs the right to list, view, edit and create in it"})
		}
	}
	var unused []string
	for _, status := range statuses {
		leads, err := w.suite.find(ctx, "Leads", url.Values{"filter[status][eq]": {status}}, []string{"status"}, 1)
		if err != nil {
			found = append(found, crm.Finding{Subject: "lead statuses", Err: err})
			break
		}
		if len(leads) == 0 {
			unused = append(unused, status)
		}
	}
	if len(unused) > 0 {
		found = append(found, crm.Finding{
			Subject: "lead statuses",
			Detail:  "no lead has " + strings.Join(unused, ", ") + " yet, and SuiteCRM takes any value: see that each is an item name of lead_status_dom (Admin > Dropdown Editor)",
		})
	}
	found = append(found, w.owners.Check(ctx, w.s.Owner, fmt.Sprintf("SuiteCRM has no user %q", w.s.Owner))...)
	return append(append(found, w.checkWidth(ctx)...), w.checkFields(ctx))
}

func (w *Writer) checkFields(ctx context.Context) crm.Finding {
	lacking, err := w.lacking(ctx)
	f := crm.Finding{Subject: "custom fields of Calls", Err: err, Detail: "all there"}
	if len(lacking) > 0 {
		f.Detail = "not there, so what belongs into them is in the description only: " + strings.Join(lacking, ", ")
	}
	return f
}

// lacking lists the custom fields that nobody has made.
func (w *Writer) lacking(ctx context.Context) (names []string, err error) {
	w.suite.fields.Forget()
	has, err := w.suite.has(ctx, "Calls")
	if err != nil {
		return nil, err
	}
	for _, ours := range fieldOrder {
		if theirs := w.s.Field(ours, Fields[ours]); !has[theirs] {
			names = append(names, theirs)
		}
	}
	return names, nil
}

// fieldOrder lists the names of Fields for people.
var fieldOrder = []string{"call_id", "disposition", "duration", "language", "campaign", "sentiment", "qa_score", "transcript_url"}

// Provision says how to make the custom fields: SuiteCRM's API makes none.
func (w *Writer) Provision(ctx context.Context, _ bool) ([]crm.Change, error) {
	lacking, err := w.lacking(ctx)
	var changes []crm.Change
	for _, name := range lacking {
		changes = append(changes, crm.Change{
			Subject: "field Calls." + name, Optional: true,
			Detail: "make it by hand if you want it: Admin > Studio > Calls > Fields > Add Field: type TextField, name " + strings.TrimSuffix(name, "_c") +
				" (SuiteCRM appends _c), size 255. Without it the value is in the description",
		})
	}
	return changes, err
}
