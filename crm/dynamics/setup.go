package dynamics

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

var access = record.Access{
	Subject:   "key",
	Unreached: "the environment or its token endpoint cannot be reached: see url and tenant",
	Refused:   "the app registration needs a valid client secret, and an application user in this environment (Power Platform admin center > Environments > Settings > Application users)",
	Other:     "is url that of a Dataverse environment?",
}

// Check looks whether the application user works, what its roles allow, and whether the lead statuses, the columns and the owner are there.
func (w *Writer) Check(ctx context.Context, statuses []string) []crm.Finding {
	me, err := w.api.whoami(ctx)
	if found := access.Check(err); found != nil {
		return found
	}
	base := w.api.client.Base()
	found := append([]crm.Finding{{Subject: "key", Detail: "application user " + me + " at " + base.Host}}, record.CheckTLS(base, "secret")...)
	found = append(found, w.checkPrivileges(ctx, me))
	found = append(found, w.checkStatuses(ctx, statuses))
	if w.s.Owner != "" {
		found = append(found, w.owners.Check(ctx, w.s.Owner, fmt.Sprintf("there is no active user %q: give an email address or a user name", w.s.Owner))...)
	}
	return append(found, w.checkColumns(ctx))
}

// checkPrivileges asks which of the privileges that a call takes the application user's roles give.
func (w *Writer) checkPrivileges(ctx context.Context, me string) crm.Finding {
	f := crm.Finding{Subject: "privileges"}
	var wanted []string
	for _, set := range append(slices.Clone(w.tables), phonecalls, tasks, annotations) {
		table := map[string]string{leads: "Lead", contacts: "Contact", annotations: "Note"}[set]
		if table == "" {
			table = "Activity"
		}
		for _, may := range []string{"prvCreate", "prvRead", "prvWrite", "prvAppend", "prvAppendTo"} {
			if name := may + table; !slices.Contains(wanted, name) && (may != "prvAppendTo" || set == leads || set == contacts) {
				wanted = append(wanted, name)
			}
		}
	}
	var out struct {
		RolePrivileges []struct{ PrivilegeName string }
	}
	path := "systemusers(" + me + ")/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()"
	err := w.api.do(ctx, request{method: http.MethodGet, path: path, out: &out})
	has := map[string]bool{}
	for _, p := range out.RolePrivileges {
		has[p.PrivilegeName] = p.PrivilegeName != ""
	}
	if crm.VerdictOf(err) == crm.Reject || err == nil && len(has) == 0 { // servers of one's own do not tell names
		f.Detail = "this version does not tell them: the role must allow to create, read, write and append " + strings.Join(w.tables, ", ") + ", activities and notes"
		return f
	}
	lacking := slices.DeleteFunc(wanted, func(name string) bool { return has[name] })
	if f.Err = err; err == nil && len(lacking) > 0 {
		f.Err = fmt.Errorf("the application user's roles lack %s", strings.Join(lacking, ", "))
	}
	f.Detail = "all that is needed"
	return f
}

func (w *Writer) checkStatuses(ctx context.Context, mapped []string) crm.Finding {
	const subject = "lead statuses"
	name := w.field(fieldStatus)
	known := map[string]*column{}
	var valid []string
	there := false
	for _, set := range w.tables {
		c, err := w.statusColumn(ctx, set)
		if err != nil {
			return crm.Finding{Subject: subject, Err: err}
		}
		known[set] = c
		there = there || !c.missing
		for _, o := range c.options {
			if !slices.Contains(valid, o.name()) {
				valid = append(valid, o.name())
			}
		}
	}
	switch {
	case !there && name == Fields[fieldStatus]:
		return crm.Finding{Subject: subject, Detail: "contacts have none: name a column for it by fields: {status: …} if you want one"}
	case !there:
		return crm.Finding{Subject: subject, Err: fmt.Errorf("there is no column %s", name), Detail: "see fields: {status: …}"}
	}
	return record.CheckStatuses(subject, name, valid, mapped, w.s.Protect, func(s string) bool {
		return slices.ContainsFunc(w.tables, func(set string) bool { return known[set].takes(s) })
	})
}

