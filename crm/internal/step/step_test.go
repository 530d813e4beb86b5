package step_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
)

// shelf is a CRM with at most one record.
type shelf struct {
	id, says string
	lost     error // Create makes the record and returns this
	log      string
}

func (s *shelf) step(says string) step.Step {
	return step.Step{
		Ref: "activity", Content: says,
		Look: func(context.Context) (string, error) { s.log += "look "; return s.id, nil },
		Create: func(context.Context) (string, error) {
			s.log += "create "
			s.id, s.says = "7", says
			return s.id, s.lost
		},
		Update: func(_ context.Context, id string) error {
			s.log += "update "
			if id != s.id {
				return fmt.Errorf("404: %w", step.ErrGone)
			}
			s.says = says
			return nil
		},
	}
}

func TestDo(t *testing.T) {
	for name, test := range map[string]struct {
		shelf shelf
		refs  crm.Refs
		log   string
		err   error
	}{
		"new":                 {shelf{}, nil, "look create ", nil},
		"known":               {shelf{id: "7"}, crm.Refs{"activity": "7"}, "update ", nil},
		"the state was lost":  {shelf{id: "7"}, nil, "look update ", nil},
		"the answer was lost": {shelf{lost: io.ErrUnexpectedEOF}, nil, "look create look update ", nil},
		"refused, yet made":   {shelf{lost: crm.Rejected(io.EOF, "")}, nil, "look create look update ", nil},
		"halted":              {shelf{lost: crm.Halted(io.ErrNoProgress)}, nil, "look create ", io.ErrNoProgress},
	} {
		p := crm.NewProgress(test.refs, nil)
		id, err := step.Do(t.Context(), p, test.shelf.step("new"))
		if test.shelf.log != test.log || !errors.Is(err, test.err) {
			t.Errorf("%s: %q, %v", name, test.shelf.log, err)
		}
		if err != nil {
			continue
		}
		if id != "7" || p.Refs["activity"] != "7" || test.shelf.says != "new" {
			t.Errorf("%s: %q %q %q", name, id, p.Refs, test.shelf.says)
		}
		// The same again asks nothing; something else updates.
		test.shelf.log = ""
		if _, err := step.Do(t.Context(), p, test.shelf.step("new")); err != nil || test.shelf.log != "" {
			t.Errorf("%s: again: %q %v", name, test.shelf.log, err)
		}
		if _, err := step.Do(t.Context(), p, test.shelf.step("newer")); err != nil || test.shelf.log != "update " || test.shelf.says != "newer" {
			t.Errorf("%s: changed: %q %v", name, test.shelf.log, err)
		}
	}
}

func TestDeletedByAPerson(t *testing.T) {
	s := &shelf{}
	p := crm.NewProgress(nil, nil)
	for _, says := range []string{"one", "two", "three"} {
		if _, err := step.Do(t.Context(), p, s.step(says)); err != nil {
			t.Fatal(err)
		}
		if says == "one" {
			s.id = "" // a person deletes it
		}
	}
	if s.log != "look create update " || len(p.Warnings) != 1 || p.Refs["activity"] != "deleted:7" {
		t.Errorf("%q %q %q", s.log, p.Warnings, p.Refs)
	}
}

func TestFresh(t *testing.T) {
	for _, lost := range []error{nil, io.ErrUnexpectedEOF} {
		s := &shelf{lost: lost}
		st := s.step("one")
		st.Fresh = true
		want := "create "
		if lost != nil {
			want = "create look update "
		}
		if id, err := step.Do(t.Context(), crm.NewProgress(nil, nil), st); id != "7" || err != nil || s.log != want {
			t.Errorf("%v: %q %v %q", lost, id, err, s.log)
		}
	}
}

// TestLingering: a process was killed while it waited for an answer, and the CRM makes the record a little later.
func TestLingering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		st := s.step("one")
		st.Fresh, st.Linger = true, 8*time.Second
		saved := crm.Refs{}
		killed := crm.NewProgress(nil, func(r crm.Refs) error {
			saved = r
			return nil
		})
		st.Create = func(context.Context) (string, error) { return "", io.ErrClosedPipe }
		st.Look = nil
		_, _ = step.Do(t.Context(), killed, st)
		if saved["activity.sent"] == "" {
			t.Fatalf("what was sent is not saved before: %q", saved)
		}
		time.Sleep(time.Second)
		st = s.step("one")
		st.Fresh, st.Linger = true, 8*time.Second
		p := crm.NewProgress(saved, nil)
		if _, err := step.Do(t.Context(), p, st); crm.VerdictOf(err) != crm.Postpone || crm.Wait(err) != 7*time.Second || s.log != "look " {
			t.Errorf("made again while the CRM may be at it: %v, %q", err, s.log)
		}
		s.id, s.says = "7", "one"
		if id, err := step.Do(t.Context(), p, st); id != "7" || err != nil || s.log != "look look update " || len(p.Outcome()) != 3 || p.Outcome()["activity.sent"] != "" {
			t.Errorf("%q %v %q %q", id, err, s.log, p.Refs)
		}
		s.id, s.log = "", ""
		time.Sleep(8 * time.Second)
		p = crm.NewProgress(saved, nil)
		if id, err := step.Do(t.Context(), p, st); id != "7" || err != nil || s.log != "look create " || p.Refs["activity.sent"] != "" {
			t.Errorf("nothing was made: %q %v %q %q", id, err, s.log, p.Refs)
		}
	})
}

