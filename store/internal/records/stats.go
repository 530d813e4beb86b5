package records

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// Stats implements store.Store.
func (d *DB) Stats() (s store.Stats, err error) {
	err = d.view(func(t *txn) error {
		s, err = t.stats()
		return err
	})
	if err != nil {
		return store.Stats{}, err
	}
	return s, nil
}

func (t *txn) stats() (s store.Stats, err error) {
	m, err := t.state()
	if err != nil {
		return s, err
	}
	s = store.Stats{
		First: m.first, Watermark: m.watermark(), Read: slices.Clone(m.read), Skipped: slices.Clone(m.skips), Salt: slices.Clone(t.bucket(bucketMeta).Get(keySalt)),
		LateFound: m.late, Dead: m.broken, Transcripts: m.transcripts, Unfinished: m.unfinished,
	}
	late, err := t.lateCalls()
	if err != nil {
		return s, err
	}
	s.Lateness, s.Late = late.sums, late.recent
	audited, err := t.setting(store.AuditedSetting)
	if err != nil {
		return s, err
	}
	if at, err := time.Parse(time.RFC3339, string(audited)); err == nil {
		s.AuditedUntil = at.UTC()
	}
	run, err := t.setting(store.RunSetting)
	if err != nil {
		return s, err
	}
	_ = json.Unmarshal(run, &s.LastRun) // what is no run is none
	all, err := t.allDests()
	if err != nil {
		return s, err
	}
	for _, r := range all {
		s.Dests = append(s.Dests, r.Dest)
		s.Pending += r.Pending
		s.Dead += r.Dead
	}
	c := t.bucket(bucketBackfills).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if len(k) != 8 {
			continue
		}
		b, err := open(bucketBackfills, k, v, decodeBackfill)
		if err != nil {
			return s, err
		}
		s.Backfills = append(s.Backfills, *b)
	}
	return s, nil
}
