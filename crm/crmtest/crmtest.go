// Package crmtest holds every writer to the contract of crm.Writer: one sub-test for each of its sentences, against a
// destination that the writer's own test provides. For destinations that are reached over HTTP it has a server with faults.
package crmtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// Target is one kind of destination and what it can do.
type Target struct {
	// New returns a fresh destination that holds nothing.
	New func(t *testing.T) Destination

	// What the destination cannot do by its nature.

	NoContacts  bool // it keeps calls only: every append-only destination
	NoMany      bool // it cannot hold two contacts of one number
	NoDoNotCall bool // it has no place for the wish not to be called
	DropsNUL    bool // it cannot hold the character NUL and loses it, and nothing else
	NotSetUp    bool // New's destination lacks what setup makes: check tells
	NoAnonymous bool // it cannot hold a call without a contact: one without a number is skipped

	Renews bool // its access tokens are short-lived: one that is refused is replaced, and the request sent again

	// Name and Text are what its fields for a name, and for a summary or a transcript, make of what they are given; nil: they
	// hold it as it is.
	Name, Text func(string) string
	// Note is what its notes make of a transcript, where that is something else than Text; nil: Text.
	Note func(string) string
	// Phones are the spellings of contact n's number in which it can hold it; nil: Spellings.
	Phones func(n int) []string

	// Verdicts are the statuses that mean to this destination something else than to most.
	Verdicts map[int]crm.Verdict
}

// Destination is one destination under test.
type Destination struct {
	// Open returns a writer as a new process would make it. The suite closes it if it is an io.Closer.
	Open func(t *testing.T) crm.Writer
	// State returns all that the destination holds.
	State func(t *testing.T) State
	// AddContact puts a contact there as its users would, and returns its id; nil: nobody but the writer makes contacts.
	AddContact func(t *testing.T, c Contact) string
	// Configured returns a writer whose settings, those of Open otherwise, were edited; nil: the kind has no crm.Settings. With it
	// come AddContact, SetStatus and Delete.
	Configured func(t *testing.T, edit func(*crm.Settings)) crm.Writer
	// SetStatus gives a contact a status, as its users would.
	SetStatus func(t *testing.T, contact, status string)
	// Delete deletes what the ref of the given name points to, as its users would; nil: they cannot.
	Delete func(t *testing.T, ref, id string)
	// Meanwhile is what people do between two calls besides.
	Meanwhile Meanwhile
	// Lag switches on that searches do not show contacts made from then on; nil: the fake cannot.
	Lag func(on bool)
	// Refuse has the destination refuse from now on, by an error that names it, a field of a call's activity that Open's and
	// Configured's writers send and that a call can do without; nil: it has none.
	Refuse func()
	// Unknown has the destination lose, from now on, a field of a call's activity that a call can do without, as an administrator deletes it, and returns its
	// name; nil: an unknown field is no error there.
	Unknown func() string
	// Server is the destination itself where it is reached over HTTP, else nil.
	Server *Server
	// Secrets are the credentials that the writer was given.
	Secrets []string
}

// State is what a destination holds, in the order in which it was made.
type State struct {
	Contacts   []Contact
	Calls      []Call
	Notes      []Note
	Tasks      []Task
	Deliveries []Delivery // of append-only destinations, which have nothing else
}

// Doubled tells what is there more than once, and which calls stand at nobody.
func (s State) Doubled() []string {
	seen, people := map[string]int{}, map[string]bool{}
	for _, c := range s.Contacts {
		seen["contact "+c.Phone]++
		people[c.ID] = true
	}
	var faults []string
	for _, c := range s.Calls {
		seen["call "+c.ID]++
		if !people[c.Contact] {
			faults = append(faults, fmt.Sprintf("call %s stands at %q", c.ID, c.Contact))
		}
	}
	for _, k := range s.Tasks {
		seen["task "+k.Call]++
	}
	for _, n := range s.Notes {
		seen["note "+n.Call]++
	}
	for what, n := range seen {
		if n != 1 {
			faults = append(faults, fmt.Sprintf("%s is there %d times", what, n))
		}
	}
	slices.Sort(faults)
	return faults
}

// AssertOnce fails the test if anything is doubled, and counts.
func (s State) AssertOnce(t *testing.T) (calls, contacts, tasks, notes int) {
	t.Helper()
	for _, fault := range s.Doubled() {
		t.Error(fault)
	}
	return len(s.Calls), len(s.Contacts), len(s.Tasks), len(s.Notes)
}

// Contact is a person.
type Contact struct {
	ID, Phone, Name, Status string // Phone in international form
	DoNotCall               bool
}

