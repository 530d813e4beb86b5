package storetest

import (
	"errors"
	"fmt"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// killed makes dead letters of n calls at crm.
func (e *env) killed(n int) []store.DeadLetter {
	e.Helper()
	e.live(0, 20, e.contacts(n)...)
	for _, ref := range e.heads(crm) {
		e.attempt(ref, store.Dead, failed("400"), withRefs(map[string]string{"contact": "7"}))
	}
	return e.letters(crm)
}

var deadTests = []test{
	{"dead letters are listed by destination, in pieces", func(e *env) {
		l := e.killed(5)
		e.live(20, 21, rowTo("x", 20, "x", nil, crm2))
		e.attempt(e.head(crm2), store.Dead, failed("400"))
		p := closed(21, 22)
		p.Broken = []store.Broken{{Key: "k", Raw: []byte("raw"), Err: "bad"}}
		e.ingest(p)
		equal(e, "at crm", len(l), 5)
		equal(e, "all", len(e.letters("")), 7)
		none, err := e.s().DeadLetters("", false, 0, 99)
		e.must(err)
		equal(e, "of none", len(none), 1)
		part, err := e.s().DeadLetters(crm, false, l[1].Num, 2)
		e.must(err)
		equal(e, "part", len(part), 2)
		equal(e, "after", part[0].Num, l[2].Num)
		_, err = e.s().DeadLetters("nobody", false, 0, 1)
		wantErr(e, err, store.ErrUnknown)
		equal(e, "dead", e.stats().Dead, 7)
	}},
	{"a retried letter is back at its place with no attempts", func(e *env) {
		l := e.killed(2)
		e.live(20, 21, rowTo("x", 19, "0", nil, crm))
		n, err := e.s().EndDead([]uint64{l[0].Num}, true)
		e.must(err)
		equal(e, "back", n, 1)
		h := e.head(crm)
		equal(e, "before the later call of its contact", h.ID, "0")
		equal(e, "attempts", h.Attempts, 0)
		j := e.claim(h)
		equal(e, "first", j.First, true)
		equal(e, "refs", j.Refs["contact"], "7")
		d := e.dest(crm)
		equal(e, "dead", d.Dead, 1)
		equal(e, "pending", d.Pending, 2)
		_, err = e.s().EndDead([]uint64{l[0].Num}, true)
		wantErr(e, err, store.ErrUnknown)
	}},
	{"a retried letter of an append-only destination stays as it was sent", func(e *env) {
		e.live(0, 9, rowTo("1", 1, "a", fields{"name": "A"}, hook))
		e.attempt(e.head(hook), store.Dead, failed("400"))
		l := e.letters(hook)
		_, err := e.s().EndDead([]uint64{l[0].Num}, true)
		e.must(err)
		e.live(9, 10, rowTo("1", 1, "a", fields{"name": "B"}, hook))
		j, _ := e.deliver(e.head(hook))
		equal(e, "body", string(j.Body), `{"name":"A"}`)
		equal(e, "the change follows", e.head(hook).Revision, 2)
	}},
	{"a letter that a newer revision has overtaken just ends", func(e *env) {
		l := e.killed(1)
		e.live(20, 21, rowTo("0", 1, "0", fields{"name": "B"}, crm))
		n, err := e.s().EndDead([]uint64{l[0].Num}, true)
		e.must(err)
		equal(e, "back", n, 0)
		equal(e, "revision", e.head(crm).Revision, 2)
		equal(e, "pending", e.dest(crm).Pending, 1)
		equal(e, "dead", e.dest(crm).Dead, 0)
	}},
	{"letters of no destination are not retried, nor the others with them", func(e *env) {
		l := e.killed(1)
		p := closed(21, 22)
		p.Broken = []store.Broken{{Key: "k", Raw: []byte("raw"), Err: "bad"}}
		e.ingest(p)
		all := e.letters("")
		_, err := e.s().EndDead([]uint64{l[0].Num, all[1].Num}, true)
		wantErr(e, err, nil)
		equal(e, "dead", e.stats().Dead, 2)
	}},
	{"dropped letters are gone", func(e *env) {
		l := e.killed(2)
		n, err := e.s().EndDead([]uint64{l[0].Num}, false)
		e.must(err)
		equal(e, "dropped", n, 1)
		equal(e, "left", len(e.letters(crm)), 1)
		equal(e, "dead", e.dest(crm).Dead, 1)
		same(e, "heads", e.headIDs(crm), nil)
		_, err = e.s().EndDead([]uint64{l[1].Num, l[0].Num}, false)
		wantErr(e, err, store.ErrUnknown)
		equal(e, "all or nothing", e.dest(crm).Dead, 1)
	}},
	{"a refused transcript is a letter of its own", func(e *env) {
		w := e.watched()
		e.must(e.s().SettleWatch(store.TranscriptWatch, w.ID, store.Asked{Found: []byte("text"), At: at(502)}))
		e.attempt(e.head(crm), store.Dead, failed("413"))
		l := e.letters(crm)
		equal(e, "kind", l[0].Kind, store.TranscriptJob)
		equal(e, "the call is delivered", e.way("1", crm).State, "delivered")
		n, err := e.s().EndDead([]uint64{l[0].Num}, true)
		e.must(err)
		equal(e, "back", n, 1)
		equal(e, "kind", e.head(crm).Kind, store.TranscriptJob)
	}},
}

var backfillTests = []test{
	{"the same flags resume an unfinished backfill", func(e *env) {
		b, there, err := e.s().OpenBackfill("since=x", []byte("spec"), at(1))
		e.must(err)
		equal(e, "there", there, false)
		again, there, err := e.s().OpenBackfill("since=x", []byte("other"), at(2))
		e.must(err)
		equal(e, "there", there, true)
		equal(e, "id", again.ID, b.ID)
		equal(e, "spec", string(again.Spec), "spec")
		other, there, err := e.s().OpenBackfill("since=y", nil, at(2))
		e.must(err)
		equal(e, "there", there, false)
		equal(e, "another", other.ID != b.ID, true)
		_, err = e.s().SaveBackfill(99, store.BackfillChange{ReadDone: at(1)})
		wantErr(e, err, store.ErrUnknown)
		_, err = e.s().Ingest(backfillPage(99, 1))
		wantErr(e, err, store.ErrUnknown)
	}},
	{"a backfill counts what it reads and what becomes of it", func(e *env) {
		b := e.filled(4)
		equal(e, "fetched", b.Fetched, int64(4))
		equal(e, "queued", b.Queued, int64(4))
		equal(e, "checkpoint", string(b.Checkpoint), "half")
		equal(e, "pending", b.Pending(), int64(4))
		h := e.heads(crm)
		e.deliver(h[0])
		e.attempt(h[1], store.Dead, failed("400"))
		e.attempt(h[2], store.Skip, failed("no"))
		e.attempt(h[3], store.Retry, failed("503"))
		b = e.backfill(b.ID)
		equal(e, "delivered", b.Delivered, int64(1))
		equal(e, "dead", b.Dead, int64(1))
		equal(e, "pending", b.Pending(), int64(1))
		l := e.letters(crm)
		_, err := e.s().EndDead([]uint64{l[0].Num}, true)
		e.must(err)
		b = e.backfill(b.ID)
		equal(e, "retried", b.Pending(), int64(2))
	}},
	{"follow-up tasks that a backfill leaves out are counted, and noted with the call", func(e *env) {
		b := e.filled(2)
		e.deliver(e.heads(crm)[0], func(o *store.Outcome) { o.TaskLeft = true })
		e.deliver(e.heads(crm)[0])
		b = e.backfill(b.ID)
		equal(e, "left out", b.TasksLeft, int64(1))
		equal(e, "noted", len(e.way("old0", crm).Warnings), 1)
		equal(e, "not with the other", len(e.way("old1", crm).Warnings), 0)
	}},
	{"a cancelled backfill takes its calls along, as if they had not been seen", func(e *env) {
		b := e.filled(4)
		e.ingest(backfillPage(b.ID, 3, rowTo("open", -2, "o", nil, crm))) // of a window that was not read to its end
		e.deliver(e.heads(crm)[0])
		removed, live, err := e.s().CancelBackfill(b.ID, at(9))
		e.must(err)
		equal(e, "removed", removed, 4)
		equal(e, "live", live, 0)
		equal(e, "pending", e.stats().Pending, 0)
		same(e, "heads", e.headIDs(crm), nil)
		if _, err := e.s().Life("old1"); !errors.Is(err, store.ErrUnknown) {
			e.Fatalf("old1 is known: %v", err)
		}
		_, err = e.s().Ingest(backfillPage(b.ID, 9, rowTo("more", -3, "o", nil, crm)))
		wantErr(e, err, store.ErrCancelled)
		again := e.backfill(b.ID)
		equal(e, "nothing waits", again.Pending(), int64(0))
		sameTime(e, "when", again.Cancelled, at(9))
		b, there, err := e.s().OpenBackfill("k", nil, at(10))
		e.must(err)
		equal(e, "resumed", there, false)
		got := e.ingest(backfillPage(b.ID, 10, rowTo("old0", -60, "0", fields{"name": "A"}, crm), rowTo("old1", -59, "1", fields{"name": "A"}, crm)))
		equal(e, "new", got.New, 1)
		equal(e, "queued", got.Queued, 1)
	}},
	{"a cancelled backfill leaves what is not its own", func(e *env) {
		e.live(0, 10, row("known", 5, "k", fields{"name": "A"}))
		for _, d := range []string{crm, crm2, hook} {
			e.deliver(e.head(d))
		}
		b, _, err := e.s().OpenBackfill("k", nil, at(1))
		e.must(err)
		e.ingest(backfillPage(b.ID, 20, row("known", 5, "k", fields{"name": "B"}), row("new", 15, "n", nil), row("late", 6, "l", nil)))
		e.saveBackfill(b.ID, store.BackfillChange{ReadDone: at(20)})
		removed, live, err := e.s().CancelBackfill(b.ID, at(21))
		e.must(err)
		equal(e, "removed", removed, 3)
		equal(e, "live", live, 6)
		same(e, "a change, and a call that the polls are still to read", e.headIDs(crm), []string{"known", "new"})
		equal(e, "live work", e.heads(crm)[0].Backfill, uint64(0))
		got := e.live(10, 20, row("new", 15, "n", nil), row("late", 6, "l", nil))
		equal(e, "by the polls", got.Queued, 3)
		equal(e, "found late", got.Late, 1)
	}},
	{"a cancelled backfill leaves to a destination what it has got", func(e *env) {
		b, _, err := e.s().OpenBackfill("k", nil, at(1))
		e.must(err)
		e.ingest(backfillPage(b.ID, 20, row("a", -5, "a", nil)))
		e.saveBackfill(b.ID, store.BackfillChange{ReadDone: at(20)})
		e.deliver(e.head(crm))
		removed, _, err := e.s().CancelBackfill(b.ID, at(21))
		e.must(err)
		equal(e, "removed", removed, 2)
		equal(e, "state", e.way("a", crm).State, "delivered")
		equal(e, "why", e.way("a", crm2).Error, "backfill 1 was cancelled")
		other, _, err := e.s().OpenBackfill("other", nil, at(30))
		e.must(err)
		equal(e, "by another backfill", e.ingest(backfillPage(other.ID, 30, row("a", -5, "a", nil))).Queued, 2)
	}},
	{"a page without a checkpoint leaves the old one", func(e *env) {
		b := e.filled(1)
		e.ingest(backfillPage(b.ID, 3))
		b = e.backfill(b.ID)
		equal(e, "checkpoint", string(b.Checkpoint), "half")
	}},
	{"the end of reading releases what is left, and ends it when all is delivered", func(e *env) {
		b := e.filled(1)
		held := rowTo("held", -1, "h", nil, crm)
		held.Hold = true
		e.ingest(backfillPage(b.ID, 3, held, rowTo("open", -2, "o", nil, crm)))
		same(e, "heads", e.headIDs(crm), []string{"old0"})
		e.saveBackfill(b.ID, store.BackfillChange{ReadDone: at(9)})
		h := e.heads(crm)
		same(e, "heads", ids(h), []string{"old0", "open", "held"})
		again, there, err := e.s().OpenBackfill("k", nil, at(10))
		e.must(err)
		equal(e, "not ended while jobs wait", there, true)
		sameTime(e, "read", again.ReadDone, at(9))
		for _, ref := range h {
			e.deliver(ref)
		}
		_, there, err = e.s().OpenBackfill("k", nil, at(11))
		e.must(err)
		equal(e, "ended", there, false)
		equal(e, "both are listed", len(e.stats().Backfills), 2)
	}},
	{"a backfill queues known calls for destinations that never had them", func(e *env) {
		e.live(0, 9, rowTo("1", 1, "a", fields{"name": "A"}, crm))
		e.deliver(e.head(crm))
		b, _, err := e.s().OpenBackfill("k", nil, at(10))
		e.must(err)
		p := backfillPage(b.ID, 10, rowTo("1", 1, "a", fields{"name": "A"}, crm, crm2))
		p.Close = &store.Interval{}
		got := e.ingest(p)
		equal(e, "new", got.New, 0)
		same(e, "fresh", got.Fresh, []string{crm2})
		equal(e, "again", e.ingest(p).Queued, 0)
		j := e.claim(e.head(crm2))
		equal(e, "first", j.First, true)
		equal(e, "backfill", j.Backfill, b.ID)
		same(e, "not where it was", e.headIDs(crm), nil)
	}},
	{"a backfill queues calls that were left out and are not any more", func(e *env) {
		r := rowTo("1", 1, "a", nil, crm)
		r.Targets[0].Skip = "filtered"
		e.live(0, 9, r)
		b, _, err := e.s().OpenBackfill("k", nil, at(10))
		e.must(err)
		equal(e, "still left out", e.ingest(backfillPage(b.ID, 10, r)).Queued, 0)
		r.Targets[0].Skip = ""
		equal(e, "queued", e.ingest(backfillPage(b.ID, 10, r)).Queued, 1)
	}},
	{"a change found live keeps the place of the backfill's job", func(e *env) {
		b := e.filled(1)
		e.live(0, 9, rowTo("old0", -60, "0", fields{"name": "B"}, crm))
		h := e.head(crm)
		equal(e, "revision", h.Revision, 2)
		equal(e, "backfill", h.Backfill, b.ID)
		e.deliver(h)
		b = e.backfill(b.ID)
		equal(e, "pending", b.Pending(), int64(0))
		e.live(9, 10, rowTo("old0", -60, "0", fields{"name": "C"}, crm))
		equal(e, "after it was delivered it is live", e.head(crm).Backfill, uint64(0))
	}},
	{"a backfill's transcript is not part of its count", func(e *env) {
		b := e.filled(1)
		e.saveBackfill(b.ID, store.BackfillChange{ReadDone: at(4)})
		e.deliver(e.head(crm), func(o *store.Outcome) { o.Transcript = true })
		e.must(e.s().SettleWatch(store.TranscriptWatch, "old0", store.Asked{Found: []byte("text"), At: at(502)}))
		equal(e, "its place is", e.head(crm).Backfill, b.ID)
		b = e.backfill(b.ID)
		equal(e, "pending", b.Pending(), int64(0))
		e.deliver(e.head(crm))
		b = e.backfill(b.ID)
		equal(e, "pending", b.Pending(), int64(0))
	}},
	{"a backfill never moves the live frontier, nor finds late calls", func(e *env) {
		e.live(0, 9)
		b, _, err := e.s().OpenBackfill("k", nil, at(10))
		e.must(err)
		got := e.ingest(backfillPage(b.ID, 10, row("x", 3, "a", nil)))
		equal(e, "late", got.Late, 0)
		sameTime(e, "watermark", e.stats().Watermark, at(9))
	}},
}

// filled reads n calls of a backfill into crm and closes its window.
func (e *env) filled(n int) store.Backfill {
	e.Helper()
	b, _, err := e.s().OpenBackfill("k", nil, at(1))
	e.must(err)
	var rows []store.Row
	for i := range n {
		rows = append(rows, rowTo(fmt.Sprint("old", i), i-60, fmt.Sprint(i), fields{"name": "A"}, crm))
	}
	p := backfillPage(b.ID, 2, rows...)
	p.Close, p.Checkpoint, p.Seen = &store.Interval{}, []byte("half"), int64(n)
	e.ingest(p)
	return e.backfill(b.ID)
}
