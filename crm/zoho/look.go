package zoho

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

func (w *Writer) callField() string { return w.s.Field("call_id", Fields["call_id"]) }

// look returns the call or task that an earlier attempt made, with its description; nil: there is none. It asks by the strongest key that the
// organisation has, and the search only where there is nothing else. where names the record for those that have no field for the call's id: a condition of a
// query, that finds it among others. tried is when the record was last asked to be made.
func (at *place) look(ctx context.Context, name, where, tried string) (record, error) {
	a, key := at.w.api, at.w.callField()
	m, err := a.module(ctx, name)
	if err != nil {
		return nil, err
	}
	if m.has(key) && m.fields[key].external() {
		r := request{
			method: http.MethodGet, path: "/" + name + "/" + url.PathEscape(at.key), header: http.Header{"X-EXTERNAL": {name + "." + key}}, shape: "GET " + name + " by " + key,
		}
		var out list
		err := a.do(ctx, r, &out)
		if err == nil && len(out.Data) > 0 {
			return out.Data[0], nil
		}
		if err != nil && crm.VerdictOf(err) != crm.Reject {
			return nil, err
		}
		// Not there, or this organisation reads by it in another way: the next question decides.
	}
	statement := "select id, Description from " + name + " where " + key + " = " + quote(at.key) + " limit 2"
	if !m.has(key) {
		statement = "select id, Description from " + name + " where " + where + " limit 200"
	}
	found, err := a.query(ctx, name, statement)
	if err == nil {
		return at.ours(found, m.has(key)), nil
	}
	if !errors.Is(err, errNoQuery) {
		return nil, err
	}
	return at.lookAmong(ctx, name, tried, m)
}

// ours picks the record of this call out of many. keyed: they were asked for by its id.
func (at *place) ours(found []record, keyed bool) record {
	for _, r := range found {
		if keyed || r.text(at.w.callField()) == at.key || isOurs(r.text("Description"), at.e.Call.ID) {
			return r
		}
	}
	return nil
}

// isOurs tells whether a description is that of the call's activity or task.
func isOurs(description, call string) bool {
	_, is := text.ParseBody(description, call)
	return is
}

// held is the call of an attempt of which the refs know nothing, for the Book.
func (at *place) held(ctx context.Context) (id, says string, there bool, err error) {
	r, err := at.look(ctx, "Calls", at.begun(), at.p.Refs["activity.tried"])
	return r.text("id"), r.text("Description"), r != nil, err
}

// begun is the condition by which a query finds the calls that began when this one did.
func (at *place) begun() string {
	return "Call_Start_Time = " + quote(stamp(at.w.s.In(span(&at.e.Call))))
}

const pages = 5 // of a related list that are read: a contact with more is no contact

// lookAmong reads the contact's own calls or tasks, where queries are not allowed. A closed one stands in a list of its own in some
// organisations. What is left then is the search, which may not show yet what an attempt has just made.
func (at *place) lookAmong(ctx context.Context, name, tried string, m module) (record, error) {
	read := false
	fields := []string{"id", "Subject", "Description", at.w.callField()}
	for _, list := range []string{name, name + "_History"} {
		if at.id == "" {
			break // nobody's
		}
		r, there, err := at.related(ctx, list, fields, func(r record) bool { return at.ours([]record{r}, false) != nil })
		if r != nil || err != nil {
			return r, err
		}
		read = read || there
	}
	if read {
		return nil, nil
	}
	when, err := time.Parse(time.RFC3339, tried)
	if err == nil {
		if r, sure, err := at.newest(ctx, name, fields, when); sure || err != nil {
			return r, err
		}
	}
	if m.has(at.w.callField()) {
		q := url.Values{"criteria": {"(" + at.w.callField() + ":equals:" + escape(at.key) + ")"}}
		var out list
		err := at.w.api.do(ctx, request{method: http.MethodGet, path: "/" + name + "/search", query: q, shape: "GET " + name + " search"}, &out)
		if err != nil && crm.VerdictOf(err) != crm.Reject {
			return nil, err
		}
		if r := at.ours(out.Data, false); r != nil {
			return r, nil
		}
	}
	if time.Since(when) < lag && !at.guarded(m) {
		return nil, crm.Postponed(fmt.Errorf("whether the record of %s was made is not known yet: Zoho's search shows new ones within %s; asking again", name, lag), lag-time.Since(when))
	}
	return nil, nil
}

