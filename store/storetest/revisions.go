package storetest

import (
	"github.com/vinfer-sync/vinfer-sync/store"
)

func withRefs(refs map[string]string) func(*store.Outcome) {
	return func(o *store.Outcome) { o.Refs = refs }
}

func failed(text string) func(*store.Outcome) {
	return func(o *store.Outcome) { o.Error, o.Due = text, at(600) }
}

var revisionTests = []test{
	{"an unchanged row is nothing new", func(e *env) {
		r := row("1", 1, "a", fields{"name": "A"})
		e.live(0, 5, r)
		got := e.live(5, 6, r)
		equal(e, "new", got.New, 0)
		equal(e, "changed", got.Changed, 0)
		equal(e, "queued", got.Queued, 0)
		equal(e, "pending", e.stats().Pending, 3)
	}},
	{"a missing field is unknown, not a change", func(e *env) {
		e.live(0, 5, row("1", 1, "a", fields{"name": "A", "summary": "s"}))
		equal(e, "changed", e.live(5, 6, row("1", 1, "a", fields{"name": "A"})).Changed, 0)
		equal(e, "changed", e.live(6, 7, row("1", 1, "a", fields{"name": "B"})).Changed, 1)
		j := e.claim(e.head(crm))
		equal(e, "body: the summary is kept", string(j.Body), `{"name":"B","summary":"s"}`)
		equal(e, "and it still counts as known", e.live(7, 8, row("1", 1, "a", fields{"summary": "s"})).Changed, 0)
	}},
	{"a change replaces a job that was not attempted", func(e *env) {
		e.live(0, 5, row("1", 1, "a", fields{"name": "A"}))
		got := e.live(5, 6, row("1", 1, "a", fields{"name": "B", "disposition": "x"}))
		equal(e, "changed", got.Changed, 1)
		equal(e, "queued", got.Queued, 3)
		equal(e, "pending", e.stats().Pending, 3)
		for _, dest := range []string{crm, hook} {
			j := e.claim(e.head(dest))
			equal(e, "revision", j.Revision, 2)
			equal(e, "first", j.First, true)
			equal(e, "body", string(j.Body), `{"disposition":"x","name":"B"}`)
			same(e, "changed", j.Changed, []byte{tagDisposition, tagName})
			e.settle(store.Outcome{Job: j.JobRef, Verdict: store.Delivered, At: at(10)})
		}
	}},
	{"a replaced job that was scanned before is claimed as it is now", func(e *env) {
		e.live(0, 5, row("1", 1, "a", fields{"name": "A"}))
		ref := e.head(hook)
		e.live(5, 6, row("1", 1, "a", fields{"name": "B"}))
		equal(e, "revision", e.claim(ref).Revision, 2)
	}},
	{"a replacement stays released while its page's window is open", func(e *env) {
		e.live(0, 5, row("1", 1, "a", fields{"name": "A"}))
		e.ingest(page(6, row("1", 1, "a", fields{"name": "B"})))
		equal(e, "revision", e.head(crm).Revision, 2)
	}},
	{"a change of a delivered call is a new revision", func(e *env) {
		e.live(0, 5, row("1", 1, "a", fields{"name": "A"}))
		e.deliver(e.head(crm), withRefs(map[string]string{"contact": "7"}))
		e.live(5, 6, row("1", 1, "a", fields{"disposition": "x"}))
		j := e.claim(e.head(crm))
		equal(e, "revision", j.Revision, 2)
		equal(e, "first", j.First, false)
		equal(e, "refs", j.Refs["contact"], "7")
		same(e, "changed", j.Changed, []byte{tagDisposition})
	}},
	{"a new revision waits for its window", func(e *env) {
		e.live(0, 5, rowTo("1", 1, "a", fields{"name": "A"}, crm))
		e.deliver(e.head(crm))
		e.ingest(page(6, row("1", 1, "a", fields{"name": "B"})))
		same(e, "heads", e.headIDs(crm), nil)
		e.live(5, 6)
		same(e, "heads", e.headIDs(crm), []string{"1"})
	}},
	{"an attempted job is frozen at an append-only destination", func(e *env) {
		e.live(0, 5, row("1", 1, "a", fields{"name": "A", "disposition": "d"}))
		e.attempt(e.head(hook), store.Retry, failed("timeout"))
		e.attempt(e.head(crm), store.Retry, failed("timeout"))
		e.live(5, 6, row("1", 1, "a", fields{"name": "B"}))
		e.live(6, 7, row("1", 1, "a", fields{"summary": "s"}))
		equal(e, "elsewhere the newest goes", e.head(crm).Revision, 3)
		equal(e, "attempts stay", e.head(crm).Attempts, 1)
		j, s := e.deliver(e.head(hook))
		equal(e, "revision", j.Revision, 1)
		equal(e, "body", string(j.Body), `{"disposition":"d","name":"A"}`)
		equal(e, "first", j.First, true)
		if s.Next == nil || s.Next.Revision != 3 {
			e.Fatalf("next is %+v, want revision 3", s.Next)
		}
		j, _ = e.deliver(*s.Next)
		equal(e, "first", j.First, false)
		same(e, "changed", j.Changed, []byte{tagName, tagSummary})
		equal(e, "body", string(j.Body), `{"disposition":"d","name":"B","summary":"s"}`)
		equal(e, "pending", e.dest(hook).Pending, 0)
	}},
	{"a claimed job is frozen at an append-only destination", func(e *env) {
		e.live(0, 5, rowTo("1", 1, "a", fields{"name": "A"}, hook))
		j := e.claim(e.head(hook))
		_, err := e.store.Ingest(closed(5, 6, row("1", 1, "a", fields{"name": "B"})))
		e.must(err)
		s := e.settle(store.Outcome{Job: j.JobRef, Verdict: store.Delivered, At: at(7)})
		if s.Next == nil || s.Next.Revision != 2 {
			e.Fatalf("next is %+v, want revision 2", s.Next)
		}
		equal(e, "first", e.claim(*s.Next).First, false)
	}},
	{"a released claim freezes nothing", func(e *env) {
		e.live(0, 5, rowTo("1", 1, "a", fields{"name": "A"}, hook))
		e.attempt(e.head(hook), store.Release)
		e.live(5, 6, row("1", 1, "a", fields{"name": "B"}))
		h := e.head(hook)
		equal(e, "revision", h.Revision, 2)
		equal(e, "attempts", h.Attempts, 0)
	}},
	{"a claim that a crash cut short counts as an attempt and freezes", func(e *env) {
		e.live(0, 5, rowTo("1", 1, "a", fields{"name": "A"}, hook))
		e.claim(e.head(hook))
		e.again()
		h := e.head(hook)
		equal(e, "attempts", h.Attempts, 1)
		e.again()
		equal(e, "counted once", e.head(hook).Attempts, 1)
		e.live(5, 6, row("1", 1, "a", fields{"name": "B"}))
		equal(e, "pending", e.dest(hook).Pending, 2)
		equal(e, "body", string(e.claim(e.head(hook)).Body), `{"name":"A"}`)
	}},
	{"a job replaced in flight stays queued", func(e *env) {
		e.live(0, 5, rowTo("1", 1, "a", fields{"name": "A"}, crm))
		j := e.claim(e.head(crm))
		e.live(5, 6, row("1", 1, "a", fields{"name": "B"}))
		s := e.settle(store.Outcome{Job: j.JobRef, Verdict: store.Delivered, At: at(7), Refs: map[string]string{"contact": "7"}})
		if s.Next == nil || s.Next.Revision != 2 {
			e.Fatalf("next is %+v, want revision 2", s.Next)
		}
		j = e.claim(*s.Next)
		equal(e, "first", j.First, false)
		equal(e, "refs", j.Refs["contact"], "7")
		equal(e, "body", string(j.Body), `{"name":"B"}`)
		equal(e, "pending", e.dest(crm).Pending, 1)
		equal(e, "delivered", e.dest(crm).Delivered, int64(1))
	}},
	{"a job replaced in flight is not given up for what the older one was refused", func(e *env) {
		e.live(0, 5, rowTo("1", 1, "a", fields{"name": "A"}, crm))
		j := e.claim(e.head(crm))
		e.live(5, 6, row("1", 1, "a", fields{"name": "B"}))
		e.settle(store.Outcome{Job: j.JobRef, Verdict: store.Dead, At: at(7), Error: "bad name", Refs: map[string]string{"contact": "7"}})
		equal(e, "dead", len(e.letters(crm)), 0)
		j = e.claim(e.head(crm))
		equal(e, "revision", j.Revision, 2)
		equal(e, "first", j.First, true)
		equal(e, "refs", j.Refs["contact"], "7")
	}},
	{"a retry of a job replaced in flight waits all the same", func(e *env) {
		e.live(0, 5, rowTo("1", 1, "a", fields{"name": "A"}, crm))
		j := e.claim(e.head(crm))
		e.live(5, 6, row("1", 1, "a", fields{"name": "B"}))
		e.settle(store.Outcome{Job: j.JobRef, Verdict: store.Retry, At: at(7), Error: "503", Due: at(9)})
		h := e.head(crm)
		equal(e, "revision", h.Revision, 2)
		sameTime(e, "due", h.Due, at(9))
	}},
	{"the time of first sight stays", func(e *env) {
		e.live(0, 5, rowTo("1", 1, "a", fields{"name": "A"}, crm))
		e.live(5, 6, rowTo("1", 4, "a", fields{"name": "B"}, crm))
		sameTime(e, "when", e.head(crm).When, at(1))
	}},
	{"another number moves a job that waits alone", func(e *env) {
		e.live(0, 5, rowTo("1", 1, "a", fields{"name": "A"}, crm))
		e.live(5, 6, rowTo("1", 1, "b", fields{"name": "B"}, crm), rowTo("2", 5, "a", nil, crm))
		h := e.heads(crm)
		same(e, "heads", ids(h), []string{"1", "2"})
		equal(e, "lane", h[0].Lane, lane("b"))
	}},
	{"another number does not move an attempted job", func(e *env) {
		e.live(0, 5, rowTo("1", 1, "a", fields{"name": "A"}, crm))
		e.attempt(e.head(crm), store.Retry, failed("503"))
		e.live(5, 6, rowTo("1", 1, "b", fields{"name": "B"}, crm))
		equal(e, "lane", e.head(crm).Lane, lane("a"))
	}},
	{"a change reaches a target that skipped the call and does not any more", func(e *env) {
		r := rowTo("1", 1, "a", fields{"name": "A"}, crm, crm2)
		r.Targets[1].Skip = "no"
		e.live(0, 5, r)
		r.Targets[1].Skip = ""
		equal(e, "without a change", e.live(5, 6, r).Queued, 0)
		r = rowTo("1", 1, "a", fields{"name": "B"}, crm, crm2)
		equal(e, "with one", e.live(6, 7, r).Queued, 2)
		j := e.claim(e.head(crm2))
		equal(e, "first", j.First, true)
		equal(e, "revision", j.Revision, 2)
	}},
	{"a change reaches who had the call though it would be left out now", func(e *env) {
		e.live(0, 5, rowTo("1", 1, "a", fields{"name": "A"}, crm))
		e.deliver(e.head(crm))
		r := rowTo("1", 1, "a", fields{"name": "B"}, crm)
		r.Targets[0].Skip = "no"
		equal(e, "queued", e.live(5, 6, r).Queued, 1)
	}},
	{"a live row does not queue a known call for a destination that never had it", func(e *env) {
		e.live(0, 5, rowTo("1", 1, "a", fields{"name": "A"}, crm))
		got := e.live(5, 6, row("1", 1, "a", fields{"name": "B"}))
		same(e, "fresh", got.Fresh, []string{crm})
	}},
	{"a change after a dead letter carries what that would have brought", func(e *env) {
		e.live(0, 5, rowTo("1", 1, "a", fields{"name": "A", "summary": "s"}, crm))
		e.attempt(e.head(crm), store.Dead, failed("400"), withRefs(map[string]string{"contact": "7"}))
		e.live(5, 6, rowTo("1", 1, "a", fields{"name": "B"}, crm))
		j := e.claim(e.head(crm))
		equal(e, "first", j.First, true)
		equal(e, "body", string(j.Body), `{"name":"B","summary":"s"}`)
		equal(e, "refs", j.Refs["contact"], "7")
	}},
	{"the revision behind a frozen one that was refused is the first", func(e *env) {
		e.live(0, 5, rowTo("1", 1, "a", fields{"name": "A"}, hook))
		e.attempt(e.head(hook), store.Retry, failed("503"))
		e.live(5, 6, rowTo("1", 1, "a", fields{"name": "B"}, hook))
		e.attempt(e.head(hook), store.Dead, failed("400"))
		j := e.claim(e.head(hook))
		equal(e, "revision", j.Revision, 2)
		equal(e, "first", j.First, true)
	}},
	{"an orphaned destination gets no new revision", func(e *env) {
		e.live(0, 5, rowTo("1", 1, "a", fields{"name": "A"}, crm), rowTo("2", 2, "b", fields{"name": "A"}, crm))
		e.deliver(e.heads(crm)[0])
		_, err := e.register(specs[1:])
		e.must(err)
		e.live(5, 6, rowTo("1", 1, "a", fields{"name": "B"}), rowTo("2", 2, "b", fields{"name": "B"}))
		equal(e, "its job that waits is brought up to date", e.head(crm).Revision, 2)
		equal(e, "pending", e.dest(crm).Pending, 1)
	}},
	{"a gone job is claimed as nil", func(e *env) {
		e.live(0, 5, rowTo("1", 1, "a", nil, crm, hook))
		for _, dest := range []string{crm, hook} {
			ref := e.head(dest)
			e.deliver(ref)
			j, err := claim(e.s(), ref)
			e.must(err)
			if j != nil {
				e.Fatalf("a delivered job was claimed: %+v", j)
			}
		}
		_, err := claim(e.s(), store.JobRef{Dest: "nobody", ID: "1"})
		wantErr(e, err, store.ErrUnknown)
	}},
}