func TestFailuresAreReturned(t *testing.T) {
	fails := func(context.Context) (string, error) { return "", io.ErrClosedPipe }
	nothing := func(context.Context) (string, error) { return "", nil }
	for name, s := range map[string]step.Step{
		"look":           {Ref: "task", Look: fails},
		"create":         {Ref: "task", Look: nothing, Create: fails},
		"without a look": {Ref: "task", Create: fails},
		"no id":          {Ref: "task", Create: nothing},
	} {
		p := crm.NewProgress(nil, nil)
		if _, err := step.Do(t.Context(), p, s); err == nil || name != "no id" && !errors.Is(err, io.ErrClosedPipe) || len(p.Refs) != 0 {
			t.Errorf("%s: %v %q", name, err, p.Refs)
		}
	}
	p := crm.NewProgress(nil, func(crm.Refs) error { return io.ErrShortWrite })
	if _, err := step.Do(t.Context(), p, (&shelf{}).step("x")); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("the failed save: %v", err)
	}
}

func TestOptional(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o step.Optional
		refuse := map[string]bool{"cLanguage": true, "cMood": true, "status": true}
		sent := 0
		send := func(given map[string]any) (*crm.Progress, error) {
			p := crm.NewProgress(nil, nil)
			sent = 0
			err := o.Send(p, "Call", given, []string{"cLanguage", "cMood", "cLanguageName"}, nil, func(fields map[string]any) error {
				sent++
				for f := range fields {
					if refuse[f] {
						return crm.Rejected(fmt.Errorf("400: field: %s, type: valid", f), "POST /Call")
					}
				}
				return nil
			})
			return p, err
		}
		given := map[string]any{"name": "x", "cLanguage": "hi", "cMood": "fine", "cLanguageName": "Hindi"}
		for day, warnings := range []int{2, 0, 2} {
			p, err := send(given)
			if err != nil || len(p.Warnings) != warnings || sent != 3 || len(given) != 4 {
				t.Errorf("time %d: %v %q, sent %d times, given %v", day, err, p.Warnings, sent, given)
			}
			if day == 1 {
				time.Sleep(25 * time.Hour)
			}
		}
		if _, err := send(map[string]any{"status": "x"}); crm.VerdictOf(err) != crm.Reject || sent != 1 {
			t.Errorf("a field that must be there is left out: %v", err)
		}
	})
}

// A field that the CRM does not know is asked for once an hour, one whose value is refused each time.
func TestUnknownFieldIsRemembered(t *testing.T) {
	for said, unknown := range map[string]bool{
		`answers 400: Property "mood" does not exist`:                                                    true,
		`[{"isValid":false,"message":"Property \"mood\" does not exist","error":"PROPERTY_DOESNT_EXIST"`: true,
		"MXInvalidAttributeException Field mood does not exist":                                          true,
		"Property mood in Call module is invalid":                                                        true,
		"INVALID_FIELD: No such column 'mood' on sobject of type Task":                                   true,
		"Unable to create/update fields: other, mood. Please check the security settings":                true,
		"MXInvalidAttributeValueException The value of mood is not valid":                                false,
		"mood: bad value for restricted picklist field: fine":                                            false,
		"Field validation failure; entityType: Call, field: mood, type: valid.":                          false,
		"INVALID_DATA invalid data ($.data[0].mood)":                                                     false,
		"mood: the owner 117 does not exist":                                                             false,
	} {
		synctest.Test(t, func(t *testing.T) {
			var o step.Optional
			sent := 0
			write := func() *crm.Progress {
				p := crm.NewProgress(nil, nil)
				sent = 0
				err := o.Send(p, "Call", map[string]any{"name": "x", "part.mood": "fine"}, []string{"part.mood"}, func(error, string) bool { return true }, func(fields map[string]any) error {
					sent++
					if fields["part.mood"] != nil {
						return crm.Rejected(errors.New(said), "POST /Call")
					}
					return nil
				})
				if err != nil {
					t.Errorf("%s: %v", said, err)
				}
				return p
			}
			want := map[bool]int{true: 1, false: 2}[unknown]
			if p := write(); sent != 2 || len(p.Warnings) != 1 {
				t.Errorf("%s: at first %d requests, warnings %q", said, sent, p.Warnings)
			}
			if p := write(); sent != want || len(p.Warnings) != 0 {
				t.Errorf("%s: then %d requests, not %d, warnings %q", said, sent, want, p.Warnings)
			}
			time.Sleep(61 * time.Minute)
			if write(); sent != 2 {
				t.Errorf("%s: an hour later %d requests", said, sent)
			}
		})
	}
}
