package storetest

import (
	"context"
	"fmt"
	"slices"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// preview is what pages would bring, by destination.
func (e *env) preview(n int, pages ...store.Page) map[string]store.PreviewDest {
	e.Helper()
	p, err := e.s().Preview(pages, n)
	e.must(err)
	out := map[string]store.PreviewDest{}
	for _, d := range p.Dests {
		out[d.Dest.Name] = d
	}
	return out
}

var outboxTests = []test{
	{"a preview lists all jobs of a destination, those that may not go yet as well", func(e *env) {
		e.live(0, 9, rowTo("1", 1, "a", fields{"name": "A"}, crm), rowTo("2", 2, "a", nil, crm), rowTo("x", 2, "a", nil, crm2))
		e.ingest(page(10, rowTo("3", 10, "b", nil, crm)))
		var got, waits []string
		p := e.preview(10)
		for _, j := range p[crm].Jobs {
			got, waits = append(got, j.ID), append(waits, j.Waits)
			equal(e, "new", j.New, false)
		}
		same(e, "jobs", got, []string{"1", "2", "3"})
		same(e, "what they wait for", waits, []string{"", "call 1 of the same contact goes first", store.WaitsForListing})
		equal(e, "first", p[crm].Jobs[0].First, true)
		equal(e, "body", string(p[crm].Jobs[0].Body), `{"name":"A"}`)
		p = e.preview(1)
		equal(e, "listed", len(p[crm].Jobs), 1)
		equal(e, "more", p[crm].More, 2)
		equal(e, "of another", p[crm2].More, 0)
	}},
	{"a preview shows what pages would bring, and brings nothing", func(e *env) {
		e.live(0, 9, rowTo("1", 1, "a", nil, crm))
		before := e.stats()
		skips := rowTo("3", 13, "c", nil, crm)
		skips.Targets = append(skips.Targets, store.Target{Dest: hook, Skip: "filter", Reason: store.LeftFiltered})
		p := e.preview(10,
			closed(9, 20, rowTo("2", 12, "b", fields{"name": "A"}, crm, crm2)), closed(20, 21, rowTo("2", 12, "b", fields{"name": "B"}, crm, crm2), skips),
			backfillPage(1, 22, rowTo("0", -9, "d", nil, hook)))
		equal(e, "pending", len(p[crm].Jobs), 3)
		equal(e, "there before", p[crm].Jobs[0].New, false)
		equal(e, "new", p[crm].Jobs[1].New, true)
		equal(e, "revision", p[crm].Jobs[1].Revision, 2)
		equal(e, "of the backfill", p[hook].Jobs[0].ID, "0")
		equal(e, "may go", p[hook].Jobs[0].Waits, "")
		equal(e, "skipped", len(p[hook].Skipped), 1)
		equal(e, "why", p[hook].Skipped[0].Why, "filter")
		equal(e, "whom", p[hook].Skipped[0].Row.ID, "3")
		st := e.stats()
		equal(e, "pending", st.Pending, before.Pending)
		sameTime(e, "watermark", st.Watermark, before.Watermark)
		_, err := e.s().Life("2")
		wantErr(e, err, store.ErrUnknown)
		equal(e, "backfills", len(st.Backfills), 0)
		equal(e, "it goes on", e.live(9, 30, rowTo("2", 12, "b", nil, crm)).New, 1)
	}},
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
		jobs, next, err := e.s().Scan(crm, nil, 10, map[store.Lane]struct{}{lane("a"): {}})
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
	{"a call is older than one that was tried and may have arrived", func(e *env) {
		e.live(0, 9, rowTo("2", 5, "a", nil, crm, hook), rowTo("3", 6, "b", nil, hook))
		for _, dest := range []string{crm, hook} {
			for _, h := range e.heads(dest) {
				j := e.claim(h)
				verdict := store.Retry
				if j.ID == "3" {
					verdict = store.Release // asked to come again: it took nothing
				}
				e.settle(store.Outcome{Job: j.JobRef, Verdict: verdict, At: at(9), Due: at(20)})
			}
		}
		e.live(9, 10, rowTo("1", 1, "a", nil, crm, hook), rowTo("4", 2, "b", nil, hook))
		h := e.heads(hook)
		j := e.claim(h[0])
		equal(e, "id", j.ID, "1")
		equal(e, "may be older", j.Older, true)
		equal(e, "older status", j.OlderStatus, false)
		equal(e, "nothing newer can have arrived", e.claim(h[1]).Older, false)
		equal(e, "at crm the newer one is written again", e.claim(e.head(crm)).Older, false)
		e.again()
		j, s := e.deliver(e.heads(hook)[0])
		equal(e, "still", j.Older, true)
		j = e.claim(*s.Next)
		equal(e, "id", j.ID, "2")
		equal(e, "the newer one", j.Older, false)
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
	{"a call's first job has the refs of its lane's call before", func(e *env) {
		e.live(0, 9, rowTo("1", 1, "a", nil, crm, hook), rowTo("2", 2, "a", nil, crm, hook), rowTo("3", 3, "b", nil, crm))
		made := func(o *store.Outcome) { o.Refs = map[string]string{"contact": "7"} }
		j, s := e.deliver(e.heads(crm)[0], made)
		equal(e, "of the first", len(j.Before), 0)
		j = e.claim(*s.Next)
		equal(e, "id", j.ID, "2")
		equal(e, "of the second", j.Before["contact"], "7")
		equal(e, "its own", len(j.Refs), 0)
		e.settle(store.Outcome{Job: j.JobRef, Verdict: store.Retry, At: at(9), Due: at(10)})
		e.again()
		h := e.heads(crm)
		equal(e, "opened anew", e.claim(h[slices.IndexFunc(h, func(r store.JobRef) bool { return r.ID == "2" })]).Before["contact"], "7")
		equal(e, "of another lane", len(e.claim(h[slices.IndexFunc(h, func(r store.JobRef) bool { return r.ID == "3" })]).Before), 0)
		_, s = e.deliver(e.head(hook), made)
		equal(e, "where all is appended", len(e.claim(*s.Next).Before), 0)
		e.live(9, 10, rowTo("1", 1, "a", fields{"name": "B"}, crm))
		for _, r := range e.heads(crm) {
			if r.ID == "1" {
				equal(e, "of a call that was delivered", len(e.claim(r).Before), 0)
			}
		}
	}},
	{"refs of the lane go to its newest call", func(e *env) {
		e.live(0, 9, rowTo("1", 1, "a", nil, crm), rowTo("2", 2, "a", nil, crm), rowTo("3", 3, "b", nil, crm))
		wish := func(v string) func(*store.Outcome) {
			return func(o *store.Outcome) {
				o.Refs, o.LaneRefs = map[string]string{"contact": o.Job.ID}, map[string]string{"wish": v}
			}
		}
		_, s := e.deliver(e.heads(crm)[0], wish("")) // none to share with yet
		own := func(o *store.Outcome) { o.Refs = map[string]string{"contact": o.Job.ID} }
		e.deliver(*s.Next, own)
		e.deliver(e.head(crm), own)
		for _, v := range []string{"asked", "again"} {
			e.live(9, 10, rowTo("1", 1, "a", fields{"name": v}, crm))
			j, _ := e.deliver(e.head(crm), wish(v))
			equal(e, "of the older one, the newest call's", j.Before["contact"], "2")
		}
		e.again()
		e.live(10, 20, rowTo("4", 12, "a", nil, crm), rowTo("5", 12, "b", nil, crm))
		for _, r := range e.heads(crm) {
			j := e.claim(r)
			equal(e, "contact before "+r.ID, j.Before["contact"], map[string]string{"4": "2", "5": "3"}[r.ID])
			equal(e, "wish before "+r.ID, j.Before["wish"], map[string]string{"4": "asked"}[r.ID])
		}
	}},
	{"claims are durable until they are settled", func(e *env) {
		e.live(0, 9, row("1", 1, "a", nil), row("2", 2, "b", nil), row("3", 3, "c", nil))
		h := e.heads(hook)
		claimed, err := e.s().Claim(context.Background(), h[:2])
		e.must(err)
		equal(e, "claimed", len(claimed), 2)
		e.settle(store.Outcome{Job: claimed[0].Job.JobRef, Verdict: store.Release, At: at(9)})
		e.again()
		h = e.heads(hook)
		equal(e, "released", h[0].Attempts, 0)
		equal(e, "claimed and cut short", h[1].Attempts, 1)
		equal(e, "never claimed", h[2].Attempts, 0)
	}},
	{"jobs that are gone are claimed as nothing, the others beside them", func(e *env) {
		e.live(0, 9, row("1", 1, "a", nil), row("2", 2, "b", nil))
		for _, dest := range []string{crm, hook} {
			h := e.heads(dest)
			e.deliver(h[0])
			claimed, err := e.s().Claim(context.Background(), h)
			e.must(err)
			if claimed[0].Job != nil || claimed[0].Err != nil || claimed[1].Job == nil || claimed[1].Job.ID != "2" {
				e.Fatalf("claimed %+v", claimed)
			}
		}
	}},
	{"an ended context stops a settlement that was not begun", func(e *env) {
		e.live(0, 9, row("1", 1, "a", nil))
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err := e.s().Settle(ctx, store.Outcome{Job: e.head(crm), Verdict: store.Delivered, At: at(9)})
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
						j, err := claim(e.store, ref)
						if err == nil {
							_, err = e.store.Settle(context.Background(), store.Outcome{Job: j.JobRef, Verdict: store.Delivered, At: at(70)})
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
