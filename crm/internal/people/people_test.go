package people_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
)

// directory is a CRM's contacts in memory.
type directory struct {
	records []people.Record
	hidden  int   // so many of the last records are not found yet
	lost    error // Create makes the record and returns this
	refused error // Create makes nothing and returns this
	search  error
	creates int
}

func (d *directory) Search(context.Context, phone.Number) ([]people.Record, error) {
	return d.records[:len(d.records)-d.hidden], d.search
}

func (d *directory) Read(_ context.Context, id string) (people.Record, bool, error) {
	i := slices.IndexFunc(d.records, func(r people.Record) bool { return r.ID == id })
	if i < 0 {
		return people.Record{}, false, nil
	}
	return d.records[i], true, nil
}

func (d *directory) Create(_ context.Context, e *crm.Entry, n phone.Number) (people.Record, error) {
	d.creates++
	if d.refused != nil {
		return people.Record{}, d.refused
	}
	r := record(len(d.records)+1, n.String())
	r.Status = e.Status
	d.records = append(d.records, r)
	return r, d.lost
}

func (d *directory) Mark(_ context.Context, r people.Record, _ phone.Number, _ *crm.Progress) error {
	i := slices.IndexFunc(d.records, func(o people.Record) bool { return o.ID == r.ID })
	d.records[i].DoNotCall = true
	return d.lost
}

func record(n int, phones ...string) people.Record {
	at := time.Date(2024, 1, n, 0, 0, 0, 0, time.UTC)
	return people.Record{ID: fmt.Sprintf("Lead/%d", n), Name: fmt.Sprintf("Person %d", n), Phones: phones, Created: at, Changed: at}
}

// resolve writes the ids it gets, joined, and the progress.
func resolve(t *testing.T, b *people.Book, d *directory, e crm.Entry, refs crm.Refs) (string, *crm.Progress, error) {
	t.Helper()
	p := crm.NewProgress(refs, nil)
	all, err := b.Resolve(t.Context(), d, &e, p)
	var ids []string
	for _, r := range all {
		ids = append(ids, r.ID)
	}
	return strings.Join(ids, ","), p, err
}

func TestPolicies(t *testing.T) {
	one := crmtest.Completed(1).Call.Contact
	three := []people.Record{record(1, one.E164), record(2, "022 2345 6789", "0"+one.National), record(3, "+1"+one.National), record(4, one.National)}
	converted := slices.Clone(three)
	converted[1].Superseded, converted[3].Superseded = true, true
	gone := []people.Record{converted[1]}
	for name, test := range map[string]struct {
		settings crm.Settings
		records  []people.Record
		want     string
		verdict  crm.Verdict
		warnings int
	}{
		"recent by default":    {crm.Settings{}, three, "Lead/4", crm.Delivered, 1},
		"recent":               {crm.Settings{OnMany: crm.ManyRecent}, three, "Lead/4", crm.Delivered, 1},
		"first":                {crm.Settings{OnMany: crm.ManyFirst}, three, "Lead/1", crm.Delivered, 1},
		"all":                  {crm.Settings{OnMany: crm.ManyAll}, three, "Lead/4,Lead/2,Lead/1", crm.Delivered, 0},
		"skip":                 {crm.Settings{OnMany: crm.ManySkip}, three, "", crm.Skip, 0},
		"one":                  {crm.Settings{OnMany: crm.ManySkip}, three[:1], "Lead/1", crm.Delivered, 0},
		"superseded last":      {crm.Settings{OnMany: crm.ManySkip}, converted, "Lead/1", crm.Delivered, 0},
		"only superseded":      {crm.Settings{}, gone, "Lead/2", crm.Delivered, 0},
		"none is made":         {crm.Settings{}, three[2:3], "Lead/2", crm.Delivered, 0},
		"none is skipped":      {crm.Settings{OnMissing: crm.MissingSkip}, three[2:3], "", crm.Skip, 0},
		"none is dead":         {crm.Settings{OnMissing: crm.MissingDead}, nil, "", crm.Refuse, 0},
		"one's own":            {crm.Settings{OwnNumbers: []string{one.E164}}, three, "", crm.Delivered, 0},
		"another's own":        {crm.Settings{OwnNumbers: []string{"+912223456789"}, OnMany: crm.ManyFirst}, three, "Lead/1", crm.Delivered, 1},
		"in another region":    {crm.Settings{Region: "US"}, three, "Lead/1", crm.Delivered, 0},
		"skip with one abroad": {crm.Settings{Region: "US", OnMany: crm.ManySkip}, three, "Lead/1", crm.Delivered, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := &directory{records: slices.Clone(test.records)}
			b := people.NewBook(test.settings, 0)
			m, err := b.Find(t.Context(), d, one)
			if err != nil || d.creates != 0 || test.verdict == crm.Delivered && test.warnings == 0 && m.Count == 1 && m.ID != test.want || m.None != (name == "one's own") {
				t.Errorf("find: %+v %v", m, err)
			}
			got, p, err := resolve(t, b, d, crmtest.Completed(1), nil)
			if got != test.want || crm.VerdictOf(err) != test.verdict || len(p.Warnings) != test.warnings || p.Refs[people.Ref] != test.want {
				t.Errorf("got %q, %v, %q, %q", got, err, p.Warnings, p.Refs)
			}
			crmtest.AssertNoLeak(t, name, nil, fmt.Sprint(err, p.Warnings))
		})
	}
}

