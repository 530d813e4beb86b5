package storetest

import (
	"context"
	"fmt"
	"slices"

	"github.com/vinfer-sync/vinfer-sync/store"
)

var settleTests = []test{
	{"a delivered job leaves the outbox for the receipts", func(e *env) {
		e.live(0, 9, row("1", 1, "a", fields{"name": "A"}))
		_, s := e.deliver(e.head(crm), withRefs(map[string]string{"contact": "7"}), func(o *store.Outcome) { o.Warnings = []string{"w"} })
		if s.Next != nil || s.Halted != "" {
			e.Fatalf("settled %+v", s)
		}
		same(e, "heads", e.headIDs(crm), nil)
		w := e.way("1", crm)
		equal(e, "state", w.State, "delivered")
		equal(e, "revision", w.Revision, 1)
		equal(e, "attempts", w.Attempts, 1)
		sameTime(e, "at", w.At, at(500))
		equal(e, "ref", w.Refs["contact"], "7")
		same(e, "warnings", w.Warnings, []string{"w"})
		d := e.dest(crm)
		equal(e, "pending", d.Pending, 0)
		equal(e, "delivered", d.Delivered, int64(1))
		sameTime(e, "last success", d.LastSuccess, at(500))
	}},
	{"a job that is gone is settled without effect", func(e *env) {
		e.live(0, 9, row("1", 1, "a", nil), row("2", 2, "a", nil))
		for _, dest := range []string{crm, hook} {
			ref := e.head(dest)
			e.deliver(ref)
			for _, v := range []store.Verdict{store.Delivered, store.Retry, store.Dead, store.Release, store.Skip} {
				s, err := e.s().Settle(context.Background(), store.Outcome{Job: ref, Verdict: v, At: at(9), Error: "x"})
				e.must(err)
				if s.Next == nil || s.Next.ID != "2" {
					e.Fatalf("next is %+v", s.Next)
				}
			}
			d := e.dest(dest)
			equal(e, "pending", d.Pending, 1)
			equal(e, "dead", d.Dead, 0)
			equal(e, "delivered", d.Delivered, int64(1))
		}
	}},
	{"a retried job waits, keeps its error and counts", func(e *env) {
		e.live(0, 9, row("1", 1, "a", nil), row("2", 2, "a", nil))
		s := e.attempt(e.head(crm), store.Retry, failed("503"), withRefs(map[string]string{"contact": "7"}))
		if s.Next == nil || s.Next.ID != "1" || !s.Next.Due.Equal(at(600)) {
			e.Fatalf("next is %+v", s.Next)
		}
		e.attempt(e.head(crm), store.Retry, failed("504"), func(o *store.Outcome) { o.CountFail, o.At = true, at(601) })
		e.attempt(e.head(crm), store.Retry, failed("505"), func(o *store.Outcome) { o.CountFail, o.At = true, at(602) })
		j := e.claim(e.head(crm))
		equal(e, "attempts", j.Attempts, 3)
		equal(e, "fails", j.Fails, 2)
		sameTime(e, "first fail", j.FirstFail, at(601))
		equal(e, "error", j.LastError, "505")
		equal(e, "refs", j.Refs["contact"], "7")
		w := e.way("1", crm)
		equal(e, "state", w.State, "pending")
		equal(e, "error", w.Error, "505")
		sameTime(e, "due", w.Due, at(600))
		equal(e, "error of the destination", e.dest(crm).LastError, "505")
	}},
	{"a released job is as if it had not been claimed", func(e *env) {
		e.live(0, 9, row("1", 1, "a", nil))
		e.attempt(e.head(hook), store.Release)
		equal(e, "attempts", e.head(hook).Attempts, 0)
		equal(e, "due at once", e.head(hook).Due.IsZero(), true)
		e.attempt(e.head(hook), store.Release, func(o *store.Outcome) { o.Due = at(90) })
		sameTime(e, "due", e.head(hook).Due, at(90))
		e.attempt(e.head(hook), store.Release, withRefs(map[string]string{"contact": "7"}))
		sameTime(e, "due stays", e.head(hook).Due, at(90))
		equal(e, "refs", e.claim(e.head(hook)).Refs["contact"], "7")
	}},
	{"a dead job goes to the dead letters", func(e *env) {
		e.live(0, 9, row("1", 1, "a", fields{"name": "A"}), row("2", 2, "a", nil))
		s := e.attempt(e.head(crm), store.Dead, failed("400 no such field"), func(o *store.Outcome) { o.Request = "POST /x" })
		if s.Next == nil || s.Next.ID != "2" {
			e.Fatalf("next is %+v", s.Next)
		}
		l := e.letters(crm)
		equal(e, "letters", len(l), 1)
		equal(e, "id", l[0].ID, "1")
		equal(e, "dest", l[0].Dest, crm)
		equal(e, "error", l[0].Error, "400 no such field")
		equal(e, "request", l[0].Request, "POST /x")
		equal(e, "attempts", l[0].Attempts, 1)
		equal(e, "body", string(l[0].Body), `{"name":"A"}`)
		sameTime(e, "when", l[0].When, at(1))
		sameTime(e, "at", l[0].At, at(500))
		d := e.dest(crm)
		equal(e, "dead", d.Dead, 1)
		equal(e, "pending", d.Pending, 1)
		w := e.way("1", crm)
		equal(e, "state", w.State, "dead")
		equal(e, "error", w.Error, "400 no such field")
		equal(e, "life has the body", string(e.life("1").Body), `{"name":"A"}`)
	}},
	{"a skipped job leaves its reason", func(e *env) {
		e.live(0, 9, row("1", 1, "a", nil))
		e.attempt(e.head(crm), store.Skip, failed("several contacts"))
		w := e.way("1", crm)
		equal(e, "state", w.State, "skipped")
		equal(e, "reason", w.Error, "several contacts")
		equal(e, "pending", e.dest(crm).Pending, 0)
		equal(e, "delivered", e.dest(crm).Delivered, int64(0))
	}},
	{"the same error for call after call halts and puts all back", func(e *env) {
		e.sameErrors(8)
		d := e.dest(crm)
		if d.Halted == "" {
			e.Fatal("not halted")
		}
		equal(e, "dead", d.Dead, 0)
		equal(e, "pending", d.Pending, 9)
		equal(e, "letters", len(e.letters(crm)), 0)
		h := e.heads(crm)
		equal(e, "at the heads", len(h), 9)
		equal(e, "in order", slices.IsSortedFunc(h, func(a, b store.JobRef) int { return a.When.Compare(b.When) }), true)
		equal(e, "state", e.way("0", crm).State, "pending")
		e.must(e.s().Hold(crm, store.Hold{}))
		equal(e, "resumed", e.dest(crm).Halted, "")
	}},
	{"a delivery between ends the series", func(e *env) {
		rows := e.contacts(10)
		e.live(0, 20, rows...)
		h := e.heads(crm)
		for i, ref := range h {
			if i == 4 {
				e.deliver(ref)
				continue
			}
			equal(e, "halted", e.attempt(ref, store.Dead, reject("no such field")).Halted, "")
		}
		equal(e, "dead", e.dest(crm).Dead, 9)
	}},
	{"another error begins a series of its own", func(e *env) {
		e.live(0, 20, e.contacts(8)...)
		for i, ref := range e.heads(crm) {
			equal(e, "halted", e.attempt(ref, store.Dead, reject(fmt.Sprint("error", i/5))).Halted, "")
		}
	}},
	{"one contact's rejections count once", func(e *env) {
		var rows []store.Row
		for i := range 12 {
			rows = append(rows, rowTo(fmt.Sprint(i), i, "same", nil, crm))
		}
		e.live(0, 20, rows...)
		for range rows {
			equal(e, "halted", e.attempt(e.head(crm), store.Dead, reject("no such field")).Halted, "")
		}
	}},
	{"rejections of one contact are put back with the others'", func(e *env) {
		rows := append(e.contacts(7), rowTo("x", 15, "7", nil, crm), rowTo("y", 16, "7", nil, crm), rowTo("z", 17, "8", nil, crm))
		e.live(0, 20, rows...)
		for range rows {
			h := e.heads(crm)
			e.attempt(h[0], store.Dead, reject("no such field"))
			if e.dest(crm).Halted != "" {
				break
			}
		}
		d := e.dest(crm)
		equal(e, "dead", d.Dead, 0)
		equal(e, "pending", d.Pending, 10)
	}},
	{"rejections of one sort of job halt although those of another sort pass", func(e *env) {
		e.live(0, 20, e.contacts(16)...)
		for i, ref := range e.heads(crm) {
			if i%2 == 0 {
				e.attempt(ref, store.Delivered, func(o *store.Outcome) { o.Sort = "calls" })
				continue
			}
			s := e.attempt(ref, store.Dead, func(o *store.Outcome) { reject("no notes")(o); o.Sort = "notes" })
			equal(e, fmt.Sprintf("halted by the rejection at %d", i), s.Halted != "", i == 15)
		}
		equal(e, "dead", e.dest(crm).Dead, 0)
		equal(e, "pending", e.dest(crm).Pending, 8)
	}},
	{"rejections of several sorts for the same reason count together", func(e *env) {
		e.live(0, 20, e.contacts(8)...)
		for i, ref := range e.heads(crm) {
			s := e.attempt(ref, store.Dead, func(o *store.Outcome) { reject("no such field")(o); o.Sort = fmt.Sprint(i % 3) })
			equal(e, fmt.Sprintf("halted by the rejection at %d", i), s.Halted != "", i == 7)
		}
		equal(e, "dead", e.dest(crm).Dead, 0)
	}},
	{"a delivery of the same sort ends a series", func(e *env) {
		e.live(0, 20, e.contacts(16)...)
		for i, ref := range e.heads(crm) {
			if i == 7 {
				e.attempt(ref, store.Delivered, func(o *store.Outcome) { o.Sort = "notes" })
				continue
			}
			s := e.attempt(ref, store.Dead, func(o *store.Outcome) { reject("no notes")(o); o.Sort = "notes" })
			equal(e, fmt.Sprintf("halted by the rejection at %d", i), s.Halted != "", i == 15)
		}
		equal(e, "dead", e.dest(crm).Dead, 7)
	}},
	{"what is left out is counted by reason", func(e *env) {
		rows := e.contacts(5)
		rows[0].Targets[0] = store.Target{Dest: crm, Skip: "filter: campaign", Reason: store.LeftFiltered}
		rows[1].Targets[0] = store.Target{Dest: crm, Skip: "mapping", Reason: store.LeftUnknown}
		e.live(0, 20, rows...)
		e.live(0, 20, rows...) // what is read again is not counted again
		left := func(n int, counts map[string]int64) {
			e.Helper()
			l := e.dest(crm).LeftOut
			equal(e, "in a row", l.InARow, n)
			equal(e, "since", l.Since.IsZero(), n == 0)
			equal(e, "counts", fmt.Sprint(l.Counts), fmt.Sprint(counts))
		}
		left(2, map[string]int64{store.LeftFiltered: 1, store.LeftUnknown: 1})
		h := e.heads(crm)
		e.attempt(h[0], store.Skip, func(o *store.Outcome) { o.Error, o.LeftOut = "on_many", []string{store.LeftSkipped} })
		left(3, map[string]int64{store.LeftFiltered: 1, store.LeftUnknown: 1, store.LeftSkipped: 1})
		e.attempt(h[1], store.Delivered, func(o *store.Outcome) {
			o.Transcript, o.LeftOut = true, []string{store.LeftOverdue, store.LeftNoNumber}
		})
		left(0, map[string]int64{store.LeftFiltered: 1, store.LeftUnknown: 1, store.LeftSkipped: 1, store.LeftOverdue: 1, store.LeftNoNumber: 1})
		e.must(e.s().SettleWatch(store.TranscriptWatch, h[1].ID, store.Asked{GivenUp: "given up", At: at(20)}))
		e.again()
		left(0, map[string]int64{store.LeftFiltered: 1, store.LeftUnknown: 1, store.LeftSkipped: 1, store.LeftOverdue: 1, store.LeftNoNumber: 1, store.LeftTranscript: 1})
	}},
	{"a rejection that is not to be counted halts nothing", func(e *env) {
		e.live(0, 20, e.contacts(10)...)
		for _, ref := range e.heads(crm) {
			e.attempt(ref, store.Dead, failed("given up"))
		}
		equal(e, "halted", e.dest(crm).Halted, "")
		equal(e, "dead", e.dest(crm).Dead, 10)
	}},
	{"a letter of the series that was dropped is not put back", func(e *env) {
		e.live(0, 20, e.contacts(8)...)
		h := e.heads(crm)
		e.attempt(h[0], store.Dead, reject("no such field"))
		l := e.letters(crm)
		_, err := e.s().EndDead([]uint64{l[0].Num}, false)
		e.must(err)
		for _, ref := range h[1:] {
			e.attempt(ref, store.Dead, reject("no such field"))
		}
		equal(e, "pending", e.dest(crm).Pending, 7)
		equal(e, "dead", e.dest(crm).Dead, 0)
	}},
}

func reject(signature string) func(*store.Outcome) {
	return func(o *store.Outcome) { o.Error, o.Signature, o.HaltAfter = "400 "+signature, signature, 8 }
}

// contacts makes one call each of so many contacts, for one destination.
func (e *env) contacts(n int) []store.Row {
	var rows []store.Row
	for i := range n {
		rows = append(rows, rowTo(fmt.Sprint(i), i+1, fmt.Sprint(i), fields{"name": "A"}, crm))
	}
	return rows
}

// sameErrors has n of n+1 calls refused, the last of which halts.
func (e *env) sameErrors(n int) {
	e.Helper()
	e.live(0, 20, e.contacts(n+1)...)
	for i, ref := range e.heads(crm)[:n] {
		s := e.attempt(ref, store.Dead, reject("no such field"))
		equal(e, fmt.Sprintf("halted after %d", i+1), s.Halted != "", i == n-1)
	}
}
