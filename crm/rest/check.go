package rest

import (
	"context"
	"fmt"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
)

// impossible is a number that nobody has: a search for it shows that the system understands the question.
var impossible = phone.Of(crm.Contact{Phone: "+910000000000", E164: "+910000000000", National: "0000000000"}, "IN")

// Check sends the recipe's own checks, looks for a number that nobody has, and says what the recipe cannot promise. Nothing is written.
func (w *Writer) Check(ctx context.Context, _ []string) []crm.Finding {
	var found []crm.Finding
	host := w.api.client.Base().Host
	for i := range w.recipe.Check {
		p := &w.recipe.Check[i]
		said, err := w.api.send(ctx, &p.request, &scope{w: w}, nil)
		hint := p.Hint
		if hint == "" {
			hint = "see url, secrets and the recipe " + w.recipe.file
		}
		access := record.Access{Subject: "request " + p.shape(), Unreached: "see url, ca_file, proxy and the firewall", Refused: hint, Other: hint}
		if failed := access.Check(err); failed != nil {
			return append(found, failed...)
		}
		detail := host + " answers"
		if shown := p.Show.text(said); p.Show.set && shown != "" {
			detail += ": " + shown
		}
		found = append(found, crm.Finding{Subject: access.Subject, Detail: detail})
	}
	found = append(found, record.CheckTLS(w.api.client.Base(), "secret")...)
	search := contacts{w, &record.Job{}}
	_, err := search.Search(ctx, impossible)
	found = append(found, crm.Finding{Subject: "find", Err: err, Detail: "a number that nobody has is asked for"})
	found = append(found, w.owners.Check(ctx, w.s.Owner, fmt.Sprintf("there is no user %q", w.s.Owner))...)
	return append(found, crm.Finding{Subject: "repeats", Detail: w.recipe.promises()})
}

// promises says how a repeat of each record is recognised, and what the recipe leaves out.
func (r *Recipe) promises() string {
	var all []string
	for _, k := range r.kinds() {
		switch {
		case k.callRecord == nil:
			all = append(all, k.name+": none is made")
		case k.Update == nil && k.name == "call":
			all = append(all, k.name+": "+k.Once.String()+"; it is not changed later")
		default:
			all = append(all, k.name+": "+k.Once.String())
		}
	}
	return strings.Join(all, "; ")
}

// namedKind is a type of record with its name in the recipe.
type namedKind struct {
	name string
	*callRecord
}

func (r *Recipe) kinds() []namedKind {
	return []namedKind{{"call", r.Call}, {"task", r.Task}, {"note", r.Note}}
}
