package storetest

import (
	"context"
	"fmt"
	"slices"

	"github.com/vinfer-sync/vinfer-sync/store"
)

var outboxTests = []test{
	{"a lane shows its first job only", func(e *env) {
		e.live(0, 9, row("3", 3, "a", nil), row("1", 1, "a", nil), row("2", 2, "b", nil), row("4", 4, "b", nil))
		same(e, "heads", e.headIDs(crm), []string{"1", "2"})
	}},
	{"jobs of one time are ordered by id", func(e *env) {
		e.live(0, 9, row("b", 1, "a", nil), row("a", 1, "a", nil), row("ab", 1, "a", nil), row("a\x00", 1, "a", nil))
		var got []string
		for ref := (&store.JobRef{}); ref != nil; {
			h := e.head(crm)
			got = append(got, h.ID)
			_, s := e.deliver(h)
			ref = s.Next
		}
		same(e, "order", got, []string{"a", "a\x00", "ab", "b"})
	}},
	{"live jobs come before a backfill's, then by time", func(e *env) {
		b, _, err := e.s().OpenBackfill("k", nil, at(1))
		e.must(err)
		p := backfillPage(b.ID, 2, row("old2", -5, "a", nil), row("old1", -7, "b", nil))
		p.Close = &store.Interval{}
		e.ingest(p)
		e.live(0, 9, row("2", 2, "c", nil), row("1", 1, "d", nil))
		same(e, "heads", e.headIDs(crm), []string{"1", "2", "old1", "old2"})
		equal(e, "backfill", e.heads(crm)[2].Backfill, b.ID)
		equal(e, "live", e.heads(crm)[0].Backfill, uint64(0))
	}},
	{"a live job brings forward the backfill's job that it must wait for", func(e *env) {
		b, _, err := e.s().OpenBackfill("k", nil, at(1))
		e.must(err)
		p := backfillPage(b.ID, 2, row("old1", -9, "x", nil), row("old2", -5, "a", nil))
		p.Close = &store.Interval{}
		e.ingest(p)
		e.live(0, 9, row("1", 1, "a", nil), row("2", 2, "b", nil))
		h := e.heads(crm)
		same(e, "in front", ids(h[:2]), []string{"old2", "2"})
		_, s := e.deliver(h[0])
		equal(e, "next", s.Next.ID, "1")
	}},
	{"a scan leaves out lanes", func(e *env) {
		e.live(0, 9, row("1", 1, "a", nil), row("2", 2, "b", nil))
		jobs, next, err := e.s().Scan(crm, nil, 10, func(l store.Lane) bool { return l == lane("a") })
		e.must(err)
		same(e, "heads", ids(jobs), []string{"2"})
		equal(e, "end", len(next), 0)
	}},
	{"a scan shows jobs that are not due", func(e *env) {
		e.live(0, 9, row("1", 1, "a", nil))
		e.attempt(e.head(crm), store.Retry, failed("503"))
		sameTime(e, "due", e.head(crm).Due, at(600))
		equal(e, "attempts", e.head(crm).Attempts, 1)
	}},
	{"a scan of an unknown destination is an error", func(e *env) {
		_, _, err := e.s().Scan("nobody", nil, 1, nil)
		wantErr(e, err, store.ErrUnknown)
	}},
	{"a scan goes through a big backlog in pieces", func(e *env) {
		var want []string
		for i := range 40 {
			var rows []store.Row
			for k := range 50 {
				n := i*50 + k
				rows = append(rows, rowTo(fmt.Sprintf("%05d", n), n, fmt.Sprint(n%700), nil, crm))
				if n < 700 {
					want = append(want, fmt.Sprintf("%05d", n))
				}
			}
			_, err := e.store.Ingest(closed(i, i+1, rows...))
			e.must(err)
		}
		var got []string
		var from []byte
		for {
			jobs, next, err := e.store.Scan(crm, from, 64, nil)
			e.must(err)
			got = append(got, ids(jobs)...)
			if from = next; len(next) == 0 {
				break
			}
		}
		same(e, "heads", got, want)
	}},
	{"lanes of one destination are not another's", func(e *env) {
		e.live(0, 9, row("1", 1, "a", nil), row("2", 2, "a", nil))
		_, s := e.deliver(e.head(crm))
		equal(e, "next", s.Next.ID, "2")
		equal(e, "elsewhere", e.head(crm2).ID, "1")
	}},
	{"a claim holds all that a delivery needs", func(e *env) {
		r := rowTo("1", 1, "a", fields{"name": "A"}, crm)
		e.live(0, 9, r)
		j := e.claim(e.head(crm))
		equal(e, "id", j.ID, "1")
		sameTime(e, "when", j.When, at(1))
		equal(e, "lane", j.Lane, lane("a"))
		equal(e, "kind", j.Kind, store.CallJob)
		equal(e, "revision", j.Revision, 1)
		equal(e, "body", string(j.Body), string(r.Body))
		equal(e, "first", j.First, true)
		equal(e, "older", j.Older, false)
		equal(e, "due at once", j.Due.IsZero(), true)
		equal(e, "attempts", j.Attempts, 0)
	}},
	{"an older call is told that it is, also to its status", func(e *env) {
		e.live(0, 9, rowTo("2", 5, "a", nil, crm, crm2), rowTo("3", 6, "b", nil, crm))
		for _, h := range e.heads(crm) {
			e.deliver(h, func(o *store.Outcome) { o.SetStatus = true })
		}
		e.deliver(e.head(crm2))
		e.live(9, 10, rowTo("1", 1, "a", nil, crm, crm2), rowTo("4", 7, "b", nil, crm))
		h := e.heads(crm)
		j := e.claim(h[0])
		equal(e, "older", j.Older, true)
		equal(e, "older status", j.OlderStatus, true)
		j = e.claim(h[1])
		equal(e, "newer", j.Older, false)
		equal(e, "newer status", j.OlderStatus, false)
		j = e.claim(e.head(crm2))
		equal(e, "older at crm2", j.Older, true)
		equal(e, "nobody set a status there", j.OlderStatus, false)
	}},
	{"a call is not older than itself", func(e *env) {
		e.live(0, 9, rowTo("2", 5, "a", fields{"name": "A"}, crm))
		e.deliver(e.head(crm), func(o *store.Outcome) { o.SetStatus = true })
		e.live(9, 10, rowTo("2", 5, "a", fields{"name": "B"}, crm), rowTo("1", 5, "a", nil, crm))
		h := e.head(crm)
		equal(e, "head", h.ID, "1")
		j, s := e.deliver(h)
		equal(e, "same time, smaller id", j.Older, true)
		j = e.claim(*s.Next)
		equal(e, "itself", j.Older, false)
		equal(e, "its own status", j.OlderStatus, false)
	}},
	{"refs are saved before the job is settled", func(e *env) {
		e.live(0, 9, rowTo("1", 1, "a", nil, crm, hook))
		for _, dest := range []string{crm, hook} {
			j := e.claim(e.head(dest))
			e.must(e.store.SaveRefs(context.Background(), j.JobRef, map[string]string{"contact": "7"}))
			e.must(e.store.SaveRefs(context.Background(), j.JobRef, map[string]string{"contact": "7", "note": "8"}))
			e.again()
			j = e.claim(e.head(dest))
			equal(e, "refs", len(j.Refs), 2)
			e.settle(store.Outcome{Job: j.JobRef, Verdict: store.Delivered, At: at(9)})
			e.must(e.s().SaveRefs(context.Background(), j.JobRef, map[string]string{"late": "9"}))
		}
	}},
	{"settling claims the next job in the same step", func(e *env) {
		e.live(0, 9, row("1", 1, "a", nil), row("2", 2, "b", nil))
		h := e.heads(hook)
		j := e.claim(h[0])
		s, err := e.store.Settle(context.Background(), 0, store.Outcome{Job: j.JobRef, Verdict: store.Delivered, At: at(9)}, &h[1])
		e.must(err)
		if s.Claimed == nil || s.Claimed.ID != "2" || s.Next != nil {
			e.Fatalf("settled %+v", s)
		}
		e.again()
		equal(e, "the claim is durable", e.head(hook).Attempts, 1)
		s, err = e.s().Settle(context.Background(), 0, store.Outcome{Job: h[1], Verdict: store.Delivered, At: at(9)}, &h[0])
		e.must(err)
		if s.Claimed != nil {
			e.Fatalf("a job that is gone was claimed: %+v", s.Claimed)
		}
	}},
	{"a slot holds one claim", func(e *env) {
		e.live(0, 9, row("1", 1, "a", nil), row("2", 2, "b", nil))
		h := e.heads(hook)
		_, err := e.store.Claim(context.Background(), 3, h[0])
		e.must(err)
		_, err = e.store.Claim(context.Background(), 3, h[1])
		e.must(err)
		e.again()
		h = e.heads(hook)
		equal(e, "first", h[0].Attempts, 0)
		equal(e, "second", h[1].Attempts, 1)
	}},
	{"an ended context stops a settlement that was not begun", func(e *env) {
		e.live(0, 9, row("1", 1, "a", nil))
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err := e.s().Settle(ctx, 0, store.Outcome{Job: e.head(crm), Verdict: store.Delivered, At: at(9)}, nil)
		wantErr(e, err, context.Canceled)
		same(e, "heads", e.headIDs(crm), []string{"1"})
	}},
	{"workers settle side by side", func(e *env) {
		const workers, each = 8, 20
		var rows []store.Row
		for i := range workers * each {
			rows = append(rows, rowTo(fmt.Sprintf("%04d", i), i%60, fmt.Sprint(i), nil, crm, hook))
		}
		e.live(0, 60, rows...)
		for _, dest := range []string{crm, hook} {
			h := e.heads(dest)
			equal(e, "heads", len(h), workers*each)
			done := make(chan error, workers)
			for w := range workers {
				go func() {
					for _, ref := range h[w*each : (w+1)*each] {
						j, err := e.store.Claim(context.Background(), w, ref)
						if err == nil {
							_, err = e.store.Settle(context.Background(), w, store.Outcome{Job: j.JobRef, Verdict: store.Delivered, At: at(70)}, nil)
						}
						if err != nil {
							done <- err
							return
						}
					}
					done <- nil
				}()
			}
			for range workers {
				e.must(<-done)
			}
			d := e.dest(dest)
			equal(e, "pending", d.Pending, 0)
			equal(e, "delivered", d.Delivered, int64(workers*each))
		}
	}},
}

var settleTests = []test{
	{"a delivered job leaves the outbox for the receipts", func(e *env) {
		e.live(0, 9, row("1", 1, "a", fields{"name": "A"}))
		_, s := e.deliver(e.head(crm), withRefs(map[string]string{"contact": "7"}), func(o *store.Outcome) { o.Warnings = []string{"w"} })
		if s.Next != nil || s.Halted != "" || s.Claimed != nil {
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
				s, err := e.s().Settle(context.Background(), 0, store.Outcome{Job: ref, Verdict: v, At: at(9), Error: "x"}, nil)
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
		e.must(e.s().Resume(crm))
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
		_, err := e.s().DropDead([]uint64{l[0].Num})
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
