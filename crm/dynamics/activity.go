package dynamics

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

const (
	phonecalls = "phonecalls"

	longTitle  = 200  // characters of subject
	longText   = 2000 // of description
	longWords  = 1000 // of the summary in the description
	longColumn = 100  // of the columns that setup creates
	longNumber = 200  // of phonenumber

	// parties are who took part in a call. Dataverse takes them only with a new record.
	parties = "phonecall_activity_parties"
)

// Who a party of a call is, and the states of an activity, as Dataverse numbers them.
const (
	from = 1
	to   = 2

	stateOpen      = 0
	stateCompleted = 1
	statusOpen     = 1
	statusMade     = 2
	statusReceived = 4
)

// Activity returns the phone call.
func (s schema) Activity(ctx context.Context, j *record.Job) (*record.Record, error) {
	c := &j.Entry.Call
	custom, err := s.custom(ctx, c)
	if err != nil {
		return nil, err
	}
	values := record.Fields{"subject": text.Title(j.Entry, longTitle)}
	if c.Direction != "" {
		values["directioncode"] = c.Direction != "inbound" // true: outgoing
	}
	maps.Copy(values, custom)
	start, end, _ := record.Span(c)
	fresh := record.Fields{
		"directioncode": true, "actualstart": start, "actualend": end, "scheduledend": end, "actualdurationminutes": int(math.Ceil(end.Sub(start).Minutes())),
	}
	fresh.Set("phonenumber", text.Line(j.Number.String(), longNumber))
	refer(fresh, j, "regardingobjectid_*_phonecall")
	if fresh[parties], err = s.parties(ctx, j, c.Direction == "inbound"); err != nil {
		return nil, err
	}
	// Custom columns are not read: Dataverse refuses to read one that somebody has deleted. So they go with every change.
	shown := []string{"subject", "description", "directioncode", "statecode", "statuscode"}
	return &record.Record{
		Table: calls{set{s.api, phonecalls, "call", shown}}, Name: "phone call", Keyed: true,
		Values: values, New: fresh, Title: "subject", Body: record.Body{Field: "description", Limit: longText},
		Owner: record.Owner{Field: owner}, Optional: append(slices.Sorted(maps.Keys(custom)), parties),
		After: func(ctx context.Context, id string) error { return s.complete(ctx, j, id) },
	}, nil
}

// parties returns who called whom: the application user and the contact.
func (s schema) parties(ctx context.Context, j *record.Job, inbound bool) ([]record.Fields, error) {
	me, err := s.api.whoami(ctx)
	if err != nil {
		return nil, err
	}
	caller, called := from, to
	if inbound {
		caller, called = to, from
	}
	all := []record.Fields{{"partyid_systemuser@odata.bind": "/systemusers(" + me + ")", "participationtypemask": caller}}
	if set, id := j.Target(); id != "" {
		all = append(all, record.Fields{"partyid_" + tableOf[set] + "@odata.bind": "/" + set + "(" + id + ")", "participationtypemask": called})
	}
	return all, nil
}

// complete completes a new phone call. One that a person has reopened since stays open.
func (s schema) complete(ctx context.Context, j *record.Job, id string) error {
	_, err := step.Do(ctx, j.Progress, step.Step{Ref: "completed" + j.Suffix, Create: func(ctx context.Context) (string, error) {
		status := statusMade
		if j.Entry.Call.Direction == "inbound" {
			status = statusReceived
		}
		return id, s.api.change(ctx, phonecalls, id, record.Fields{"statecode": stateCompleted, "statuscode": status})
	}})
	return err
}

// calls are the phone calls. A completed one takes no changes.
type calls struct{ set }

// Update opens a completed call, changes it, and completes it again. The ref keeps that this was begun: after a kill the call would otherwise stay open.
func (t calls) Update(ctx context.Context, j *record.Job, id string, held, f record.Fields) error {
	begun := "reopened" + j.Suffix
	if held["statecode"] == float64(stateCompleted) {
		if err := j.Progress.Save(begun, fmt.Sprint(held["statuscode"])); err != nil {
			return err
		}
		if err := t.api.change(ctx, t.name, id, record.Fields{"statecode": stateOpen, "statuscode": statusOpen}); err != nil {
			return err
		}
	}
	if err := t.api.change(ctx, t.name, id, f); err != nil {
		return err
	}
	status, err := strconv.Atoi(j.Progress.Refs[begun])
	if err != nil {
		return nil //nolint:nilerr // the call was open: nothing is to be completed
	}
	if err := t.api.change(ctx, t.name, id, record.Fields{"statecode": stateCompleted, "statuscode": status}); err != nil {
		return err
	}
	j.Progress.Forget(begun)
	return nil
}
