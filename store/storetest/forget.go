package storetest

import (
	"bytes"
	"slices"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// phones are the numbers of the people in these tests.
var phones = map[string]string{"anna": "+919876500001", "ben": "+919876500002"}

func person(contact string, minute int) store.Forgetting {
	f := row("", 0, contact, fields{"phone": phones[contact]}).Fields[0]
	return store.Forgetting{Lane: lane(contact), Field: f, Number: phones[contact], Region: "IN", At: at(minute)}
}

func (e *env) forget(f store.Forgetting) store.Forgotten {
	e.Helper()
	got, err := e.s().Forget(f)
	e.must(err)
	return got
}

func forgottenIDs(f store.Forgotten) (out []string) {
	for _, c := range f.Calls {
		out = append(out, c.ID)
	}
	slices.Sort(out)
	return out
}

var forgetTests = []test{
	{"a person is erased from everything, and nobody else is", func(e *env) {
		anna, ben := fields{"phone": phones["anna"]}, fields{"phone": phones["ben"]}
		// Delivered, refused, awaited and waiting; and a row that nobody understands.
		e.live(0, 9, rowTo("a1", 1, "anna", anna, crm), rowTo("b1", 2, "ben", ben, crm))
		for _, h := range e.heads(crm) {
			e.deliver(h, func(o *store.Outcome) { o.Transcript = true; o.Refs = map[string]string{"contact": "remote-" + h.ID} })
		}
		e.live(9, 20, rowTo("a2", 11, "anna", anna, hook), rowTo("b2", 12, "ben", ben, hook))
		for _, h := range e.heads(hook) {
			e.attempt(h, store.Dead, failed(`098765 00001 is unknown`))
		}
		p := closed(20, 30, rowTo("a3", 21, "anna", anna, crm, crm2), rowTo("b3", 22, "ben", ben, crm, crm2))
		p.Broken = []store.Broken{{Key: "r1", Raw: []byte(`{"who":"+91-98765-00001"`), Err: "cut"}, {Key: "r2", Raw: []byte(`{"who":"+91-98765-00002"`), Err: "cut"}}
		p.Unfinished = []store.Unfinished{{ID: "a4", Body: body(anna)}, {ID: "b4", Body: body(ben)}}
		e.ingest(p)
		dry := person("anna", 40)
		dry.Dry = true
		would := e.forget(dry)
		got := e.forget(person("anna", 40))
		same(e, "what would be", forgottenIDs(would), forgottenIDs(got))
		same(e, "calls", forgottenIDs(got), []string{"a1", "a2", "a3", "a4"})
		equal(e, "what remains there", got.Calls[0].Dests[0].Refs["contact"], "remote-a1")
		equal(e, "jobs", got.Jobs, 2)
		equal(e, "letters", got.Letters, 1)
		equal(e, "rows", got.Rows, 1)
		equal(e, "watches", got.Watches, 2)
		s := e.stats()
		equal(e, "pending", s.Pending, 2)
		equal(e, "dead", s.Dead, 2)
		equal(e, "awaited", s.Transcripts+s.Unfinished, 2)
		for _, d := range s.Dests {
			if bytes.Contains([]byte(d.LastError), []byte("00001")) {
				e.Fatalf("%s still says %q", d.Name, d.LastError)
			}
		}
		for _, id := range []string{"a1", "a2", "a3", "a4"} {
			if l := e.life(id); len(l.Events) != 1 || len(l.Dests) != 0 || l.Body != nil {
				e.Fatalf("of %s there is still %+v", id, l)
			}
		}
		equal(e, "ben's", e.way("b1", crm).State, "delivered")
		same(e, "ben's jobs", e.headIDs(crm), []string{"b3"})
		again := e.forget(person("anna", 41))
		equal(e, "a second time", len(again.Calls)+again.Jobs+again.Receipts, 0)
	}},
	{"who was forgotten is not brought back, but a new call is new", func(e *env) {
		anna := fields{"phone": phones["anna"]}
		e.live(0, 9, rowTo("a1", 1, "anna", anna, crm))
		e.deliver(e.head(crm))
		e.forget(person("anna", 40))
		p := closed(9, 50, rowTo("a1", 1, "anna", fields{"name": "another"}, crm), rowTo("never seen", 5, "anna", anna, crm))
		p.Unfinished = []store.Unfinished{{ID: "a1", Body: body(anna)}}
		got := e.ingest(p)
		equal(e, "new", got.New+got.Changed+got.Queued+got.Late, 0)
		b, _, err := e.s().OpenBackfill("k", nil, at(0))
		e.must(err)
		equal(e, "by a backfill", e.ingest(backfillPage(b.ID, 51, rowTo("a1", 1, "anna", anna, crm), rowTo("long ago", -500, "anna", anna, crm))).Queued, 0)
		equal(e, "awaited", e.stats().Unfinished, 0)
		e.live(50, 60, rowTo("a9", 55, "anna", anna, crm))
		j := e.claim(e.head(crm))
		equal(e, "id", j.ID, "a9")
		equal(e, "older", j.Older, false)
	}},
	{"a call is forgotten by its id, and its contact's order stands", func(e *env) {
		e.live(0, 9, rowTo("1", 1, "a", nil, crm), rowTo("2", 5, "a", nil, crm))
		e.deliver(e.head(crm))
		e.deliver(e.head(crm), func(o *store.Outcome) { o.SetStatus = true })
		got := e.forget(store.Forgetting{IDs: []string{"2", "nobody"}, At: at(20)})
		same(e, "calls", forgottenIDs(got), []string{"2"})
		equal(e, "the other", e.way("1", crm).State, "delivered")
		equal(e, "again", e.live(9, 20, rowTo("2", 5, "a", fields{"name": "x"}, crm), rowTo("nobody", 6, "b", nil, crm)).New, 0)
		e.live(20, 30, rowTo("3", 3, "a", nil, crm))
		j := e.claim(e.head(crm))
		equal(e, "older", j.Older, true)
		equal(e, "older than the status", j.OlderStatus, true)
	}},
	{"what a backfill queued and was forgotten is nothing that it waits for", func(e *env) {
		b, _, err := e.s().OpenBackfill("k", nil, at(0))
		e.must(err)
		e.ingest(backfillPage(b.ID, 9, rowTo("1", 1, "a", nil, crm, crm2), rowTo("2", 2, "b", nil, crm)))
		e.saveBackfill(b.ID, store.BackfillChange{ReadDone: at(10)})
		e.attempt(e.head(crm2), store.Dead, failed("400"))
		e.forget(store.Forgetting{IDs: []string{"1"}, At: at(20)})
		e.deliver(e.head(crm))
		f := e.backfill(b.ID)
		equal(e, "pending", f.Pending(), 0)
		equal(e, "dead", f.Dead, 0)
	}},
	{"an attempt that was under way while its call was forgotten settles without effect", func(e *env) {
		e.live(0, 9, rowTo("1", 1, "a", nil, hook), rowTo("2", 2, "a", nil, hook))
		j := e.claim(e.head(hook))
		_, err := e.store.Forget(store.Forgetting{IDs: []string{"1"}, At: at(20)})
		e.must(err)
		s := e.settle(store.Outcome{Job: j.JobRef, Verdict: store.Delivered, At: at(30), Transcript: true, Refs: map[string]string{"x": "y"}})
		if s.Next == nil || s.Next.ID != "2" {
			e.Fatalf("the lane does not go on: %+v", s.Next)
		}
		equal(e, "awaited", e.stats().Transcripts, 0)
		equal(e, "ways", len(e.life("1").Dests), 0)
	}},
}
