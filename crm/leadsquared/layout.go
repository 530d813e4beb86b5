package leadsquared

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/cache"
)

// layout is the activity type that calls are written as.
type layout struct {
	code   int
	name   string
	fields map[string]string // our names of fields to the schema names that hold them
	all    []field           // of the type; nil: not known
}

type field struct{ schema, label string }

// activityType returns the layout, which is looked up once in a writer's life.
func (w *Writer) activityType(ctx context.Context) (layout, error) {
	return w.layout.Get(ctx, "", func(ctx context.Context) (layout, time.Duration, error) {
		at, err := w.findType(ctx)
		switch {
		case err != nil:
		case at.code == 0:
			err = crm.Halted(fmt.Errorf("%s has no activity type %q: run vinfer-sync setup, or set activity or activity_code", w.api.host(), w.cfg.Activity))
		case at.fields[fieldCall] == "":
			err = crm.Halted(fmt.Errorf("activity type %d %s has no field %q, which keeps the call's id: add one, or set fields: {call_id: mx_Custom_…}",
				at.code, at.name, labels[0].label))
		}
		return at, cache.Forever, err
	})
}

// findType looks the activity type up; without a code: there is none.
func (w *Writer) findType(ctx context.Context) (layout, error) {
	at := layout{code: w.cfg.ActivityCode, fields: map[string]string{}}
	if at.code != 0 && w.s.Fields[fieldCall] != "" {
		w.name(&at) // all is configured
		return at, nil
	}
	types, err := w.api.rows(ctx, http.MethodGet, "ProspectActivity.svc/ActivityTypes.Get", nil, nil)
	if err != nil && (at.code == 0 || !unavailable(err)) {
		return at, err
	}
	for _, r := range types {
		code, _ := strconv.Atoi(r.text("ActivityEvent", "EventCode", "ActivityEventCode", "Code"))
		called := r.text("ActivityEventName", "DisplayName", "EventName", "Name")
		if code == 0 || at.code != 0 && code != at.code || at.code == 0 && !strings.EqualFold(strings.TrimSpace(called), w.cfg.Activity) {
			continue
		}
		at.code, at.name, at.all = code, called, fieldsOf(r)
		break
	}
	if at.code == 0 {
		return at, nil
	}
	if at.all == nil {
		var setting map[string]any
		err := w.api.call(ctx, http.MethodGet, "ProspectActivity.svc/CustomActivity/GetActivitySetting", url.Values{"code": {strconv.Itoa(at.code)}}, nil, &setting)
		if err != nil && crm.VerdictOf(err) != crm.Reject {
			return at, err
		}
		at.all = fieldsOf(setting)
	}
	w.name(&at)
	return at, nil
}

// name fills the fields of a layout: by the configuration, else by the labels of the type's fields.
func (w *Writer) name(at *layout) {
	for ours := range Fields {
		if name := w.s.Fields[ours]; name != "" {
			at.fields[ours] = name
		}
	}
	for _, l := range labels {
		i := slices.IndexFunc(at.all, func(f field) bool { return isCalled(f.label, l.label) })
		if i >= 0 && at.fields[l.ours] == "" {
			at.fields[l.ours] = at.all[i].schema
		}
	}
	if at.fields[fieldCall] == "" && at.all == nil {
		at.fields[fieldCall] = firstField // where setup puts it
	}
}

// isCalled tells whether a field has the name, whatever its case and punctuation, and with or without VInfer before it.
func isCalled(label, name string) bool {
	letters := func(s string) string {
		s = strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) || unicode.IsDigit(r) {
				return unicode.ToLower(r)
			}
			return -1
		}, s)
		return strings.TrimPrefix(s, "vinfer")
	}
	return letters(label) == letters(name)
}

// fieldsOf returns the fields that an activity type says it has; nil: it says nothing.
func fieldsOf(t map[string]any) []field {
	list, _ := t["Fields"].([]any)
	if properties, _ := t["ActivityProperties"].(string); list == nil && properties != "" {
		var p map[string]any
		if json.Unmarshal([]byte(properties), &p) == nil {
			list, _ = p["FormMetaData"].([]any)
		}
	}
	var out []field
	for _, v := range list {
		if m, ok := v.(map[string]any); ok {
			if f := (field{row(m).text("SchemaName"), row(m).text("DisplayName")}); f.schema != "" {
				out = append(out, f)
			}
		}
	}
	return out
}
