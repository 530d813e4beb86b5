// Package people finds or makes the contact that a call is written to, in a CRM whose contacts others change too.
//
// What all such CRMs have in common is here: which of the records that a search brings are the number's, which of several is
// taken, what becomes of a call without one, and how no contact is made twice although an answer was lost, the process was
// killed, or the search shows new records late. What differs is the Directory of each kind.
package people

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
	"github.com/vinfer-sync/vinfer-sync/internal/mask"
)

// Ref is the name under which the refs keep the contact's id; several are joined by commas.
const Ref = "contact"

// status is the ref that holds the lead status that the call has set.
const status = "status"

// tried is the ref that holds when a contact was last asked to be made, where the search lags.
const tried = "contact.tried"

// owed is a value of the ref crm.Wish: this call makes a contact after the wish was made, and the contact gets the mark. Besides, the ref is crm.Asked, or the
// key of the entry by which all records of the number were last marked.
const owed = "owed"

// Record is a contact, lead or person as it stands in the CRM.
type Record struct {
	ID        string   // where the CRM has several kinds of contacts the kind stands in front, as the writer likes: "Lead/6b04"
	Phones    []string // all of its numbers, as they are stored
	Name      string
	Status    string // lead status; empty: none, or its kind has none
	Owner     string // the CRM's id of the user whose contact it is
	DoNotCall bool
	Created   time.Time // zero: not known
	Changed   time.Time // zero: not known
	// Superseded: another record has taken its place (a converted lead, a merged contact). It is found, so that no second
	// contact is made, but it is taken only where nothing else has the number, and its status is left alone.
	Superseded bool
	// Picked are other values of the record that the kind needs.
	Picked map[string]any
	// Made: Create has made it just now, so nothing of an earlier call stands at it.
	Made bool
}

// Has tells whether the record has the number.
func (r Record) Has(n phone.Number) bool { return slices.ContainsFunc(r.Phones, n.Is) }

// Have tells whether one of the records has the number.
func Have(all []Record, n phone.Number) bool {
	return slices.ContainsFunc(all, func(r Record) bool { return r.Has(n) })
}

// Oldest returns the record that was made first.
func Oldest(all []Record) Record {
	return slices.MinFunc(all, func(a, b Record) int { return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID)) })
}

// ErrNumber is what Create returns, wrapped, for a number that the CRM takes for none: the call is then written without a contact.
var ErrNumber = errors.New("the CRM does not take the number")

// Directory is what a kind of CRM does with contacts. Its errors are those of a Write.
type Directory interface {
	// Search returns every record that may have the number: all kinds of contacts, converted and lost ones too, by all
	// spellings that the CRM may hold. It may return others: the Book compares.
	Search(ctx context.Context, n phone.Number) ([]Record, error)
	// Read returns the record as it is now; false: it is not there any more.
	Read(ctx context.Context, id string) (Record, bool, error)
	// Create makes the contact of a call, with its status if SetStatus holds, and with DoNotCall. A CRM that answers that there is one already returns that one.
	Create(ctx context.Context, e *crm.Entry, n phone.Number) (Record, error)
	// Mark notes on a record of the number, which has no such mark yet, that its person asked not to be called again.
	Mark(ctx context.Context, r Record, n phone.Number, p *crm.Progress) error
}

// Holder is implemented by Directories of CRMs where an activity tells at whom it stands. When people merge two contacts, what hung on the one that is gone
// moves to the other, which may have another number.
type Holder interface {
	// Holder returns the id of the record at which the activity of a known id stands; empty: at none, or the activity is not there any more.
	Holder(ctx context.Context, activity string) (id string, err error)
}

// Book chooses contacts for one destination. It is safe for concurrent use.
type Book struct {
	s    crm.Settings
	lag  time.Duration
	made memory
}

// NewBook returns a Book. lag is how long a new record may be missing in the Directory's Search; 0: it never is.
func NewBook(s crm.Settings, lag time.Duration) *Book {
	return &Book{s: s, lag: lag, made: memory{keep: max(2*lag, 15*time.Minute)}}
}

// Number returns the number of a call's contact; none where it is one of our own.
func (b *Book) Number(c crm.Contact) phone.Number {
	n := phone.Of(c, b.s.Region)
	if n.OneOf(b.s.OwnNumbers) {
		return phone.Number{}
	}
	return n
}