// newest looks among what was made last in a module, which this list has from the database; sure: what an attempt of that time had made
// would stand there.
func (at *place) newest(ctx context.Context, name string, fields []string, tried time.Time) (found record, sure bool, err error) {
	const skew = 10 * time.Minute // between our clock and Zoho's
	q := url.Values{"fields": {strings.Join(append(fields, "Created_Time"), ",")}, "sort_by": {"Created_Time"}, "sort_order": {"desc"}, "per_page": {"200"}}
	for page := range pages {
		var out list
		q.Set("page", fmt.Sprint(page+1))
		err := at.w.api.do(ctx, request{method: http.MethodGet, path: "/" + name, query: q, shape: "GET " + name}, &out)
		if crm.VerdictOf(err) == crm.Reject {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		if r := at.ours(out.Data, false); r != nil {
			return r, true, nil
		}
		if n := len(out.Data); !out.Info.More || n == 0 {
			return nil, true, nil
		} else if oldest := out.Data[n-1].time("Created_Time"); !oldest.IsZero() && oldest.Before(tried.Add(-skew)) {
			return nil, true, nil
		}
	}
	return nil, false, nil
}

// guarded tells whether Zoho refuses a second record of the call in this module.
func (at *place) guarded(m module) bool {
	key := at.w.callField()
	return !m.silent && m.has(key) && m.fields[key].unique()
}

// related returns the first record of a contact's related list that fits; false: there is no such list.
func (at *place) related(ctx context.Context, name string, fields []string, fits func(r record) bool) (record, bool, error) {
	module, id := at.module, at.id
	if id == "" {
		module, id = "Calls", at.call
	}
	for page := range pages {
		var out list
		q := url.Values{"fields": {strings.Join(fields, ",")}, "per_page": {"200"}, "page": {fmt.Sprint(page + 1)}}
		err := at.w.api.do(ctx, request{
			method: http.MethodGet, path: "/" + module + "/" + url.PathEscape(id) + "/" + name, query: q, shape: "GET " + name + " of " + module,
		}, &out)
		if crm.VerdictOf(err) == crm.Reject {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		for _, r := range out.Data {
			if fits(r) {
				return r, true, nil
			}
		}
		if !out.Info.More {
			break
		}
	}
	return nil, true, nil
}

// once makes a record of the call or finds it, and brings it up to date.
func (at *place) once(ctx context.Context, name, ref string, content any, where string, create func(ctx context.Context) (string, error), change func(ctx context.Context, id string) error) (string, error) {
	m, err := at.w.api.module(ctx, name)
	if err != nil {
		return "", err
	}
	ref += at.suffix
	tried := ref + ".tried"
	linger := at.w.linger
	if at.guarded(m) {
		linger = 0
	}
	id, err := step.Do(ctx, at.p, step.Step{
		Ref: ref, Content: content, Update: change, Linger: linger,
		// Where Zoho itself refuses a second one, nothing need be asked before the first attempt.
		Fresh: at.fresh || at.looked && name == "Calls" || at.guarded(m) && at.p.Refs[tried] == "",
		Look: func(ctx context.Context) (string, error) {
			r, err := at.look(ctx, name, where, at.p.Refs[tried])
			return r.text("id"), err
		},
		Create: func(ctx context.Context) (string, error) {
			if err := at.p.Save(tried, time.Now().UTC().Format(time.RFC3339)); err != nil {
				return "", err
			}
			id, err := create(ctx)
			if twin := twin(err); twin != "" {
				if change == nil {
					return twin, nil
				}
				return twin, change(ctx, twin)
			}
			return id, err
		},
	})
	if err == nil {
		at.p.Forget(tried)
	}
	return id, err
}