// Call is the activity of a call.
type Call struct {
	ID, Contact          string // VInfer's id of the call; the contact's ID
	Disposition, Summary string
	Rest                 string // all other fields in any form, without revision and times of writing
}

// Note is a transcript.
type Note struct{ Call, Text string }

// Task is a follow-up.
type Task struct{ Call, Title string }

// Delivery is one delivery of an append-only destination.
type Delivery struct {
	Key, Event string
	Body       []byte // JSON, without what may differ between attempts
}

// Run runs the suite.
func Run(t *testing.T, target Target) {
	s := &suite{target}
	t.Run("cancelled before", s.cancelledBefore)
	t.Run("concurrent contacts", s.concurrentContacts)
	t.Run("texts survive", s.textsSurvive)
	t.Run("resumes after every step", s.resumes)
	t.Run("check writes nothing", s.checkWritesNothing)
	d, w := s.open(t)
	if _, ok := w.(crm.AppendOnly); ok {
		s.runAppendOnly(t)
	} else {
		s.runKeyed(t)
	}
	if d.Configured != nil {
		s.runContacts(t)
		s.runMeanwhile(t)
	}
	if d.Server != nil {
		s.runHTTP(t)
	}
}

// RunMeanwhile runs the part of the suite that is about what people do in the CRM between two calls, for a kind that knows several ways to look for what they
// have done.
func RunMeanwhile(t *testing.T, target Target) { (&suite{target}).runMeanwhile(t) }

type suite struct{ Target }