// Resolve returns the records to which the entry is to be written, as they are now, after it has found or made them and saved
// their ids. There are several only with on_many: all, and none where the call has no number, a number of our own or an
// impossible one, or where the contact that it had has been deleted: then the call is written without one.
// crm.Skipped and crm.Refused come from on_many and on_missing.
//
// The wish not to be called belongs to the number. Resolve notes it on all other records that have it, and has e.DoNotCall hold, too,
// for a contact that is made after an earlier call's wish.
func (b *Book) Resolve(ctx context.Context, d Directory, e *crm.Entry, p *crm.Progress) ([]Record, error) {
	b.recallWish(e, p)
	taken, found, err := b.resolve(ctx, d, e, p)
	if err == nil && e.DoNotCall && e.Event != crm.TranscriptReady && p.Refs[crm.Wish] != e.Key {
		err = b.markOthers(ctx, d, e, p, taken, found)
	}
	return taken, err
}

// resolve is Resolve for the records that the entry is written to. found are all that have the number; nil: they were not looked for.
func (b *Book) resolve(ctx context.Context, d Directory, e *crm.Entry, p *crm.Progress) (taken, found []Record, err error) {
	known := p.Refs[Ref]
	if known != "" {
		there, err := b.read(ctx, d, known)
		if err == nil && len(there) == 1 && !strings.Contains(known, ",") {
			err = p.Save(Ref, there[0].ID) // it may live on as another record
		}
		if err != nil || len(there) > 0 {
			return there, nil, err
		}
		if taken, err = b.merged(ctx, d, p); err != nil || len(taken) > 0 {
			return taken, nil, err
		}
	}
	n := b.Number(e.Call.Contact)
	if n.IsZero() {
		return nil, nil, nil
	}
	if found, err = b.search(ctx, d, n); err != nil {
		return nil, nil, err
	}
	if len(found) == 0 {
		if known != "" {
			// Somebody deleted it since this call was first written: it is not for us to bring it back.
			p.Warn("contact %s is not in the CRM any more; the call is written without one", known)
			return nil, nil, nil
		}
		if b.lag > 0 {
			if found, err = b.before(ctx, d, e, n, nil); err != nil {
				return nil, nil, err
			}
		}
	}
	if len(found) == 0 {
		if found, err = b.missing(ctx, d, e, n, p); err != nil || len(found) == 0 {
			return nil, nil, err
		}
	}
	if taken, err = b.choose(found, p); err != nil {
		return nil, nil, err
	}
	p.Forget(tried)
	return taken, found, p.Save(Ref, joined(taken))
}

// merged returns the record to which the call's activity has moved, after its contact is gone; none: it has not.
func (b *Book) merged(ctx context.Context, d Directory, p *crm.Progress) ([]Record, error) {
	h, ok := d.(Holder)
	if id := p.Refs[activity]; !ok || id == "" || strings.HasPrefix(id, "deleted:") || strings.Contains(p.Refs[Ref], ",") {
		return nil, nil
	}
	id, err := h.Holder(ctx, p.Refs[activity])
	if err != nil || id == "" || id == p.Refs[Ref] {
		return nil, err
	}
	r, there, err := d.Read(ctx, id)
	if err != nil || !there {
		return nil, err
	}
	return []Record{r}, p.Save(Ref, r.ID)
}

// recallWish keeps with the call that the number's person asked not to be called again, for calls that come after it. A call that makes a
// contact after the wish marks it; contacts that are there are left as people have them.
func (b *Book) recallWish(e *crm.Entry, p *crm.Progress) {
	switch {
	case p.Refs[crm.Wish] == owed:
		e.DoNotCall = true
	case p.Refs[crm.Wish] == "" && (e.DoNotCall || e.Before[crm.Wish] != ""):
		p.Refs[crm.Wish] = crm.Asked
	}
}

// markOthers notes the wish not to be called on every other record of the number: the lead that the call was written to may have been
// converted or deleted since, or the number may be somebody's twice.
func (b *Book) markOthers(ctx context.Context, d Directory, e *crm.Entry, p *crm.Progress, taken, found []Record) error {
	n := b.Number(e.Call.Contact)
	if n.IsZero() {
		return nil
	}
	if found == nil {
		var err error
		if found, err = b.search(ctx, d, n); err != nil {
			return err
		}
	}
	hidden, err := b.before(ctx, d, e, n, append(taken, found...))
	if err != nil {
		return err
	}
	for _, r := range append(found, hidden...) {
		if r.DoNotCall || r.Superseded || slices.ContainsFunc(taken, func(t Record) bool { return t.ID == r.ID }) {
			continue
		}
		if err := d.Mark(ctx, r, n, p); err != nil {
			return err
		}
	}
	if p.Refs[crm.Wish] != owed {
		p.Refs[crm.Wish] = e.Key
	}
	return nil
}

