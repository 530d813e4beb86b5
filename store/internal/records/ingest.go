package records

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// ingestTx is one page on its way into the store.
type ingestTx struct {
	*txn
	p          *store.Page
	at         time.Time
	generation uint64
	state      *metaRec
	watermark  time.Time // the watermark before this page
	backfill   *store.Backfill
	counts     store.Ingested
}

// Ingest implements store.Store.
func (d *DB) Ingest(p store.Page) (store.Ingested, error) {
	if p.At.IsZero() {
		p.At = time.Now()
	}
	var out store.Ingested
	err := d.update(func(t *txn) (err error) {
		out, err = t.ingest(&p)
		return err
	})
	if err != nil {
		return store.Ingested{}, err
	}
	return out, nil
}

func (t *txn) ingest(p *store.Page) (store.Ingested, error) {
	t.expectPage(p)
	m, err := t.state()
	if err != nil {
		return store.Ingested{}, err
	}
	in := &ingestTx{txn: t, p: p, at: round(p.At), generation: generation(p.At), state: m, watermark: m.watermark()}
	if p.Backfill != 0 {
		if in.backfill, err = t.knownBackfill(p.Backfill); err != nil {
			return store.Ingested{}, err
		}
		if !in.backfill.Cancelled.IsZero() {
			return store.Ingested{}, fmt.Errorf("backfill %d: %w", p.Backfill, store.ErrCancelled)
		}
	}
	err = in.page()
	return in.counts, err
}

func (in *ingestTx) page() error {
	p := in.p
	for i := range p.Rows {
		r := &p.Rows[i]
		if r.ID == "" || len(r.ID) > maxID {
			sum := sha256.Sum256([]byte(r.ID))
			b := store.Broken{Key: "id-" + hex.EncodeToString(sum[:12]), Raw: r.Body, Err: fmt.Sprintf("the call id has %d bytes", len(r.ID))}
			if err := in.broken(&b); err != nil {
				return err
			}
			continue
		}
		if err := in.row(r); err != nil {
			return err
		}
	}
	for i := range p.Unfinished {
		if err := in.unfinished(&p.Unfinished[i]); err != nil {
			return err
		}
	}
	for i := range p.Broken {
		if err := in.broken(&p.Broken[i]); err != nil {
			return err
		}
	}
	if in.backfill != nil {
		in.backfill.Fetched = max(in.backfill.Fetched, p.Seen)
		if p.Checkpoint != nil {
			in.backfill.Checkpoint = bytes.Clone(p.Checkpoint)
		}
	}
	if p.Close != nil || p.Release {
		return in.close()
	}
	return nil
}

// window returns the one that a job of this row belongs to.
func (in *ingestTx) window(r *store.Row) (uint64, error) {
	if in.p.Stream == store.FollowStream {
		return 0, nil // what is followed by id comes alone: there is nothing to wait for
	}
	s, err := in.stream(in.p.Stream)
	if err != nil {
		return 0, err
	}
	used := &s.curUsed
	w := s.cur
	if r.Hold {
		used, w = &s.nextUsed, s.next
	}
	if !*used {
		*used, in.metaDirty = true, true
	}
	return w, nil
}

// close closes the stream's window: its rows are released. The page's interval, if it has one, joins what was read.
func (in *ingestTx) close() error {
	if in.p.Stream == store.FollowStream {
		return nil
	}
	for i := range in.state.streams {
		s := &in.state.streams[i]
		if s.name != in.p.Stream || !s.curUsed && !s.nextUsed {
			continue
		}
		in.state.nextWindow++
		s.cur, s.curUsed = s.next, s.nextUsed
		s.next, s.nextUsed = in.state.nextWindow, false
		in.metaDirty, in.open = true, nil
	}
	if (in.p.Stream == store.LiveStream || in.p.Stream == store.AgainStream) && in.p.Close != nil && in.state.join(*in.p.Close) {
		in.metaDirty = true
	}
	return nil
}

func (in *ingestTx) row(r *store.Row) error {
	rec, gen, err := in.call(r.ID)
	if err != nil {
		return err
	}
	awaited := false
	if in.state.unfinished > 0 {
		if awaited, err = in.endWatch(store.FinishWatch, r.ID); err != nil {
			return err
		}
	}
	if rec != nil {
		return in.known(r, rec, gen)
	}
	when := round(r.When)
	if in.p.Backfill == 0 && !awaited && (when.Before(in.state.first) || in.state.skipped(when)) {
		return nil
	}
	if at, err := in.forgotten(r.ID, r.Lane, when); err != nil || !at.IsZero() {
		return err
	}
	return in.unknown(r, when, awaited)
}

