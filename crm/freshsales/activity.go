package freshsales

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

const (
	longTitle = 200
	longText  = 60_000
)

// Activity returns the sales activity of the call.
func (s schema) Activity(ctx context.Context, j *record.Job) (*record.Record, error) {
	kind, err := s.activityType(ctx)
	if err != nil {
		return nil, err
	}
	custom, err := s.values(ctx, &j.Entry.Call)
	if err != nil {
		return nil, err
	}
	start, end, _ := record.Span(&j.Entry.Call)
	fresh := targeted(record.Fields{"sales_activity_type_id": number(kind), "start_date": start, "end_date": end}, j)
	values := record.Fields{"title": text.Title(j.Entry, longTitle)}
	maps.Copy(values, custom)
	return &record.Record{
		Table: activities{s.Writer}, Name: "sales activity", Values: values, New: fresh, Title: "title", Body: record.Body{Field: "notes", Limit: longText},
		Owner: record.Owner{Field: "owner_id", Else: s.anyone}, Optional: slices.Sorted(maps.Keys(custom)), Linger: s.linger, Tried: true,
		Fresh: j.Contact.Made && j.Tried("activity"+j.Suffix).IsZero(),
	}, nil
}

// activityType returns the id of the type of sales activities that calls become.
func (w *Writer) activityType(ctx context.Context) (string, error) {
	all, err := w.choose(ctx, types)
	if err != nil {
		return "", err
	}
	for _, c := range all {
		if w.cfg.ActivityType == "" && c.internal == "phone" || w.cfg.ActivityType != "" && strings.EqualFold(c.name, w.cfg.ActivityType) {
			return c.id, nil
		}
	}
	w.choices.Forget(types)
	return "", crm.Halted(fmt.Errorf("there is no sales activity type %q: create it under Admin settings > Activities, or set activity_type to one that is there", w.cfg.ActivityType))
}

// values returns what is written to the custom fields that sales activities have.
func (w *Writer) values(ctx context.Context, c *crm.Call) (record.Fields, error) {
	has, err := w.fields(ctx)
	if err != nil {
		return nil, err
	}
	all := record.Extras(c, longTitle)
	all[fieldCallID] = c.ID
	out := record.Fields{}
	for ours, v := range all {
		if name := w.s.Field(ours, Fields[ours]); has[name] {
			out.Set(name, record.Numbered(ours, v))
		}
	}
	return out, nil
}

// fields returns the custom fields of sales activities.
func (w *Writer) fields(ctx context.Context) (map[string]bool, error) {
	return w.custom.Get(ctx, "", func(ctx context.Context) (map[string]bool, time.Duration, error) {
		rows, err := w.api.rows(ctx, root+"settings/sales_activities/fields", "fields", nil)
		if crm.VerdictOf(err) == crm.Reject { // a plan without custom fields
			return nil, refresh, nil
		}
		has := map[string]bool{}
		for _, f := range rows {
			has[f.Text("name")] = strings.HasPrefix(f.Text("name"), "cf_")
		}
		return has, refresh, err
	})
}

// activities are the sales activities.
type activities struct{ w *Writer }

var _ record.Table = activities{}

const pageSize = 100

// Find looks for the call's activity: among the contact's, and after a request that was not answered among the account's latest too.
func (t activities) Find(ctx context.Context, j *record.Job, r *record.Record) (record.Found, error) {
	rows, err := t.w.api.rows(ctx, root+"contacts/"+j.Contact.ID+"/activities", "activities", url.Values{"limit": {"100"}})
	if err != nil && crm.VerdictOf(err) != crm.Reject {
		return record.Found{}, err
	}
	if f, ok := t.mine(j, rows); ok {
		return f, nil
	}
	tried := j.Tried(r.Ref())
	for page := 1; page <= 5 && !tried.IsZero(); page++ {
		rows, err := t.w.api.rows(ctx, root+"sales_activities", "sales_activities", url.Values{
			"page": {strconv.Itoa(page)}, "per_page": {strconv.Itoa(pageSize)}, "sort": {"created_at"}, "sort_type": {"desc"},
		})
		if err != nil {
			return record.Found{}, err
		}
		if f, ok := t.mine(j, rows); ok {
			return f, nil
		}
		if len(rows) < pageSize || record.When(rows[len(rows)-1].Text("created_at")).Before(tried.Add(-5*time.Minute)) {
			break
		}
	}
	return record.Found{}, nil
}

// mine returns the call's activity, by its id in a custom field or by the last line of its notes.
func (t activities) mine(j *record.Job, rows []record.Fields) (record.Found, bool) {
	for _, f := range rows {
		f = flat(f)
		at := digits(f["targetable_id"])
		if at != "" && at != j.Contact.ID {
			continue
		}
		_, says := text.ParseBody(f.Text("notes"), j.Entry.Call.ID)
		if says || f.Text(t.w.s.Field(fieldCallID, Fields[fieldCallID])) == j.Entry.Call.ID {
			return record.Found{ID: idOf(f), Body: f.Text("notes"), Held: f}, true
		}
	}
	return record.Found{}, false
}

// flat has the custom fields beside the others.
func flat(f record.Fields) record.Fields {
	own, _ := f["custom_field"].(map[string]any)
	out := maps.Clone(f)
	maps.Copy(out, own)
	return out
}

// wrapped is the opposite of flat.
func wrapped(f record.Fields) record.Fields {
	out, own := record.Fields{}, record.Fields{}
	for name, v := range f {
		if strings.HasPrefix(name, "cf_") {
			own[name] = v
		} else {
			out[name] = v
		}
	}
	if len(own) > 0 {
		out["custom_field"] = own
	}
	if id := out.Text("owner_id"); id != "" {
		out["owner_id"] = number(id)
	}
	return out
}

// Read reads an activity.
func (t activities) Read(ctx context.Context, _ *record.Job, id string) (record.Fields, error) {
	f, err := t.w.api.read(ctx, "sales_activity", "sales_activities", id)
	return flat(f), err
}

// Create creates an activity.
func (t activities) Create(ctx context.Context, _ *record.Job, f record.Fields) (string, error) {
	return t.w.api.create(ctx, "sales_activity", "sales_activities", wrapped(f))
}

// Update updates an activity.
func (t activities) Update(ctx context.Context, _ *record.Job, id string, _, f record.Fields) error {
	return t.w.api.change(ctx, "sales_activity", "sales_activities", id, wrapped(f))
}
