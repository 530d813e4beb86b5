package storetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

var peopleTests = []test{
	{"a call's life tells its way", func(e *env) {
		e.live(0, 9, rowTo("1", 1, "a", fields{"name": "A"}, crm, crm2))
		e.deliver(e.head(crm))
		e.live(9, 10, rowTo("1", 1, "a", fields{"name": "B", "disposition": "x"}, crm, crm2))
		l := e.life("1")
		sameTime(e, "when", l.When, at(1))
		sameTime(e, "seen", l.FirstSeen, at(9))
		equal(e, "revision", l.Revision, 2)
		equal(e, "events", len(l.Events), 2)
		equal(e, "seen by", l.Events[0].What, "seen by live poll")
		equal(e, "changed", l.Events[1].What, "revision 2: disposition, name")
		sameTime(e, "changed", l.Events[1].At, at(10))
		equal(e, "body", string(l.Body), `{"disposition":"x","name":"B"}`)
		equal(e, "state", e.way("1", crm2).State, "pending")
		_, err := e.s().Life("nobody")
		wantErr(e, err, store.ErrUnknown)
	}},
	{"a call's life tells what it waits for", func(e *env) {
		e.ingest(page(9, rowTo("1", 1, "a", nil, crm), rowTo("2", 2, "a", nil, crm)))
		equal(e, "open window", e.way("1", crm).Waits, "the listing that showed it has not been read to its end")
		e.live(0, 9)
		equal(e, "its turn", e.way("1", crm).Waits, "")
		equal(e, "behind", e.way("2", crm).Waits, "call 1 of the same contact goes first")
		e.must(e.s().Hold(crm, store.Hold{Reason: "paused for maintenance", Operator: true, At: at(1)}))
		equal(e, "held", e.way("2", crm).Waits, "the destination is paused for maintenance")
		e.must(e.s().Hold(crm, store.Hold{}))
		e.attempt(e.head(crm), store.Dead, failed("400"))
		w := e.way("1", crm)
		equal(e, "dead", w.State, "dead")
		same(e, "letters", w.Letters, []uint64{e.letters(crm)[0].Num})
		_, err := e.s().EndDead(w.Letters, false)
		e.must(err)
		l := e.life("1")
		equal(e, "dropped", l.Events[len(l.Events)-1].What, "crm: an operator dropped its dead letter")
		equal(e, "letters", len(e.way("1", crm).Letters), 0)
	}},
	{"a call's life tells what is awaited", func(e *env) {
		e.watched()
		l := e.life("1")
		if l.Awaited == nil || l.Awaited.Kind != store.TranscriptWatch {
			e.Fatalf("awaited: %+v", l.Awaited)
		}
		equal(e, "transcript", e.way("1", crm).Transcript, "awaited")
		e.must(e.s().SettleWatch(store.TranscriptWatch, "1", store.Asked{Found: []byte("text"), At: at(502)}))
		equal(e, "transcript", e.way("1", crm).Transcript, "pending")
		p := page(600)
		p.Unfinished = []store.Unfinished{{ID: "u", Body: []byte("{}")}}
		e.ingest(p)
		if l = e.life("u"); l.Awaited == nil || l.Awaited.Kind != store.FinishWatch {
			e.Fatalf("awaited: %+v", l.Awaited)
		}
	}},
	{"a list of calls is narrowed by destination and state", func(e *env) {
		skipped := rowTo("2", 2, "b", nil, crm, crm2)
		skipped.Targets[1].Skip = "filter"
		e.live(0, 9, rowTo("1", 1, "a", nil, crm), skipped, rowTo("3", 3, "c", nil, crm))
		e.deliver(e.heads(crm)[0])
		list := func(q store.CallQuery) (out []string) {
			q.N = 10
			l, err := e.s().Calls(q)
			e.must(err)
			for _, x := range l {
				out = append(out, x.ID)
			}
			return out
		}
		same(e, "skipped", list(store.CallQuery{State: "skipped"}), []string{"2"})
		same(e, "pending at crm", list(store.CallQuery{Dest: crm, State: "pending"}), []string{"3", "2"})
		same(e, "of crm2", list(store.CallQuery{Dest: crm2}), []string{"2"})
		_, err := e.s().Calls(store.CallQuery{N: 1, Dest: "nobody"})
		wantErr(e, err, store.ErrUnknown)
	}},
	{"the content is gone when every destination has the call", func(e *env) {
		e.live(0, 9, rowTo("1", 1, "a", fields{"name": "A"}, crm, crm2))
		e.deliver(e.head(crm))
		if e.life("1").Body == nil {
			e.Fatal("the content is gone too early")
		}
		e.deliver(e.head(crm2))
		if e.life("1").Body != nil {
			e.Fatal("the content is still there")
		}
	}},
	{"very many changes of a call are bounded", func(e *env) {
		for i := range 100 {
			_, err := e.store.Ingest(page(i, rowTo("1", 1, "a", fields{"name": fmt.Sprint(i)}, crm)))
			e.must(err)
		}
		l := e.life("1")
		equal(e, "revision", l.Revision, 100)
		if len(l.Events) > 64 || !strings.HasPrefix(l.Events[0].What, "seen") || !strings.HasPrefix(l.Events[len(l.Events)-1].What, "revision 100") {
			e.Fatalf("%d events from %q to %q", len(l.Events), l.Events[0].What, l.Events[len(l.Events)-1].What)
		}
	}},
	{"the last calls seen are listed, newest first", func(e *env) {
		for i := range 5 {
			e.live(i, i+1, rowTo(fmt.Sprint(i), i, "a", nil, crm))
		}
		e.deliver(e.head(crm))
		l, err := e.s().Calls(store.CallQuery{N: 3})
		e.must(err)
		equal(e, "count", len(l), 3)
		equal(e, "newest", l[0].ID, "4")
		sameTime(e, "when", l[0].When, at(4))
		sameTime(e, "seen", l[0].FirstSeen, at(5))
		l, err = e.s().Calls(store.CallQuery{N: 99})
		e.must(err)
		equal(e, "all", len(l), 5)
		equal(e, "state", l[4].Dests[0].State, "delivered")
		equal(e, "state", l[0].Dests[0].State, "pending")
	}},
	{"receipts are pruned by first sight, the call is still recognised", func(e *env) {
		e.live(0, 9, rowTo("1", 1, "a", fields{"name": "A"}, crm))
		e.deliver(e.head(crm))
		e.live(9, 100, rowTo("2", 50, "b", nil, crm))
		e.prune(at(50), base.AddDate(-1, 0, 0))
		l := e.life("1")
		equal(e, "events", len(l.Events), 0)
		equal(e, "events of the other", len(e.life("2").Events), 1)
		equal(e, "known", e.live(100, 101, rowTo("1", 1, "a", fields{"name": "A"}, crm)).New, 0)
		e.live(101, 102, rowTo("1", 1, "a", fields{"name": "B"}, crm))
		for _, h := range e.heads(crm) {
			if h.ID == "1" {
				equal(e, "it was delivered once", e.claim(h).First, false)
			}
		}
	}},
	{"ids are forgotten by last sight, not by the call's date", func(e *env) {
		const day = 24 * 60
		b, _, err := e.s().OpenBackfill("k", nil, at(0))
		e.must(err)
		e.ingest(backfillPage(b.ID, 300*day, rowTo("old", -500*day, "a", nil, crm)))
		e.live(0, 1, rowTo("seen once", 1, "b", nil, crm), rowTo("seen again", 1, "c", nil, crm))
		e.live(1, 300*day, rowTo("seen again", 1, "c", nil, crm))
		e.prune(base, at(200*day))
		got := e.live(300*day, 300*day+1, rowTo("seen once", 1, "b", nil, crm), rowTo("seen again", 1, "c", nil, crm), rowTo("old", -500*day, "a", nil, crm))
		equal(e, "new", got.New, 1)
		equal(e, "the job that waits is not doubled", e.dest(crm).Pending, 3)
	}},
	{"a clock that goes back makes nobody forgotten", func(e *env) {
		const day = 24 * 60
		e.live(0, 300*day, rowTo("1", 1, "a", fields{"name": "A"}, crm))
		e.live(300*day, 2, rowTo("1", 1, "a", fields{"name": "B"}, crm))
		e.prune(base, at(200*day))
		got := e.live(0, 3, rowTo("1", 1, "a", fields{"name": "B"}, crm))
		equal(e, "new", got.New, 0)
		equal(e, "changed", got.Changed, 0)
	}},
	{"dead letters are never pruned", func(e *env) {
		e.killed(3)
		e.prune(at(9999999), at(9999999))
		l := e.letters(crm)
		equal(e, "letters", len(l), 3)
		_, err := e.s().EndDead([]uint64{l[0].Num}, true)
		e.must(err)
		j, _ := e.deliver(e.head(crm))
		equal(e, "first", j.First, true)
	}},
	{"jobs and watches outlive the pruning of all else", func(e *env) {
		e.watched()
		e.live(9, 20, rowTo("2", 10, "b", fields{"name": "A"}, crm, hook))
		e.prune(at(9999999), at(9999999))
		e.must(e.s().SettleWatch(store.TranscriptWatch, "1", store.Asked{Found: []byte("text"), At: at(502)}))
		equal(e, "heads", len(e.heads(crm)), 2)
		for _, h := range append(e.heads(crm), e.heads(hook)...) {
			e.deliver(h)
		}
		equal(e, "pending", e.stats().Pending, 0)
	}},
	{"stats sum up", func(e *env) {
		e.live(0, 9, row("1", 1, "a", nil), rowTo("2", 2, "b", nil, crm))
		e.attempt(e.heads(crm)[1], store.Dead, failed("400"))
		s := e.stats()
		equal(e, "pending", s.Pending, 3)
		equal(e, "dead", s.Dead, 1)
		equal(e, "dests", len(s.Dests), 3)
		sameTime(e, "watermark", s.Watermark, at(9))
	}},
}

func (e *env) prune(receipts, ledger time.Time) {
	e.Helper()
	for {
		more, err := e.s().Prune(receipts, ledger)
		e.must(err)
		if !more {
			return
		}
	}
}
