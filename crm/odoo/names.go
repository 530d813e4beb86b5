package odoo

import (
	"context"
	"strings"
	"sync"
	"time"
)

// names finds records of small tables by what people call them, and remembers the tables for a while.
type names struct {
	odoo  *server
	field string

	mu     sync.Mutex
	tables map[string]table
}

type table struct {
	at   time.Time
	rows []row
}

// find returns the id of the record with that name, 0 if there is none, and the names of all. A name that is not there is
// looked for again: an administrator may just have made it.
func (n *names) find(ctx context.Context, model, name string) (int64, []string, error) {
	n.mu.Lock()
	t, known := n.tables[model]
	n.mu.Unlock()
	if known && time.Since(t.at) < refresh {
		if id := t.id(n.field, name); id != 0 {
			return id, nil, nil
		}
	}
	rows, err := n.read(ctx, model)
	if err != nil {
		return 0, nil, err
	}
	t = table{time.Now(), rows}
	n.mu.Lock()
	if n.tables == nil {
		n.tables = map[string]table{}
	}
	n.tables[model] = t
	n.mu.Unlock()
	all := make([]string, 0, len(rows))
	for _, r := range rows {
		all = append(all, r.text(n.field))
	}
	return t.id(n.field, name), all, nil
}

func (t table) id(field, name string) int64 {
	for _, r := range t.rows {
		if strings.EqualFold(r.text(field), strings.TrimSpace(name)) {
			return r.id()
		}
	}
	return 0
}

func (n *names) read(ctx context.Context, model string) (rows []row, err error) {
	err = n.odoo.call(ctx, model, "search_read", nil, named{"domain": []any{}, "fields": []string{n.field}, "limit": 2000}, &rows)
	return rows, err
}