// open returns a fresh destination and a writer to it that is closed at the end of the test.
func (s *suite) open(t *testing.T) (Destination, crm.Writer) {
	t.Helper()
	d := s.New(t)
	open := d.Open
	d.Open = func(t *testing.T) crm.Writer {
		t.Helper()
		w := open(t)
		if c, ok := w.(io.Closer); ok {
			t.Cleanup(func() {
				if err := c.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
		}
		return w
	}
	return d, d.Open(t)
}

// write writes e as the engine does and returns the refs that are kept.
func write(t *testing.T, w crm.Writer, e crm.Entry, refs crm.Refs) crm.Refs {
	t.Helper()
	p := crm.NewProgress(refs, nil)
	if err := w.Write(context.Background(), e, p); err != nil {
		t.Fatalf("write %s: %v", e.Key, err)
	}
	return p.Refs
}

func (s *suite) cancelledBefore(t *testing.T) {
	d, w := s.open(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.Write(ctx, Completed(1), crm.NewProgress(nil, nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if got := d.State(t); len(got.Calls)+len(got.Deliveries) != 0 {
		t.Errorf("written all the same: %+v", got)
	}
	write(t, w, Completed(1), nil) // the writer is as good as before
}

func (s *suite) concurrentContacts(t *testing.T) {
	const workers, each = 8, 12
	d, w := s.open(t)
	errs := make(chan error, workers)
	for n := range workers {
		go func() {
			for i := range each {
				if err := w.Write(context.Background(), Completed(n*each+i), crm.NewProgress(nil, nil)); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range workers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	got := d.State(t)
	seen := map[string]bool{}
	for _, c := range got.Calls {
		seen[c.ID] = true
		if !s.NoContacts && contactOf(got, c).Phone != phoneOf(c.ID) {
			t.Errorf("call %s stands at %+v", c.ID, contactOf(got, c))
		}
	}
	for _, c := range got.Deliveries {
		seen[c.Key] = true
	}
	if n := len(got.Calls) + len(got.Deliveries); n != workers*each || len(seen) != n {
		t.Errorf("%d calls, %d distinct, want %d", n, len(seen), workers*each)
	}
	if !s.NoContacts && len(got.Contacts) != workers*each {
		t.Errorf("%d contacts, want %d", len(got.Contacts), workers*each)
	}
}

// resumes fails the writer's work at each of its steps, in each way, and lets the next attempt go on from what was saved.
func (s *suite) resumes(t *testing.T) {
	for _, e := range []crm.Entry{Full(1), Transcribed(1)} {
		for _, way := range []string{"save fails", "killed before save", "killed after save"} {
			t.Run(string(e.Event)+" "+way, func(t *testing.T) {
				for step := 1; ; step++ {
					d, w := s.open(t)
					refs := crm.Refs{}
					if e.Event == crm.TranscriptReady {
						refs = write(t, w, Full(1), nil)
					}
					want := s.once(t, e)
					stopped, saved := interrupt(t, w, e, refs, way, step)
					if !stopped {
						return // all steps have been through
					}
					again := e
					again.Attempt = 2
					write(t, d.Open(t), again, saved)
					inFlight := 1
					if way == "killed after save" {
						inFlight = 0
					}
					same(t, d.State(t), want, inFlight, way)
				}
			})
		}
	}
}

// once returns what the destination holds when e is written without a fault.
func (s *suite) once(t *testing.T, e crm.Entry) State {
	t.Helper()
	d, w := s.open(t)
	refs := crm.Refs{}
	if e.Event == crm.TranscriptReady {
		refs = write(t, w, Full(1), nil)
	}
	write(t, w, e, refs)
	return d.State(t)
}

var errSave = errors.New("the store is full")

type killed struct{}

// interrupt writes e and stops it at the given save. It returns whether there was one, and the refs that are durable.
func interrupt(t *testing.T, w crm.Writer, e crm.Entry, refs crm.Refs, way string, step int) (stopped bool, saved crm.Refs) {
	t.Helper()
	saved = maps.Clone(refs)
	n := 0
	p := crm.NewProgress(refs, func(r crm.Refs) error {
		if n++; n != step {
			saved = r
			return nil
		}
		switch way {
		case "save fails":
			return errSave
		case "killed after save":
			saved = r
		}
		panic(killed{})
	})
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(killed); !ok {
				panic(r)
			}
			stopped = true
		}
	}()
	err := w.Write(context.Background(), e, p)
	if n < step {
		if err != nil {
			t.Fatalf("write: %v", err)
		}
		return false, nil
	}
	if !errors.Is(err, errSave) {
		t.Errorf("the failed save is not returned: %v", err)
	}
	return true, saved
}

func (s *suite) checkWritesNothing(t *testing.T) {
	d, w := s.open(t)
	c, ok := w.(crm.Checker)
	if !ok {
		return
	}
	told := false
	for _, f := range c.Check(context.Background(), []string{"Hot Lead"}) {
		if f.Subject == "" {
			t.Errorf("a finding without a subject: %+v", f)
		}
		told = told || f.Err != nil && strings.Contains(fmt.Sprint(f.Err, f.Detail), "setup")
		if f.Err != nil && !s.NotSetUp {
			t.Errorf("a fresh destination is not ready: %s: %v", f.Subject, f.Err)
		}
	}
	if s.NotSetUp && !told {
		t.Error("check does not send who has not run setup to it")
	}
	if got := d.State(t); len(got.Contacts)+len(got.Calls)+len(got.Deliveries) != 0 {
		t.Errorf("check wrote: %+v", got)
	}
}

// textsSurvive looks for each of the texts, whole, in what the destination holds.
func (s *suite) textsSurvive(t *testing.T) {
	for name, text := range Texts {
		t.Run(name, func(t *testing.T) {
			d, w := s.open(t)
			want := text
			if s.DropsNUL {
				want = strings.ReplaceAll(text, "\x00", "")
			}
			wantName := want
			if s.Name != nil {
				wantName = s.Name(want)
			}
			wantNote := want
			if s.Text != nil {
				want = s.Text(want)
				wantNote = want
			}
			if s.Note != nil {
				wantNote = s.Note(strings.ReplaceAll(text, "\x00", ""))
			}
			e := Full(1)
			e.Call.Contact.Name, e.Call.Summary = text, text
			refs := write(t, w, e, nil)
			tr := Transcribed(1)
			tr.Call = e.Call
			tr.Transcript.Text = text
			write(t, w, tr, refs)
			got := d.State(t)
			if len(got.Deliveries) > 0 {
				for _, delivery := range got.Deliveries {
					if !holds(t, delivery.Body, want) {
						t.Errorf("%s lost the text: %s", delivery.Event, delivery.Body)
					}
				}
				return
			}
			if len(got.Calls) != 1 || got.Calls[0].Summary != want {
				t.Errorf("the summary is not whole: %+v", got.Calls)
			}
			if len(got.Notes) != 1 || got.Notes[0].Text != wantNote {
				t.Errorf("the transcript is not whole: %+v", got.Notes)
			}
			if !s.NoContacts && (len(got.Contacts) != 1 || got.Contacts[0].Name != wantName) {
				t.Errorf("the name is not whole: %+v", got.Contacts)
			}
		})
	}
}

// holds tells whether one of the strings in the JSON value is text.
func holds(t *testing.T, body []byte, text string) bool {
	t.Helper()
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("no JSON: %v: %s", err, body)
	}
	var walk func(any) bool
	walk = func(v any) bool {
		switch v := v.(type) {
		case string:
			return v == text
		case []any:
			for _, e := range v {
				if walk(e) {
					return true
				}
			}
		case map[string]any:
			for _, e := range v {
				if walk(e) {
					return true
				}
			}
		}
		return false
	}
	return walk(v)
}
