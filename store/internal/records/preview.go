package records

import (
	"bytes"
	"errors"

	"github.com/vinfer-sync/vinfer-sync/store"
)

var errUndone = errors.New("undone") // ends a transaction whose changes nobody is to see

// Preview implements store.Store. It stores the pages in a transaction that is not committed.
func (d *DB) Preview(pages []store.Page, n int) (out store.Preview, err error) {
	err = d.update(func(t *txn) error {
		if out, err = t.preview(pages, n); err != nil {
			return err
		}
		return errUndone
	})
	if !errors.Is(err, errUndone) {
		return store.Preview{}, err
	}
	return out, nil
}

func (t *txn) preview(pages []store.Page, n int) (out store.Preview, err error) {
	before := map[string]bool{}
	all, err := t.allDests()
	if err != nil {
		return out, err
	}
	for _, d := range all {
		if err := t.eachJob(d, n, func(k, _ []byte) error {
			before[string(k)] = true
			return nil
		}); err != nil {
			return out, err
		}
	}
	var fill *store.Backfill
	for i := range pages {
		p := pages[i]
		if p.Backfill != 0 {
			if fill == nil {
				if fill, err = t.newBackfill("", nil, p.At); err != nil {
					return out, err
				}
			}
			p.Backfill, p.Stream = fill.ID, store.BackfillStream(fill.ID)
		}
		got, err := t.ingest(&p)
		if err != nil {
			return out, err
		}
		out.New += got.New
	}
	if fill != nil {
		if err := t.endRead(fill, fill.CreatedAt); err != nil {
			return out, err
		}
	}
	for _, d := range all {
		q := store.PreviewDest{Dest: d.Dest, More: d.Pending}
		if err := t.eachJob(d, n, func(k, v []byte) error {
			j, err := openJob(k, v)
			if err != nil {
				return err
			}
			job, err := t.asJob(d, j)
			if err != nil {
				return err
			}
			waits, err := t.waits(j)
			q.Jobs = append(q.Jobs, store.Queued{Job: *job, Waits: waits, New: !before[string(k)]})
			q.More--
			return err
		}); err != nil {
			return out, err
		}
		if q.Skipped, err = t.skippedBy(d, pages); err != nil {
			return out, err
		}
		out.Dests = append(out.Dests, q)
	}
	return out, nil
}

// eachJob calls f for the first n jobs of a destination in the order of the outbox.
func (t *txn) eachJob(d *destRec, n int, f func(k, v []byte) error) error {
	prefix := u16Key(d.id)
	c := t.bucket(bucketOutbox).Within(prefix)
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix) && n > 0; k, v = c.Next() {
		if err := f(k, v); err != nil {
			return err
		}
		n--
	}
	return nil
}

// skippedBy lists which calls of pages a destination does not get because of them.
func (t *txn) skippedBy(d *destRec, pages []store.Page) (list []store.PreviewSkip, err error) {
	seen := map[string]bool{}
	for i := range pages {
		for k := range pages[i].Rows {
			row := &pages[i].Rows[k]
			for _, target := range row.Targets {
				if target.Dest != d.Name || target.Skip == "" || seen[row.ID] {
					continue
				}
				seen[row.ID] = true
				rec, _, err := t.call(row.ID)
				if err != nil {
					return nil, err
				}
				if rec == nil {
					continue // it lies before the first cursor
				}
				r, err := t.receipt(rec.seen, row.ID, d.id)
				if err != nil {
					return nil, err
				}
				if r != nil && r.state == stateSkipped && r.at.Equal(round(pages[i].At)) {
					list = append(list, store.PreviewSkip{Row: row, Why: r.note})
				}
			}
		}
	}
	return list, nil
}
