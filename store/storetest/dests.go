package storetest

import (
	"fmt"

	"github.com/vinfer-sync/vinfer-sync/store"
)

func find(e *env, all []store.Dest, name string) store.Dest {
	e.Helper()
	for _, d := range all {
		if d.Name == name {
			return d
		}
	}
	e.Fatalf("no destination %s", name)
	return store.Dest{}
}

var destTests = []test{
	{"the first destinations of a store are not new", func(e *env) {
		all, err := e.register(specs)
		e.must(err)
		equal(e, "count", len(all), 3)
		for i, d := range all {
			equal(e, "spec", d.DestSpec, specs[i])
			equal(e, "new", d.New, false)
			equal(e, "orphaned", d.Orphaned, false)
			if d.Since.IsZero() {
				e.Fatal("no since")
			}
		}
	}},
	{"one added later is new once", func(e *env) {
		more := append(specs[:3:3], store.DestSpec{Name: "late", Kind: "jsonl"})
		all, err := e.register(more)
		e.must(err)
		equal(e, "new", find(e, all, "late").New, true)
		equal(e, "known", find(e, all, crm).New, false)
		all, err = e.register(more)
		e.must(err)
		equal(e, "again", find(e, all, "late").New, false)
	}},
	{"one that left is orphaned and keeps its jobs", func(e *env) {
		e.live(0, 9, row("1", 1, "a", nil))
		all, err := e.register(specs[1:])
		e.must(err)
		d := find(e, all, crm)
		equal(e, "orphaned", d.Orphaned, true)
		equal(e, "pending", d.Pending, 1)
		all, err = e.register(specs)
		e.must(err)
		equal(e, "back", find(e, all, crm).Orphaned, false)
		same(e, "heads", e.headIDs(crm), []string{"1"})
	}},
	{"a pause outlives new credentials, resume lifts it together with a halt", func(e *env) {
		wantErr(e, e.s().Hold("nobody", store.Hold{Reason: "x", Operator: true, At: at(1)}), store.ErrUnknown)
		e.must(e.s().Hold(crm, store.Hold{Reason: "maintenance", Operator: true, At: at(1)}))
		e.must(e.s().Hold(crm, store.Hold{Reason: "401", At: at(2)}))
		d := e.dest(crm)
		equal(e, "paused", d.Paused, "maintenance")
		sameTime(e, "paused at", d.PausedAt, at(1))
		equal(e, "held", d.Held(), "maintenance; and it was halted: 401")
		fresh := append(specs[:0:0], specs...)
		fresh[0].Fingerprint = "another"
		all, err := e.register(fresh)
		e.must(err)
		equal(e, "halted", find(e, all, crm).Halted, "")
		equal(e, "held", find(e, all, crm).Held(), "maintenance")
		e.must(e.s().Hold(crm, store.Hold{Reason: "401", At: at(3)}))
		e.must(e.s().Hold(crm, store.Hold{}))
		equal(e, "resumed", e.dest(crm).Held(), "")
		equal(e, "the others", e.dest(crm2).Held(), "")
	}},
	{"a known name with another kind is an error, and nothing is changed", func(e *env) {
		bad := append([]store.DestSpec{{Name: "late", Kind: "jsonl"}}, specs...)
		bad[1].Kind = "salesforce"
		_, err := e.register(bad)
		wantErr(e, err, nil)
		equal(e, "count", len(e.stats().Dests), 3)
	}},
	{"one name twice is an error", func(e *env) {
		_, err := e.register(append(specs[:3:3], specs[0]))
		wantErr(e, err, nil)
	}},
	{"a halt is kept until resumed", func(e *env) {
		e.must(e.s().Hold(crm, store.Hold{Reason: "401", At: at(3)}))
		d := e.dest(crm)
		equal(e, "halted", d.Halted, "401")
		sameTime(e, "at", d.HaltedAt, at(3))
		equal(e, "others go on", e.dest(crm2).Halted, "")
		_, err := e.register(specs)
		e.must(err)
		equal(e, "still", e.dest(crm).Halted, "401")
		e.must(e.s().Hold(crm, store.Hold{}))
		equal(e, "resumed", e.dest(crm).Halted, "")
		wantErr(e, e.s().Hold("nobody", store.Hold{Reason: "x", At: at(1)}), store.ErrUnknown)
		wantErr(e, e.s().Hold("nobody", store.Hold{}), store.ErrUnknown)
	}},
	{"another fingerprint lifts a halt", func(e *env) {
		e.must(e.s().Hold(crm, store.Hold{Reason: "401", At: at(3)}))
		changed := append([]store.DestSpec{}, specs...)
		changed[0].Fingerprint = "new key"
		all, err := e.register(changed)
		e.must(err)
		equal(e, "lifted", find(e, all, crm).Halted, "")
	}},
	{"resuming begins the count of rejections anew", func(e *env) {
		e.live(0, 20, e.contacts(14)...)
		for i, ref := range e.heads(crm) {
			if i == 7 {
				e.must(e.s().Hold(crm, store.Hold{}))
			}
			equal(e, "halted", e.attempt(ref, store.Dead, reject("x")).Halted, "")
		}
	}},
}