func TestNoNumberNoContact(t *testing.T) {
	e := crmtest.Completed(1)
	e.Call.Contact = crm.Contact{Name: "Nobody"}
	d := &directory{}
	if got, _, err := resolve(t, people.NewBook(crm.Settings{OnMissing: crm.MissingDead}, 0), d, e, nil); got != "" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	e.Call.Contact.Phone = "12"
	if got, p, err := resolve(t, people.NewBook(crm.Settings{}, 0), d, e, nil); got != "" || err != nil || len(p.Warnings) != 1 || d.creates != 0 {
		t.Errorf("an impossible number: %q %v %q", got, err, p.Warnings)
	}
	d.records = []people.Record{record(1, "1-2")}
	if got, _, err := resolve(t, people.NewBook(crm.Settings{}, 0), d, e, nil); got != "Lead/1" || err != nil {
		t.Errorf("an impossible number that the CRM has: %q %v", got, err)
	}
}

// A search that shows new contacts late makes no second one.
func TestLaggingSearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &directory{}
		b := people.NewBook(crm.Settings{}, time.Minute)
		first, _, err := resolve(t, b, d, crmtest.Completed(1), nil)
		d.hidden = 1
		again := crmtest.Completed(2)
		again.Call.Contact = crmtest.Completed(1).Call.Contact
		if got, _, err2 := resolve(t, b, d, again, nil); got != first || errors.Join(err, err2) != nil || d.creates != 1 {
			t.Errorf("%q and %q, %d made: %v %v", first, got, d.creates, err, err2)
		}
		d.records, d.hidden = nil, 0 // somebody deleted it
		if got, _, err := resolve(t, b, d, again, nil); got == "" || err != nil || d.creates != 2 {
			t.Errorf("after it was deleted: %q %v", got, err)
		}
	})
}

