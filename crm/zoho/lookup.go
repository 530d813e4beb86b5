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
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// Find asks by the strongest key that the organisation has, and the search only where there is nothing else.
func (t table) Find(ctx context.Context, j *record.Job, r *record.Record) (record.Found, error) {
	found, err := t.look(ctx, j, r)
	return record.Found{ID: found.text("id"), Body: found.text("Description")}, err
}

func (t table) look(ctx context.Context, j *record.Job, r *record.Record) (row, error) {
	a, key := t.w.api, t.w.callField()
	m, err := a.module(ctx, t.name)
	if err != nil {
		return nil, err
	}
	if m.has(key) && m.fields[key].external() {
		var out list
		err := a.do(ctx, httpx.Request{
			Method: http.MethodGet, Path: "/" + t.name + "/" + url.PathEscape(j.Key()), Header: http.Header{"X-EXTERNAL": {t.name + "." + key}},
			Shape: "GET " + t.name + " by " + key,
		}, &out)
		if err == nil && len(out.Data) > 0 {
			return out.Data[0], nil
		}
		if err != nil && crm.VerdictOf(err) != crm.Reject {
			return nil, err
		}
		// Not there, or this organisation reads by it in another way: the next question decides.
	}
	statement := "select id, Description from " + t.name + " where " + key + " = " + quote(j.Key()) + " limit 2"
	if !m.has(key) {
		statement = "select id, Description from " + t.name + " where " + t.where + " limit 200"
	}
	found, err := a.query(ctx, t.name, statement)
	if err == nil {
		return t.ours(j, found, m.has(key)), nil
	}
	if !errors.Is(err, errNoQuery) {
		return nil, err
	}
	return t.lookAmong(ctx, j, j.Tried(r.Ref()), m)
}

// ours picks the record of this call out of many. keyed: they were asked for by its id.
func (t table) ours(j *record.Job, found []row, keyed bool) row {
	for _, r := range found {
		if keyed || r.text(t.w.callField()) == j.Key() || isOurs(r.text("Description"), j.Entry.Call.ID) {
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

const pages = 5 // of a related list that are read: a contact with more is no contact

// lookAmong reads the contact's own calls or tasks, where queries are not allowed. A closed one stands in a list of its own in some
// organisations. What is left then is the search, which may not show yet what an attempt has just made.
func (t table) lookAmong(ctx context.Context, j *record.Job, tried time.Time, m module) (row, error) {
	read := false
	fields := []string{"id", "Subject", "Description", t.w.callField()}
	module, id := j.Target()
	for _, list := range []string{t.name, t.name + "_History"} {
		if id == "" {
			break // nobody's
		}
		r, there, err := t.w.related(ctx, module, id, list, fields, func(r row) bool { return t.ours(j, []row{r}, false) != nil })
		if r != nil || err != nil {
			return r, err
		}
		read = read || there
	}
	if read {
		return nil, nil
	}
	if !tried.IsZero() {
		if r, sure, err := t.newest(ctx, j, fields, tried); sure || err != nil {
			return r, err
		}
	}
	if m.has(t.w.callField()) {
		q := url.Values{"criteria": {"(" + t.w.callField() + ":equals:" + escape(j.Key()) + ")"}}
		rows, _, err := t.w.api.list(ctx, "/"+t.name+"/search", q, t.name+" search")
		if err != nil && crm.VerdictOf(err) != crm.Reject {
			return nil, err
		}
		if r := t.ours(j, rows, false); r != nil {
			return r, nil
		}
	}
	if time.Since(tried) < lag && !t.w.guarded(m) {
		return nil, crm.Postponed(fmt.Errorf("whether the record of %s was made is not known yet: Zoho's search shows new ones within %s; asking again", t.name, lag), lag-time.Since(tried))
	}
	return nil, nil
}

// newest looks among what was made last in a module, which this list has from the database; sure: what an attempt of that time had made
// would stand there.
func (t table) newest(ctx context.Context, j *record.Job, fields []string, tried time.Time) (found row, sure bool, err error) {
	const skew = 10 * time.Minute // between our clock and Zoho's
	for page := range pages {
		rows, more, err := t.w.api.latest(ctx, t.name, append(fields, "Created_Time"), page+1)
		if crm.VerdictOf(err) == crm.Reject {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		if r := t.ours(j, rows, false); r != nil {
			return r, true, nil
		}
		if n := len(rows); !more || n == 0 {
			return nil, true, nil
		} else if oldest := rows[n-1].time("Created_Time"); !oldest.IsZero() && oldest.Before(tried.Add(-skew)) {
			return nil, true, nil
		}
	}
	return nil, false, nil
}

// guarded tells whether Zoho refuses a second record of the call in this module.
func (w *Writer) guarded(m module) bool {
	key := w.callField()
	return !m.silent && m.has(key) && m.fields[key].unique()
}

// related returns the first record of a related list that fits; false: there is no such list.
func (w *Writer) related(ctx context.Context, module, id, name string, fields []string, fits func(r row) bool) (row, bool, error) {
	for page := range pages {
		q := url.Values{"fields": {strings.Join(fields, ",")}, "per_page": {"200"}, "page": {fmt.Sprint(page + 1)}}
		rows, more, err := w.api.list(ctx, "/"+module+"/"+url.PathEscape(id)+"/"+name, q, name+" of "+module)
		if crm.VerdictOf(err) == crm.Reject {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		for _, r := range rows {
			if fits(r) {
				return r, true, nil
			}
		}
		if !more {
			break
		}
	}
	return nil, true, nil
}
