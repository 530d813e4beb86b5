package odoo

import (
	"context"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/cache"
)

// names finds records of small tables by what people call them, and remembers the tables for a while.
type names struct {
	odoo   *server
	field  string
	tables cache.Cache[[]row] // by model
}

// find returns the id of the record with that name, 0 if there is none, and the names of all. A name that is not there is
// looked for again: an administrator may just have made it.
func (n *names) find(ctx context.Context, model, name string) (int64, []string, error) {
	rows, _ := n.tables.Held(model)
	if id := n.id(rows, name); id != 0 {
		return id, nil, nil
	}
	rows, err := n.read(ctx, model)
	if err != nil {
		return 0, nil, err
	}
	n.tables.Put(model, rows, refresh)
	all := make([]string, 0, len(rows))
	for _, r := range rows {
		all = append(all, r.text(n.field))
	}
	return n.id(rows, name), all, nil
}

func (n *names) id(rows []row, name string) int64 {
	for _, r := range rows {
		if strings.EqualFold(r.text(n.field), strings.TrimSpace(name)) {
			return r.id()
		}
	}
	return 0
}

func (n *names) read(ctx context.Context, model string) (rows []row, err error) {
	err = n.odoo.call(ctx, model, "search_read", nil, named{"domain": []any{}, "fields": []string{n.field}, "limit": 2000}, &rows)
	return rows, err
}
