package leadsquared

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
)

const (
	pageSize = 100
	maxPages = 100
	// margin is by how much the times of activities may differ from those of the calls.
	margin = 24 * time.Hour
)

// find returns the activity of the given id, or, without one, that of the call, among those of the lead; nil: it is not there.
//
// The vendor's page says that Offset is the number of the page; others use it as the number of activities to pass over, and some
// accounts answer with fewer than were asked for. So the second page tells which it is, by whether it repeats the first one's.
func (t activities) find(ctx context.Context, j *record.Job, id string) (row, error) {
	first, total, err := t.page(ctx, j, 0, pageSize)
	if err != nil {
		return nil, err
	}
	size := len(first)
	seen := map[string]bool{}
	stride, pages := 1, first
	for n := 1; ; n++ {
		news := 0
		for _, r := range pages {
			if t.mine(j, r, id) {
				return r, nil
			}
			if key := idOf(r); !seen[key] {
				seen[key] = true
				news++
			}
		}
		// Whether RecordCount counts the page or all is not said: a page that looks like a full one is no proof that there are no more.
		last := n == 1 && len(seen) >= total && size%25 != 0 || len(pages) < size
		if news == 0 || last || id == "" && past(j, pages) {
			return nil, nil
		}
		if n == maxPages {
			return nil, fmt.Errorf("lead %s has more activities than can be looked through for call %s", j.Contact.ID, j.Entry.Call.ID)
		}
		if pages, _, err = t.page(ctx, j, n*stride, size); err != nil {
			return nil, err
		}
		if n == 1 && size > 1 && slices.ContainsFunc(pages, func(r row) bool { return seen[idOf(r)] }) {
			stride = size // Offset counts activities
			if pages, _, err = t.page(ctx, j, stride, size); err != nil {
				return nil, err
			}
		}
	}
}

// past tells whether a page, if it goes from newer to older ones, has come to where the call's activity would stand.
func past(j *record.Job, page []row) bool {
	began, _, _ := record.Span(&j.Entry.Call)
	if began.IsZero() || len(page) == 0 {
		return false
	}
	var before time.Time
	for i, r := range page {
		at := record.When(r.text("CreatedOn", "ActivityDateTime"))
		if at.IsZero() || i > 0 && at.After(before) {
			return false
		}
		before = at
	}
	return before.Before(began.Add(-margin))
}

// page returns some of the lead's activities of our type, and how many there are in all.
func (t activities) page(ctx context.Context, j *record.Job, offset, size int) ([]row, int, error) {
	var answer any
	err := t.w.api.call(ctx, http.MethodPost, "ProspectActivity.svc/Retrieve", url.Values{"leadId": {j.Contact.ID}}, map[string]any{
		"Parameter": map[string]any{"ActivityEvent": t.layout.code},
		"Paging":    map[string]any{"Offset": strconv.Itoa(offset), "RowCount": strconv.Itoa(size)},
	}, &answer)
	if err != nil {
		return nil, 0, err
	}
	rows, err := rowsOf(answer)
	whole, _ := answer.(map[string]any)
	total, told := whole["RecordCount"].(float64)
	if !told {
		return rows, 1 << 30, err
	}
	return rows, int(total), err
}