var watchTests = []test{
	{"a delivery may ask for the transcript, of all destinations once", func(e *env) {
		e.live(0, 9, row("1", 1, "a", fields{"name": "A"}))
		ask := func(o *store.Outcome) { o.Transcript = true }
		e.deliver(e.head(crm), ask)
		e.deliver(e.head(hook), ask)
		equal(e, "waiting", e.stats().Transcripts, 1)
		due, next, err := e.s().DueWatches(store.TranscriptWatch, at(501), 10)
		e.must(err)
		equal(e, "due", len(due), 1)
		equal(e, "next", next.IsZero(), true)
		w := due[0]
		equal(e, "id", w.ID, "1")
		equal(e, "body", string(w.Body), `{"name":"A"}`)
		same(e, "for", w.Dests, []string{crm, hook})
		equal(e, "not yet asked", w.Since.IsZero(), true)
		equal(e, "the call's content is kept", string(e.life("1").Body), `{"name":"A"}`)
	}},
	{"the longest due watch comes first, and the next one's time is told", func(e *env) {
		for i := range 5 {
			e.live(i, i+1, rowTo(fmt.Sprint(i), i, fmt.Sprint(i), nil, crm))
			e.deliver(e.head(crm), func(o *store.Outcome) { o.Transcript, o.At = true, at(100-i) })
		}
		due, next, err := e.s().DueWatches(store.TranscriptWatch, at(98), 2)
		e.must(err)
		equal(e, "count", len(due), 2)
		equal(e, "first", due[0].ID, "4")
		equal(e, "second", due[1].ID, "3")
		sameTime(e, "next", next, at(98))
		_, next, err = e.s().DueWatches(store.TranscriptWatch, at(98), 10)
		e.must(err)
		sameTime(e, "next", next, at(99))
		due, _, err = e.s().DueWatches(store.FinishWatch, at(999), 10)
		e.must(err)
		equal(e, "other kind", len(due), 0)
	}},
	{"a watch is put off", func(e *env) {
		w := e.watched()
		w.Since, w.Attempts, w.Due, w.Note = at(501), 2, at(520), []byte("job 5")
		e.must(e.s().SettleWatch(w.Kind, w.ID, store.Asked{Again: &w}))
		due, next, err := e.s().DueWatches(store.TranscriptWatch, at(519), 9)
		e.must(err)
		equal(e, "due", len(due), 0)
		sameTime(e, "next", next, at(520))
		due, _, err = e.s().DueWatches(store.TranscriptWatch, at(520), 9)
		e.must(err)
		sameTime(e, "since", due[0].Since, at(501))
		equal(e, "attempts", due[0].Attempts, 2)
		equal(e, "note", string(due[0].Note), "job 5")
		same(e, "for", due[0].Dests, []string{crm})
	}},
	{"a transcript is queued for who waits for it, behind the calls of its time", func(e *env) {
		w := e.watched()
		e.must(e.s().SettleWatch(store.TranscriptWatch, w.ID, store.Asked{Found: []byte("text"), At: at(502)}))
		equal(e, "waiting", e.stats().Transcripts, 0)
		h := e.head(crm)
		equal(e, "kind", h.Kind, store.TranscriptJob)
		j := e.claim(h)
		equal(e, "body", string(j.Body), "text")
		equal(e, "refs of the call", j.Refs["contact"], "7")
		equal(e, "first", j.First, false)
		e.settle(store.Outcome{Job: j.JobRef, Verdict: store.Delivered, At: at(503), Refs: map[string]string{"note": "9"}})
		wy := e.way("1", crm)
		equal(e, "state", wy.State, "delivered")
		equal(e, "refs", len(wy.Refs), 2)
		if e.life("1").Body != nil {
			e.Fatal("the content is still there")
		}
		e.must(e.s().SettleWatch(store.TranscriptWatch, w.ID, store.Asked{Found: []byte("text"), At: at(502)}))
		same(e, "a watch that has ended attaches nothing", e.headIDs(crm), nil)
	}},
	{"a transcript is asked for once", func(e *env) {
		w := e.watched()
		e.must(e.s().SettleWatch(store.TranscriptWatch, w.ID, store.Asked{Found: []byte("text"), At: at(502)}))
		e.deliver(e.head(crm))
		e.live(9, 10, rowTo("1", 1, "a", fields{"name": "B"}, crm))
		e.deliver(e.head(crm), func(o *store.Outcome) { o.Transcript = true })
		equal(e, "waiting", e.stats().Transcripts, 0)
	}},
	{"a dropped watch says why in the call's life", func(e *env) {
		w := e.watched()
		e.must(e.s().SettleWatch(w.Kind, w.ID, store.Asked{GivenUp: "no transcript after 24h", At: at(503)}))
		equal(e, "waiting", e.stats().Transcripts, 0)
		ev := e.life("1").Events
		equal(e, "event", ev[len(ev)-1].What, "no transcript after 24h")
		e.must(e.s().SettleWatch(w.Kind, w.ID, store.Asked{GivenUp: "again", At: at(503)}))
		e.must(e.s().SettleWatch(w.Kind, w.ID, store.Asked{Again: &w}))
		equal(e, "gone", e.stats().Transcripts, 0)
	}},
	{"what is watched is brought up to date", func(e *env) {
		e.watched()
		e.live(9, 10, rowTo("1", 1, "a", fields{"summary": "s"}, crm))
		due, _, err := e.s().DueWatches(store.TranscriptWatch, at(501), 9)
		e.must(err)
		equal(e, "body", string(due[0].Body), `{"name":"A","summary":"s"}`)
	}},
	{"a call in progress is watched until it has ended", func(e *env) {
		p := closed(0, 5)
		p.Unfinished = []store.Unfinished{{ID: "1", Body: body(fields{"name": "A"})}}
		equal(e, "new", e.ingest(p).New, 0)
		equal(e, "waiting", e.stats().Unfinished, 1)
		due, _, err := e.s().DueWatches(store.FinishWatch, at(5), 9)
		e.must(err)
		equal(e, "due at once", len(due), 1)
		w := due[0]
		w.Due, w.Attempts = at(20), 1
		e.must(e.s().SettleWatch(w.Kind, w.ID, store.Asked{Again: &w}))
		p = closed(5, 6)
		p.Unfinished = []store.Unfinished{{ID: "1", Body: body(fields{"summary": "s"})}}
		e.ingest(p)
		due, next, err := e.s().DueWatches(store.FinishWatch, at(6), 9)
		e.must(err)
		equal(e, "kept", len(due), 0)
		sameTime(e, "next", next, at(20))
		due, _, err = e.s().DueWatches(store.FinishWatch, at(20), 9)
		e.must(err)
		equal(e, "body", string(due[0].Body), `{"name":"A","summary":"s"}`)
		equal(e, "its life so far", string(e.life("1").Body), string(due[0].Body))
		got := e.live(6, 7, row("1", 2, "a", nil))
		equal(e, "new", got.New, 1)
		equal(e, "a call that was followed is not late", got.Late, 0)
		equal(e, "waiting", e.stats().Unfinished, 0)
		p.Close = &store.Interval{From: at(7), To: at(8)}
		e.ingest(p)
		equal(e, "known to have ended", e.stats().Unfinished, 0)
	}},
	{"a followed call is taken though it ended below the first cursor", func(e *env) {
		p := closed(0, 5)
		p.Unfinished = []store.Unfinished{{ID: "1"}}
		e.ingest(p)
		p = page(6, row("1", -1, "a", nil))
		p.Stream = store.FollowStream
		equal(e, "new", e.ingest(p).New, 1)
		equal(e, "waiting", e.stats().Unfinished, 0)
	}},
}

// watched delivers a call that asks for its transcript.
func (e *env) watched() store.Watch {
	e.Helper()
	e.live(0, 9, rowTo("1", 1, "a", fields{"name": "A"}, crm))
	e.deliver(e.head(crm), withRefs(map[string]string{"contact": "7"}), func(o *store.Outcome) { o.Transcript = true })
	due, _, err := e.s().DueWatches(store.TranscriptWatch, at(501), 9)
	e.must(err)
	equal(e, "due", len(due), 1)
	return due[0]
}