// Find tells which contact a call would be written to, for crm.Finder.
func (b *Book) Find(ctx context.Context, d Directory, c crm.Contact) (crm.Match, error) {
	n := b.Number(c)
	if n.IsZero() {
		return crm.Match{None: true}, nil
	}
	found, err := b.search(ctx, d, n)
	if err != nil || len(found) == 0 {
		return crm.Match{}, err
	}
	m := crm.Match{Count: len(found)}
	if taken, err := b.choose(found, crm.NewProgress(nil, nil)); err == nil {
		m.ID, m.Label = taken[0].ID, mask.Phones(taken[0].Name)
		if m.Label == "" {
			m.Label = m.ID
		}
	}
	return m, nil
}

// Status returns the lead status that the entry gives to a record; empty: leave the one that it has. What this call has
// already set is not set again, as people may have moved on since: when all its records are written, call Wrote.
func (b *Book) Status(r Record, e *crm.Entry, p *crm.Progress) string {
	if !e.SetStatus || e.Status == r.Status || e.Status == p.Refs[status] || r.Superseded || r.Status != "" && b.s.Protects(r.Status) {
		return ""
	}
	return e.Status
}

// Wrote notes that the entry's status has been given to the call's contacts.
func Wrote(e *crm.Entry, p *crm.Progress) {
	if e.SetStatus && e.Status != "" && p.Refs[Ref] != "" {
		p.Refs[status] = e.Status
	}
}

// activity is the ref of a call's activity, at all kinds.
const activity = "activity"

// Recall finds out what an earlier attempt did of which the refs know nothing, because the state was lost or the process was killed: where the
// CRM has the call's activity with the same outcome, the call has set its status, and people may have moved on since. held looks for the
// activity and returns its id, if it has one for the refs, and what it says; it is asked only where a status would be set.
// looked: it was asked and has found nothing, so the activity need not be looked for again.
func (b *Book) Recall(ctx context.Context, found []Record, e *crm.Entry, p *crm.Progress, held func(ctx context.Context) (id, says string, there bool, err error)) (looked bool, err error) {
	if e.Event == crm.TranscriptReady || e.NoActivity || p.Refs[activity] != "" || p.Refs[status] != "" ||
		!slices.ContainsFunc(found, func(r Record) bool { return b.Status(r, e, p) != "" }) {
		return false, nil
	}
	id, says, there, err := held(ctx)
	if err != nil || !there {
		return err == nil, err
	}
	if id != "" {
		p.Refs[activity] = id
	}
	if text.SameOutcome(says, e) {
		p.Refs[status] = e.Status
	}
	return false, nil
}

// Suffix is what the names of the refs of a record end with, where a call is written to several: nothing for the first of those that were
// chosen, whether or not it is still there.
func Suffix(p *crm.Progress, id string) string {
	if first, _, _ := strings.Cut(p.Refs[Ref], ","); id == "" || id == first {
		return ""
	}
	return "@" + id
}

// NewName returns the name that a record lacks and the call has; empty: leave the one that it has. A record without a
// name may hold the number instead, which Placeholder put there.
func (b *Book) NewName(r Record, e *crm.Entry) string {
	if r.Name != "" && r.Name != Placeholder(b.Number(e.Call.Contact)) {
		return ""
	}
	return e.Call.Contact.Name
}

// Placeholder is the name of a contact whose name is not known, for CRMs that demand one.
func Placeholder(n phone.Number) string { return n.String() }

func (b *Book) read(ctx context.Context, d Directory, ids string) (there []Record, err error) {
	for id := range strings.SplitSeq(ids, ",") {
		r, ok, err := d.Read(ctx, id)
		if err != nil {
			return nil, err
		}
		if ok {
			there = append(there, r)
		}
	}
	return there, nil
}

// search returns the records that have the number, those that this process has made and the CRM's search does not show yet included.
func (b *Book) search(ctx context.Context, d Directory, n phone.Number) ([]Record, error) {
	all, err := d.Search(ctx, n)
	if err != nil {
		return nil, err
	}
	var found []Record
	for _, r := range all {
		if r.Has(n) && !slices.ContainsFunc(found, func(f Record) bool { return f.ID == r.ID }) {
			found = append(found, r)
		}
	}
	if id := b.made.get(n.String()); id != "" && !slices.ContainsFunc(found, func(f Record) bool { return f.ID == id }) {
		r, ok, err := d.Read(ctx, id)
		switch {
		case err != nil:
			return nil, err
		case ok && r.Has(n):
			found = append(found, r)
		default:
			b.made.drop(n.String()) // deleted, or given another number
		}
	}
	if current := slices.DeleteFunc(slices.Clone(found), func(r Record) bool { return r.Superseded }); len(current) > 0 {
		return current, nil
	}
	return found, nil
}