func (w *Writer) checkColumns(ctx context.Context) crm.Finding {
	f := crm.Finding{Subject: "columns of phone calls", Detail: "all there"}
	lacking, err := w.lacking(ctx)
	if f.Err = err; len(lacking) > 0 {
		f.Detail = "run vinfer-sync setup; until then what belongs into them is in the description only: " + strings.Join(lacking, ", ")
	}
	return f
}

// custom columns of phone calls, by our names, and what they are called.
var created = map[string]string{
	fieldCallID: "VInfer call ID", text.Disposition: "VInfer disposition", text.Seconds: "VInfer seconds", text.Language: "VInfer language",
	text.Campaign: "VInfer campaign", text.Sentiment: "VInfer sentiment", text.QAScore: "VInfer QA score", text.Transcript: "VInfer transcript",
}

// lacking returns our columns that phone calls do not have.
func (w *Writer) lacking(ctx context.Context) (names []string, err error) {
	w.api.types.Forget()
	types, err := w.api.has(ctx)
	if err != nil {
		return nil, err
	}
	for _, ours := range slices.Sorted(maps.Keys(created)) {
		if name := w.field(ours); types[name] == "" {
			names = append(names, name)
		}
	}
	return names, nil
}

// Provision creates the columns of phone calls that are missing. The role System Customizer allows it.
func (w *Writer) Provision(ctx context.Context, dry bool) ([]crm.Change, error) {
	lacking, err := w.lacking(ctx)
	if err != nil {
		return nil, err
	}
	var changes []crm.Change
	for _, ours := range slices.Sorted(maps.Keys(created)) {
		name := w.field(ours)
		if !slices.Contains(lacking, name) {
			continue
		}
		change := crm.Change{Subject: "column phonecall." + name, Detail: created[ours]}
		if !strings.Contains(name, "_") {
			return changes, fmt.Errorf("the column %s of fields: {%s: …} does not exist, and a new one needs a prefix as in vinfer_%s", name, ours, name)
		}
		if !dry {
			if err := w.createColumn(ctx, ours, name); err != nil {
				return changes, err
			}
			change.Done = true
		}
		changes = append(changes, change)
	}
	w.api.types.Forget()
	return changes, nil
}

// createColumn creates a column. One that somebody else has just created is no fault.
func (w *Writer) createColumn(ctx context.Context, ours, name string) error {
	kind := map[string]string{text.Seconds: "Integer", text.QAScore: "Double"}[ours]
	if kind == "" {
		kind = "String"
	}
	body := record.Fields{
		"@odata.type": "Microsoft.Dynamics.CRM." + kind + "AttributeMetadata", "SchemaName": name, "RequiredLevel": record.Fields{"Value": "None"},
		"DisplayName": record.Fields{"@odata.type": "Microsoft.Dynamics.CRM.Label", "LocalizedLabels": []record.Fields{
			{"@odata.type": "Microsoft.Dynamics.CRM.LocalizedLabel", "Label": created[ours], "LanguageCode": 1033},
		}},
	}
	switch {
	case kind == "Integer":
		body["Format"], body["MinValue"], body["MaxValue"] = "None", 0, 2_147_483_647
	case kind == "Double":
		body["MinValue"], body["MaxValue"], body["Precision"] = 0, 1_000_000, 2
	case ours == text.Transcript:
		body["MaxLength"], body["FormatName"] = 2000, record.Fields{"Value": "Url"}
	default:
		body["MaxLength"], body["FormatName"] = longColumn, record.Fields{"Value": "Text"}
	}
	err := w.api.do(ctx, request{method: http.MethodPost, path: "EntityDefinitions(LogicalName='phonecall')/Attributes", query: url.Values{}, body: body})
	if err != nil {
		w.api.types.Forget()
		if types, herr := w.api.has(ctx); herr == nil && types[name] != "" {
			return nil
		}
		if crm.VerdictOf(err) == crm.Halt {
			err = errors.New(err.Error() + ": the role System Customizer allows it")
		}
		return fmt.Errorf("create column %s: %w", name, err)
	}
	return nil
}