// A process that begins anew knows nothing of the contacts that were made a moment ago: the refs of the number's call before tell.
func TestLaggingSearchOfANewProcess(t *testing.T) {
	d := &directory{}
	first, p, err := resolve(t, people.NewBook(crm.Settings{}, time.Minute), d, crmtest.Completed(1), nil)
	d.hidden = 1
	again := crmtest.Completed(2)
	again.Call.Contact, again.Before = crmtest.Completed(1).Call.Contact, p.Refs
	if got, _, err2 := resolve(t, people.NewBook(crm.Settings{}, time.Minute), d, again, nil); got != first || errors.Join(err, err2) != nil || d.creates != 1 {
		t.Errorf("%q and %q, %d made: %v %v", first, got, d.creates, err, err2)
	}
	d.records[0].Phones = []string{"+442079460000"} // people gave it another number
	if got, _, err := resolve(t, people.NewBook(crm.Settings{}, time.Minute), d, again, nil); got == first || err != nil || d.creates != 2 {
		t.Errorf("%q, %d made: %v", got, d.creates, err)
	}
	d.records, d.hidden = nil, 0 // it was deleted
	if got, _, err := resolve(t, people.NewBook(crm.Settings{}, time.Minute), d, again, nil); got == "" || err != nil || d.creates != 3 {
		t.Errorf("%q, %d made: %v", got, d.creates, err)
	}
}

// The answer of a create is lost, or the process dies, and the search does not show yet what was made: it is waited for.
func TestLostCreateWithLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &directory{lost: io.ErrUnexpectedEOF}
		b := people.NewBook(crm.Settings{}, time.Minute)
		d.hidden = 0
		e := crmtest.Completed(1)
		p := crm.NewProgress(nil, nil)
		hide := &hiding{d}
		if _, err := b.Resolve(t.Context(), hide, &e, p); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
		d.lost = nil
		for range 3 {
			time.Sleep(15 * time.Second)
			p = crm.NewProgress(p.Refs, nil)
			b = people.NewBook(crm.Settings{}, time.Minute) // a new process
			if _, err := b.Resolve(t.Context(), hide, &e, p); crm.VerdictOf(err) != crm.Postpone || d.creates != 1 {
				t.Fatalf("%d made: %v", d.creates, err)
			}
		}
		got, err := b.Resolve(t.Context(), d, &e, p)
		if err != nil || len(got) != 1 || d.creates != 1 || len(p.Refs) != 1 {
			t.Errorf("%+v %v %q", got, err, p.Refs)
		}
		// Nothing was made after all: after the lag it is made.
		p = crm.NewProgress(crm.Refs{"contact.tried": time.Now().UTC().Format(time.RFC3339)}, nil)
		empty := &directory{}
		time.Sleep(61 * time.Second)
		if got, err := b.Resolve(t.Context(), empty, &e, p); err != nil || len(got) != 1 || empty.creates != 1 {
			t.Errorf("%+v %v", got, err)
		}
	})
}

// hiding is a directory whose search shows nothing.
type hiding struct{ *directory }

func (h *hiding) Search(context.Context, phone.Number) ([]people.Record, error) { return nil, nil }

func TestFailedCreates(t *testing.T) {
	taken := crm.Rejected(errors.New("409: there is one"), "POST /Lead")
	for name, test := range map[string]struct {
		d    directory
		want string
		err  error
	}{
		"the answer was lost":   {directory{lost: io.ErrUnexpectedEOF}, "Lead/1", nil},
		"made, and refused":     {directory{lost: taken}, "Lead/1", nil},
		"refused":               {directory{refused: taken}, "", taken},
		"not made":              {directory{refused: io.ErrUnexpectedEOF}, "", io.ErrUnexpectedEOF},
		"not allowed":           {directory{lost: crm.Halted(io.ErrNoProgress)}, "", io.ErrNoProgress},
		"the search fails":      {directory{search: io.ErrClosedPipe}, "", io.ErrClosedPipe},
		"made without an error": {directory{}, "Lead/1", nil},
	} {
		got, p, err := resolve(t, people.NewBook(crm.Settings{}, 0), &test.d, crmtest.Completed(1), nil)
		if got != test.want || !errors.Is(err, test.err) || p.Refs[people.Ref] != test.want {
			t.Errorf("%s: got %q, %v, %q", name, got, err, p.Refs)
		}
	}
}

