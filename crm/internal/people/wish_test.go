package people_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
)

// The wish not to be called is one of the number: it reaches every live record that has it, but for the one that the writer sees to.
func TestWishReachesAllOfTheNumber(t *testing.T) {
	one := crmtest.Completed(1).Call.Contact
	e := crmtest.Completed(1)
	e.DoNotCall = true
	fresh := func() *directory {
		d := &directory{records: []people.Record{record(1, one.E164), record(2, "0"+one.National), record(3, "+1"+one.National), record(4, one.E164)}}
		d.records[3].Superseded = true
		return d
	}
	d := fresh()
	got, p, err := resolve(t, people.NewBook(crm.Settings{}, 0), d, e, crm.Refs{"contact": "Lead/1"})
	if got != "Lead/1" || err != nil || p.Refs["do_not_call"] == "" || d.records[0].DoNotCall || !d.records[1].DoNotCall || d.records[2].DoNotCall || d.records[3].DoNotCall {
		t.Errorf("%q %v %q %+v", got, err, p.Refs, d.records)
	}
	d = fresh()
	d.lost = io.ErrClosedPipe
	if _, _, err := resolve(t, people.NewBook(crm.Settings{}, 0), d, e, crm.Refs{"contact": "Lead/1"}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the mark failed: %v", err)
	}
	d = fresh()
	d.search = io.ErrClosedPipe
	if _, _, err := resolve(t, people.NewBook(crm.Settings{}, 0), d, e, crm.Refs{"contact": "Lead/1"}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the search failed: %v", err)
	}
	d = fresh()
	transcript := crmtest.Transcribed(1)
	transcript.DoNotCall = true
	if _, _, err := resolve(t, people.NewBook(crm.Settings{}, 0), d, transcript, crm.Refs{"contact": "Lead/1"}); err != nil || d.records[1].DoNotCall {
		t.Errorf("a transcript touches no contact: %v %+v", err, d.records)
	}
}

// A contact that is made after the wish gets the mark, even if the process dies on the way; one that is there is left as people have it.
func TestWishOfAnEarlierCall(t *testing.T) {
	b := people.NewBook(crm.Settings{}, 0)
	before := crm.Refs{"contact": "Lead/9", "do_not_call": "asked"}
	e := crmtest.Completed(1)
	e.Before = before
	d := &directory{refused: io.ErrUnexpectedEOF}
	saved := crm.Refs{}
	p := crm.NewProgress(nil, func(r crm.Refs) error { saved = r; return nil })
	if _, err := b.Resolve(t.Context(), d, &e, p); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	d.refused = nil
	e = crmtest.Completed(1)
	p = crm.NewProgress(saved, nil)
	if _, err := b.Resolve(t.Context(), d, &e, p); err != nil || !e.DoNotCall || p.Refs["do_not_call"] == "" {
		t.Errorf("%v %t %q", err, e.DoNotCall, p.Refs)
	}
	there := crmtest.Completed(2)
	there.Call.Contact, there.Before = e.Call.Contact, before
	p = crm.NewProgress(nil, nil)
	if _, err := b.Resolve(t.Context(), d, &there, p); err != nil || there.DoNotCall || p.Refs["do_not_call"] != "asked" {
		t.Errorf("a contact that is there: %v %t %q", err, there.DoNotCall, p.Refs)
	}
}

func TestRecall(t *testing.T) {
	b := people.NewBook(crm.Settings{Protect: []string{"Customer"}}, 0)
	found := []people.Record{{ID: "Lead/1", Status: "New"}}
	body := "Outcome: Interested\n\nVInfer call: " + crmtest.Completed(1).Call.ID
	for name, test := range map[string]struct {
		edit   func(*crm.Entry, *people.Record, crm.Refs)
		says   string
		there  bool
		asked  bool
		looked bool
		status bool // is known to be set
	}{
		"new":                {nil, "", false, true, true, false},
		"lost":               {nil, body, true, true, false, true},
		"in people's words":  {nil, "We talked.", true, true, false, true},
		"another outcome":    {func(e *crm.Entry, _ *people.Record, _ crm.Refs) { e.Call.RawDisposition = "dispute" }, body, true, true, false, false},
		"no status":          {func(e *crm.Entry, _ *people.Record, _ crm.Refs) { e.SetStatus = false }, body, true, false, false, false},
		"equal":              {func(e *crm.Entry, r *people.Record, _ crm.Refs) { r.Status = e.Status }, body, true, false, false, false},
		"protected":          {func(_ *crm.Entry, r *people.Record, _ crm.Refs) { r.Status = "Customer" }, body, true, false, false, false},
		"a transcript":       {func(e *crm.Entry, _ *people.Record, _ crm.Refs) { e.Event = crm.TranscriptReady }, body, true, false, false, false},
		"without activities": {func(e *crm.Entry, _ *people.Record, _ crm.Refs) { e.NoActivity = true }, body, true, false, false, false},
		"known":              {func(_ *crm.Entry, _ *people.Record, r crm.Refs) { r["activity"] = "7" }, body, true, false, false, false},
	} {
		e, r, refs := crmtest.Completed(1), found[0], crm.Refs{}
		if test.edit != nil {
			test.edit(&e, &r, refs)
		}
		p := crm.NewProgress(refs, nil)
		asked := false
		looked, err := b.Recall(t.Context(), []people.Record{r}, &e, p, func(context.Context) (string, string, bool, error) {
			asked = true
			if !test.there {
				return "", "", false, nil
			}
			return "7", test.says, true, nil
		})
		if err != nil || asked != test.asked || looked != test.looked || (p.Refs["status"] != "") != test.status || asked && test.there && p.Refs["activity"] != "7" {
			t.Errorf("%s: asked %t, looked %t, %q, %v", name, asked, looked, p.Refs, err)
		}
	}
	e := crmtest.Completed(1)
	_, err := b.Recall(t.Context(), found, &e, crm.NewProgress(nil, nil), func(context.Context) (string, string, bool, error) { return "", "", false, io.ErrClosedPipe })
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

// held is a directory where a call tells at whom it stands.
type held struct {
	*directory
	at  string
	err error
}

func (h held) Holder(context.Context, string) (string, error) { return h.at, h.err }

// A contact that was merged into one of another number is that one, as the call has moved there.
func TestMergedIntoAnotherNumber(t *testing.T) {
	b := people.NewBook(crm.Settings{}, 0)
	for name, test := range map[string]struct {
		at       string
		err      error
		activity string
		want     string
	}{
		"moved":               {"Lead/2", nil, "7", "Lead/2"},
		"not moved":           {"Lead/1", nil, "7", ""},
		"at nobody":           {"", nil, "7", ""},
		"to one that is gone": {"Lead/9", nil, "7", ""},
		"deleted with it":     {"Lead/2", nil, "deleted:7", ""},
		"without an activity": {"Lead/2", nil, "", ""},
		"the question fails":  {"", io.ErrClosedPipe, "7", ""},
	} {
		d := held{&directory{records: []people.Record{{ID: "Lead/2", Phones: []string{"+442079460000"}}}}, test.at, test.err}
		p := crm.NewProgress(crm.Refs{"contact": "Lead/1", "activity": test.activity}, nil)
		e := crmtest.Revised(crmtest.Completed(1), "not_interested", "Cold")
		got, err := b.Resolve(t.Context(), d, &e, p)
		if !errors.Is(err, test.err) || (len(got) == 1) != (test.want != "") || test.want != "" && (got[0].ID != test.want || p.Refs["contact"] != test.want) {
			t.Errorf("%s: %+v, %v, %q", name, got, err, p.Refs)
		}
	}
}