func (in *ingestTx) unknown(r *store.Row, when time.Time, awaited bool) error {
	rec := &ledgerRec{seen: in.at, when: when, rev: 1, fields: slices.Clone(r.Fields)}
	in.counts.New++
	in.counts.NewIDs = append(in.counts.NewIDs, r.ID)
	// The second of the mark itself was not over when it was read.
	if in.p.Backfill == 0 && in.p.Stream != store.FollowStream && !awaited && !r.Uncovered && when.Before(in.watermark) {
		if err := in.late(r.ID, when); err != nil {
			return err
		}
	}
	for i := range r.Targets {
		d, err := in.destByName(r.Targets[i].Dest)
		if err != nil {
			return err
		}
		if rec.dest(d.id) != nil {
			continue
		}
		rec.dests = append(rec.dests, ledgerDest{dest: d.id})
		if err := in.decide(r, rec, d, &r.Targets[i]); err != nil {
			return err
		}
	}
	k := receiptKey(rec.seen, r.ID, 0)
	if err := in.put(bucketReceipts, k, encodeEvents(k, []store.Event{{At: in.at, What: in.how()}})); err != nil {
		return err
	}
	k = callKey(r.ID)
	return in.keep(bucketLedger, in.generation, k, rec.encode(k), false, 0)
}

func (in *ingestTx) how() string {
	switch {
	case in.p.Backfill != 0:
		return fmt.Sprintf("seen by backfill %d", in.p.Backfill)
	case in.p.Stream == store.LiveStream:
		return "seen by live poll"
	case in.p.Stream == store.FollowStream:
		return "seen when it had ended"
	case in.p.Stream == store.AgainStream:
		return "seen when the lookback was read again"
	case in.p.Stream == store.SweepStream:
		return "seen by the settled sweep: the polls had not been shown it"
	case in.p.Stream == store.AuditStream:
		return "seen by an audit: neither polls nor sweep had been shown it"
	}
	return "seen by " + in.p.Stream
}

// decide queues a call for a destination that has had nothing of it, or notes why not. The ledger has an entry for it.
func (in *ingestTx) decide(r *store.Row, rec *ledgerRec, d *destRec, target *store.Target) error {
	if target.Skip != "" {
		if target.Reason != "" {
			in.leaveCall(d, in.at, target.Skip, target.Reason)
		}
		return in.putReceipt(rec.seen, r.ID, d.id, &receiptRec{state: stateSkipped, at: in.at, note: target.Skip})
	}
	w, err := in.window(r)
	if err != nil {
		return err
	}
	e := rec.dest(d.id)
	e.rev, e.backfill = rec.rev, in.p.Backfill
	j := &jobRec{
		jobKey:  jobKey{dest: d.id, prio: prioOf(e.backfill, store.CallJob), when: rec.when, id: r.ID, kind: store.CallJob, rev: rec.rev},
		jobHead: jobHead{window: w, lane: r.Lane, backfill: e.backfill, flags: flagFirst},
		seen:    rec.seen, body: r.Body,
	}
	in.queued(d)
	return in.addJob(d, j)
}

func (in *ingestTx) queued(d *destRec) {
	in.counts.Queued++
	if !slices.Contains(in.counts.Fresh, d.Name) {
		in.counts.Fresh = append(in.counts.Fresh, d.Name)
	}
}

// unfinished watches for the end of a call in progress.
func (in *ingestTx) unfinished(u *store.Unfinished) error {
	if u.ID == "" || len(u.ID) > maxID {
		return nil
	}
	rec, _, err := in.call(u.ID)
	if rec != nil || err != nil {
		return err
	}
	w, err := in.watch(store.FinishWatch, u.ID)
	if err != nil {
		return err
	}
	if at, err := in.forgotten(u.ID, store.Lane{}, time.Time{}); err != nil || !at.IsZero() {
		return err
	}
	if w != nil {
		return in.mergeWatch(store.FinishWatch, u.ID, u.Body)
	}
	return in.addWatch(store.FinishWatch, u.ID, &watchRec{body: u.Body, due: round(u.Due)})
}

// broken keeps a row that could not be understood, once.
func (in *ingestTx) broken(b *store.Broken) error {
	name := b.Key
	if len(name) > maxID {
		sum := sha256.Sum256([]byte(name))
		name = hex.EncodeToString(sum[:])
	}
	k := rowKey(name)
	rec, gen, err := find(in.txn, bucketLedger, k, decodeLedger)
	if err != nil || rec != nil && gen >= in.generation {
		return err
	}
	if rec == nil {
		in.state.broken++
		in.metaDirty = true
		letter := &deadRec{job: jobRec{jobKey: jobKey{id: b.Key}, body: b.Raw}, at: in.at, err: b.Err}
		if _, err := in.addDead(letter); err != nil {
			return err
		}
		return in.keep(bucketLedger, in.generation, k, (&ledgerRec{seen: in.at}).encode(k), false, 0)
	}
	return in.keep(bucketLedger, in.generation, k, rec.encode(k), true, gen)
}
