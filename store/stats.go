package store

import (
	"slices"
	"time"
)

// Stats implements Store.
func (d *DB) Stats() (s Stats, err error) {
	err = d.view(func(t *txn) error {
		m, err := t.state()
		if err != nil {
			return err
		}
		s = Stats{
			First: m.first, Watermark: m.watermark(), Read: slices.Clone(m.read), Skipped: slices.Clone(m.skips), LastRun: m.run, LastSuccess: m.lastSuccess,
			LateFound: m.late, Dead: m.broken, Transcripts: m.transcripts, Unfinished: m.unfinished,
		}
		late, err := t.lateCalls()
		if err != nil {
			return err
		}
		s.Lateness = late.sums
		audited, err := t.setting(AuditedSetting)
		if err != nil {
			return err
		}
		if at, err := time.Parse(time.RFC3339, string(audited)); err == nil {
			s.AuditedUntil = at.UTC()
		}
		all, err := t.allDests()
		if err != nil {
			return err
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
				return err
			}
			s.Backfills = append(s.Backfills, *b)
		}
		return nil
	})
	if err != nil {
		return Stats{}, err
	}
	if r := d.unrecorded.Load(); r != nil {
		s.LastRun = *r
	}
	return s, nil
}