// A number that the CRM takes for none loses no call.
func TestNumberThatTheCRMDoesNotTake(t *testing.T) {
	d := &directory{refused: fmt.Errorf("%w: phoneNumber, type: valid", people.ErrNumber)}
	got, p, err := resolve(t, people.NewBook(crm.Settings{}, time.Minute), d, crmtest.Completed(1), nil)
	if got != "" || err != nil || len(p.Warnings) != 1 || len(p.Refs) != 0 {
		t.Errorf("%q %v %q %q", got, err, p.Warnings, p.Refs)
	}
}

func TestKnownContact(t *testing.T) {
	one := crmtest.Completed(1).Call.Contact
	b := people.NewBook(crm.Settings{OnMany: crm.ManyAll}, 0)
	d := &directory{records: []people.Record{record(1, "+91000"), record(2, one.E164)}}
	if got, _, err := resolve(t, b, d, crmtest.Completed(1), crm.Refs{"contact": "Lead/1"}); got != "Lead/1" || err != nil {
		t.Errorf("given another number since: %q %v", got, err)
	}
	if got, p, err := resolve(t, b, d, crmtest.Completed(1), crm.Refs{"contact": "Lead/9"}); got != "Lead/2" || err != nil || p.Refs["contact"] != "Lead/2" {
		t.Errorf("merged into another: %q %v", got, err)
	}
	if got, _, err := resolve(t, b, d, crmtest.Completed(1), crm.Refs{"contact": "Lead/9,Lead/2"}); got != "Lead/2" || err != nil {
		t.Errorf("one of two deleted: %q %v", got, err)
	}
	d.records = nil
	got, p, err := resolve(t, b, d, crmtest.Completed(1), crm.Refs{"contact": "Lead/2"})
	if got != "" || err != nil || d.creates != 0 || len(p.Warnings) != 1 {
		t.Errorf("deleted: %q %v %q", got, err, p.Warnings)
	}
}

// What a call has set once it does not set again: people may have moved on.
func TestStatusIsSetOnce(t *testing.T) {
	b := people.NewBook(crm.Settings{}, 0)
	e := crmtest.Completed(1)
	p := crm.NewProgress(crm.Refs{"contact": "Lead/1"}, nil)
	if got := b.Status(people.Record{Status: "New"}, &e, p); got != "Hot Lead" || len(p.Refs) != 1 {
		t.Errorf("%q %q", got, p.Refs)
	}
	people.Wrote(&e, p)
	if got := b.Status(people.Record{Status: "Customer"}, &e, p); got != "" {
		t.Errorf("set again: %q", got)
	}
	e.Status = "Cold"
	if got := b.Status(people.Record{Status: "Customer"}, &e, p); got != "Cold" {
		t.Errorf("another: %q", got)
	}
	none := crm.NewProgress(nil, nil)
	if people.Wrote(&e, none); len(none.Refs) != 0 {
		t.Errorf("without a contact: %q", none.Refs)
	}
}

func TestWhatIsWritten(t *testing.T) {
	b := people.NewBook(crm.Settings{Protect: []string{"Customer "}}, 0)
	e := crmtest.Completed(1)
	for _, test := range []struct {
		record       people.Record
		set          bool
		status, name string
	}{
		{people.Record{}, true, "Hot Lead", e.Call.Contact.Name},
		{people.Record{Status: "New", Name: "As typed"}, true, "Hot Lead", ""},
		{people.Record{Status: "New", Name: e.Call.Contact.E164}, false, "", e.Call.Contact.Name},
		{people.Record{Status: "Hot Lead", Name: "x"}, true, "", ""},
		{people.Record{Status: " customer", Name: "x"}, true, "", ""},
		{people.Record{Status: "Converted", Superseded: true, Name: "x"}, true, "", ""},
	} {
		e.SetStatus = test.set
		if s, n := b.Status(test.record, &e, crm.NewProgress(nil, nil)), b.NewName(test.record, &e); s != test.status || n != test.name {
			t.Errorf("%+v: status %q, name %q", test.record, s, n)
		}
	}
}