// before returns the contacts of the number's newest other call besides those that are known, where the search may not show yet what was made for it: by
// another process, as what this one has made is remembered.
func (b *Book) before(ctx context.Context, d Directory, e *crm.Entry, n phone.Number, known []Record) ([]Record, error) {
	ids := slices.DeleteFunc(strings.Split(e.Before[Ref], ","), func(id string) bool {
		return id == "" || slices.ContainsFunc(known, func(r Record) bool { return r.ID == id })
	})
	if len(ids) == 0 {
		return nil, nil
	}
	there, err := b.read(ctx, d, strings.Join(ids, ","))
	return slices.DeleteFunc(there, func(r Record) bool { return !r.Has(n) }), err
}

// missing does what is configured for a number that nobody has.
func (b *Book) missing(ctx context.Context, d Directory, e *crm.Entry, n phone.Number, p *crm.Progress) ([]Record, error) {
	switch b.s.OnMissing {
	case crm.MissingSkip:
		return nil, crm.Skipped("no contact has this number, and on_missing is skip")
	case crm.MissingDead:
		return nil, crm.Refused("no contact has this number, and on_missing is dead: make the contact, then: vinfer-sync dead retry " + e.Call.ID)
	}
	if n.E164() == "" {
		p.Warn("the number is not a possible one: no contact was made")
		return nil, nil
	}
	if !e.DoNotCall && p.Refs[crm.Wish] != "" {
		e.DoNotCall = true
		if err := p.Save(crm.Wish, owed); err != nil {
			return nil, err
		}
	}
	if b.lag > 0 {
		if at, err := time.Parse(time.RFC3339, p.Refs[tried]); err == nil && time.Since(at) < b.lag {
			return nil, crm.Postponed(fmt.Errorf("whether the contact was made is not known yet: the CRM's search shows new ones within %s; asking again", b.lag), b.lag-time.Since(at))
		}
		if err := p.Save(tried, time.Now().UTC().Format(time.RFC3339)); err != nil {
			return nil, err
		}
	}
	r, err := d.Create(ctx, e, n)
	if err == nil {
		b.made.put(n.String(), r.ID)
		return []Record{r}, nil
	}
	if errors.Is(err, ErrNumber) {
		p.Forget(tried)
		p.Warn("no contact was made: %v", err)
		return nil, nil
	}
	if v := crm.VerdictOf(err); ctx.Err() != nil || v == crm.Halt || v == crm.Throttle {
		if ctx.Err() == nil {
			p.Forget(tried) // it was refused: nothing was made
		}
		return nil, err
	}
	// It may have been made all the same: the answer was lost, or somebody else was faster.
	if found, e := b.search(ctx, d, n); e == nil && len(found) > 0 {
		return found, nil
	}
	if crm.VerdictOf(err) != crm.Retry {
		p.Forget(tried)
	}
	return nil, err
}

// choose takes one of several records, or as many as are configured.
func (b *Book) choose(found []Record, p *crm.Progress) ([]Record, error) {
	if len(found) == 1 {
		return found, nil
	}
	switch b.s.OnMany {
	case crm.ManySkip:
		return nil, crm.Skipped(fmt.Sprintf("%d contacts have this number (%s), and on_many is skip", len(found), joined(found)))
	case crm.ManyAll:
		slices.SortFunc(found, recent)
		return found, nil
	case crm.ManyFirst:
		first := Oldest(found)
		p.Warn("%d contacts have this number (%s); %s, the first that was made, was taken", len(found), joined(found), first.ID)
		return []Record{first}, nil
	}
	last := slices.MinFunc(found, recent)
	p.Warn("%d contacts have this number (%s); %s, the last that was changed, was taken", len(found), joined(found), last.ID)
	return []Record{last}, nil
}

// recent sorts the records that were changed last first.
func recent(a, b Record) int {
	return cmp.Or(b.Changed.Compare(a.Changed), b.Created.Compare(a.Created), strings.Compare(b.ID, a.ID))
}

func joined(all []Record) string {
	ids := make([]string, len(all))
	for i, r := range all {
		ids[i] = r.ID
	}
	return strings.Join(ids, ",")
}
