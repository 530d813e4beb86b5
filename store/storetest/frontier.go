package storetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

var frontierTests = []test{
	{"init fixes the first cursor once", func(e *env) {
		s, err := e.s().Begin(at(99), specs)
		e.must(err)
		sameTime(e, "first", s.First, base)
		sameTime(e, "watermark", s.Watermark, base)
	}},
	{"the watermark is what was read without a gap", func(e *env) {
		e.live(0, 10)
		sameTime(e, "watermark", e.stats().Watermark, at(10))
		e.live(20, 30)
		sameTime(e, "behind a gap", e.stats().Watermark, at(10))
		equal(e, "intervals", len(e.stats().Read), 2)
		e.live(5, 20)
		sameTime(e, "gap filled", e.stats().Watermark, at(30))
		equal(e, "intervals", len(e.stats().Read), 1)
	}},
	{"marks are rounded so that nothing unread counts as read", func(e *env) {
		p := page(10)
		p.Close = &store.Interval{From: at(0), To: at(10).Add(900 * time.Millisecond)}
		e.ingest(p)
		sameTime(e, "watermark", e.stats().Watermark, at(10))
		p.Close = &store.Interval{From: at(10).Add(time.Millisecond), To: at(11)}
		e.ingest(p)
		sameTime(e, "a millisecond was not read", e.stats().Watermark, at(10))
	}},
	{"only the live stream moves the watermark", func(e *env) {
		b, _, err := e.s().OpenBackfill("k", nil, at(1))
		e.must(err)
		p := backfillPage(b.ID, 10)
		p.Close = &store.Interval{From: at(0), To: at(10)}
		e.ingest(p)
		p = page(10)
		p.Stream, p.Close = store.FollowStream, &store.Interval{From: at(0), To: at(10)}
		e.ingest(p)
		sameTime(e, "watermark", e.stats().Watermark, base)
	}},
	{"setting the cursor forwards skips", func(e *env) {
		e.live(0, 10)
		e.must(e.s().SetCursor(at(50)))
		sameTime(e, "watermark", e.stats().Watermark, at(50))
		sameTime(e, "first", e.stats().First, base)
	}},
	{"setting the cursor forwards skips a gap", func(e *env) {
		e.live(0, 10)
		e.live(20, 30)
		e.must(e.s().SetCursor(at(15)))
		sameTime(e, "watermark", e.stats().Watermark, at(15))
		e.must(e.s().SetCursor(at(25)))
		sameTime(e, "watermark", e.stats().Watermark, at(30))
	}},
	{"setting the cursor backwards reads again", func(e *env) {
		e.live(0, 50)
		e.must(e.s().SetCursor(at(20)))
		sameTime(e, "watermark", e.stats().Watermark, at(20))
		e.live(20, 60)
		sameTime(e, "read again", e.stats().Watermark, at(60))
	}},
	{"setting the cursor before the first one lowers that", func(e *env) {
		e.live(0, 50)
		e.must(e.s().SetCursor(at(-20)))
		sameTime(e, "first", e.stats().First, at(-20))
		sameTime(e, "watermark", e.stats().Watermark, at(-20))
		got := e.live(-20, 50, row("old", -10, "a", nil))
		equal(e, "taken now", got.New, 1)
	}},
	{"settings are kept", func(e *env) {
		v, err := e.s().Setting("x")
		e.must(err)
		if v != nil {
			e.Fatalf("a setting that nobody made: %q", v)
		}
		e.must(e.s().PutSetting("x", []byte("one")))
		e.must(e.s().PutSetting("x", []byte("two")))
		e.must(e.s().PutSetting("empty", []byte{}))
		v, err = e.s().Setting("x")
		e.must(err)
		equal(e, "setting", string(v), "two")
		v, err = e.s().Setting("empty")
		e.must(err)
		if v == nil {
			e.Fatal("an empty setting is none")
		}
	}},
	{"the salt stays", func(e *env) {
		one := e.stats().Salt
		e.again()
		if len(one) < 16 || !bytes.Equal(one, e.stats().Salt) {
			e.Fatal("the salt changed, or is too short")
		}
	}},
	{"the last run is a setting", func(e *env) {
		equal(e, "before the first", e.stats().LastRun, store.Run{})
		run := store.Run{At: at(2), Took: time.Minute, Fetched: 5, New: 4, Delivered: 3, Error: "no route", LastSuccess: at(1)}
		b, err := json.Marshal(run)
		e.must(err)
		e.must(e.s().PutSetting(store.RunSetting, b))
		equal(e, "run", e.stats().LastRun, run)
	}},
	{"the audit's mark is a setting", func(e *env) {
		e.must(e.s().PutSetting(store.AuditedSetting, []byte(at(7).Format(time.RFC3339))))
		sameTime(e, "audited", e.stats().AuditedUntil, at(7))
	}},
}

var windowTests = []test{
	{"an unknown row is queued for its targets", func(e *env) {
		got := e.ingest(page(5, row("1", 1, "a", fields{"name": "A"}), rowTo("2", 2, "b", nil, crm)))
		equal(e, "new", got.New, 2)
		equal(e, "queued", got.Queued, 4)
		same(e, "fresh", got.Fresh, []string{crm, crm2, hook})
		equal(e, "pending", e.stats().Pending, 4)
		equal(e, "pending at crm", e.dest(crm).Pending, 2)
	}},
	{"no row is released before its window is closed", func(e *env) {
		e.ingest(page(5, row("1", 1, "a", nil)))
		same(e, "heads", e.headIDs(crm), nil)
		e.ingest(page(5, row("2", 2, "b", nil)))
		same(e, "heads", e.headIDs(crm), nil)
		e.live(0, 5, row("3", 3, "c", nil))
		same(e, "heads", e.headIDs(crm), []string{"1", "2", "3"})
	}},
	{"rows stored before a crash are released by reading the gap again", func(e *env) {
		e.ingest(page(5, row("1", 1, "a", nil)))
		e.again()
		got := e.live(0, 5, row("1", 1, "a", nil), row("2", 2, "b", nil))
		equal(e, "new", got.New, 1)
		same(e, "heads", e.headIDs(crm), []string{"1", "2"})
	}},
	{"a closed window does not release another stream's", func(e *env) {
		b, _, err := e.s().OpenBackfill("k", nil, at(1))
		e.must(err)
		e.ingest(backfillPage(b.ID, 5, row("old", -5, "a", nil)))
		e.live(0, 5, row("1", 1, "b", nil))
		same(e, "heads", e.headIDs(crm), []string{"1"})
		p := backfillPage(b.ID, 5)
		p.Close = &store.Interval{}
		e.ingest(page(5, row("2", 2, "c", nil)))
		e.ingest(p)
		same(e, "heads", e.headIDs(crm), []string{"1", "old"})
	}},
	{"held rows wait for the next window", func(e *env) {
		held := row("2", 6, "a", nil)
		held.Hold = true
		e.live(0, 5, row("1", 1, "b", nil), held)
		same(e, "heads", e.headIDs(crm), []string{"1"})
		e.ingest(page(8, row("3", 7, "a", nil)))
		same(e, "heads", e.headIDs(crm), []string{"1"})
		e.live(5, 8)
		same(e, "heads", e.headIDs(crm), []string{"1", "2"})
	}},
	{"a held row of a window that failed waits for the one after", func(e *env) {
		held := row("2", 6, "a", nil)
		held.Hold = true
		e.ingest(page(5, held))
		e.live(0, 5, row("1", 1, "b", nil))
		same(e, "heads", e.headIDs(crm), []string{"1"})
		e.live(5, 8)
		same(e, "heads", e.headIDs(crm), []string{"1", "2"})
	}},
	{"an unreleased job does not hold up a released one of its lane", func(e *env) {
		e.live(0, 5, row("2", 4, "a", nil))
		e.ingest(page(8, row("1", 2, "a", nil)))
		same(e, "heads", e.headIDs(crm), []string{"2"})
		e.live(5, 8)
		same(e, "once both are released the earlier comes first", e.headIDs(crm), []string{"1"})
	}},
	{"what is followed by id is released at once", func(e *env) {
		p := page(5, row("1", 1, "a", nil))
		p.Stream = store.FollowStream
		equal(e, "late", e.ingest(p).Late, 0)
		same(e, "heads", e.headIDs(crm), []string{"1"})
	}},
	{"a row below the first cursor is left out", func(e *env) {
		got := e.live(0, 5, row("old", -1, "a", nil), row("edge", 0, "b", nil))
		equal(e, "new", got.New, 1)
		same(e, "heads", e.headIDs(crm), []string{"edge"})
		if _, err := e.s().Life("old"); err == nil {
			e.Fatal("a call below the first cursor is known")
		}
	}},
	{"a known row below the first cursor is not left out", func(e *env) {
		b, _, err := e.s().OpenBackfill("k", nil, at(1))
		e.must(err)
		e.ingest(backfillPage(b.ID, 5, row("old", -5, "a", fields{"name": "A"})))
		got := e.live(0, 5, row("old", -5, "a", fields{"name": "B"}))
		equal(e, "changed", got.Changed, 1)
	}},
	{"a new id behind the watermark is late, and counted", func(e *env) {
		e.live(0, 10, row("1", 5, "a", nil))
		got := e.live(10, 20, row("2", 7, "a", nil), row("3", 15, "b", nil), row("1", 5, "a", nil))
		equal(e, "late", got.Late, 1)
		equal(e, "late found", e.stats().LateFound, int64(1))
	}},
	{"what ended just before a poll, and is shown to the next, is not late", func(e *env) {
		e.live(0, 10)
		before := func(id string, d time.Duration) store.Row {
			r := row(id, 10, id, nil)
			r.When = at(10).Add(-d)
			return r
		}
		got := e.live(10, 20, before("1s", time.Second), before("5s", 5*time.Second), before("6s", 6*time.Second))
		equal(e, "new", got.New, 3)
		equal(e, "late", got.Late, 1)
		equal(e, "late found", e.stats().LateFound, int64(1))
		p := page(30, before("7s", 4*time.Second))
		p.Stream, p.Reach = store.AuditStream, at(10)
		equal(e, "late, where an audit finds it", e.ingest(p).Late, 1)
	}},
	{"what is late is kept by who found it, how late it was, and by name if the polls did not find it", func(e *env) {
		e.live(0, 100, row("1", 5, "a", nil))
		e.live(100, 110, row("poll", 90, "a", nil), row("edge", 100, "b", nil))
		sweep := page(120, row("sweep", 50, "c", nil), row("near", 95, "d", nil), row("1", 5, "a", nil))
		sweep.Stream, sweep.Reach, sweep.Close = store.SweepStream, at(95), &store.Interval{From: at(0), To: at(60)}
		equal(e, "late", e.ingest(sweep).Late, 2)
		audit := page(500, row("audit", 20, "e", nil), row("sweep", 50, "c", nil))
		audit.Stream, audit.Close = store.AuditStream, &store.Interval{From: at(0), To: at(60)}
		equal(e, "late", e.ingest(audit).Late, 1)
		equal(e, "late found", e.stats().LateFound, int64(4))
		sums := map[string]store.Lateness{}
		for _, l := range e.stats().Lateness {
			sums[l.By] = l
		}
		equal(e, "by polls", sums[store.LiveStream].Found, int64(2))
		equal(e, "by the sweep", sums[store.SweepStream].Found, int64(1))
		equal(e, "by the audit", sums[store.AuditStream].Found, int64(1))
		equal(e, "how late", sums[store.AuditStream].Most, at(500).Sub(at(20)))
		sameTime(e, "last", sums[store.SweepStream].Last, at(120))
		calls := e.stats().Late
		equal(e, "by name", len(calls), 2)
		equal(e, "first", calls[0].ID, "sweep")
		sameTime(e, "its end", calls[1].When, at(20))
		same(e, "released", e.headIDs(crm), []string{"1", "audit", "sweep", "near", "edge"})
		sameTime(e, "a sweep moves no cursor", e.stats().Watermark, at(110))
	}},
	{"what the cursor skipped is left out by all but a backfill", func(e *env) {
		e.live(0, 10)
		e.must(e.s().SetCursor(at(50)))
		e.ingest(closed(50, 60, row("edge", 10, "a", nil), row("skipped", 11, "b", nil), row("last", 50, "c", nil), row("next", 51, "d", nil)))
		audit := page(500, row("skipped", 11, "b", nil))
		audit.Stream, audit.Close = store.AuditStream, &store.Interval{From: at(0), To: at(60)}
		equal(e, "new", e.ingest(audit).New, 0)
		same(e, "heads", e.headIDs(crm), []string{"edge", "next"})
		e.must(e.s().SetCursor(at(30)))
		e.ingest(closed(30, 60, row("skipped", 11, "b", nil), row("last", 50, "c", nil)))
		same(e, "after it was set back", e.headIDs(crm), []string{"edge", "last", "next"})
		b, _, err := e.s().OpenBackfill("k", nil, at(1))
		e.must(err)
		equal(e, "by a backfill", e.ingest(backfillPage(b.ID, 70, row("skipped", 11, "b", nil))).New, 1)
	}},
	{"what is owed of a range is counted", func(e *env) {
		e.live(0, 100, row("1", 10, "a", nil), row("2", 20, "b", nil), row("3", 30, "c", nil))
		e.ingest(func() store.Page {
			b, _, err := e.s().OpenBackfill("k", nil, at(1))
			e.must(err)
			return backfillPage(b.ID, 70, row("old", 15, "d", nil))
		}())
		owed, err := e.s().Owed(at(10), at(20))
		e.must(err)
		equal(e, "destinations", len(owed), 3)
		equal(e, "owed", owed[0].Pending, 2)
		none, err := e.s().Owed(at(30), at(100))
		e.must(err)
		equal(e, "nothing owed", len(none), 0)
	}},
	{"a row that comes twice is one call", func(e *env) {
		got := e.live(0, 5, row("1", 1, "a", nil), row("1", 1, "a", nil))
		equal(e, "new", got.New, 1)
		equal(e, "pending", e.stats().Pending, 3)
	}},
	{"a target that is skipped gets nothing, and why is kept", func(e *env) {
		r := row("1", 1, "a", nil)
		r.Targets[1].Skip = "not wanted"
		got := e.live(0, 5, r)
		equal(e, "queued", got.Queued, 2)
		w := e.way("1", crm2)
		equal(e, "state", w.State, "skipped")
		equal(e, "reason", w.Error, "not wanted")
	}},
	{"an unknown destination fails the page as a whole", func(e *env) {
		_, err := e.s().Ingest(closed(0, 5, row("1", 1, "a", nil), rowTo("2", 2, "b", nil, "nobody")))
		wantErr(e, err, store.ErrUnknown)
		equal(e, "pending", e.stats().Pending, 0)
		sameTime(e, "watermark", e.stats().Watermark, base)
		equal(e, "new", e.live(0, 5, row("1", 1, "a", nil)).New, 1)
	}},
	{"nonsense dates and ids fail no page", func(e *env) {
		far, odd := row("far", 1, "a", nil), row("odd\x00id\xff", 2, "b", nil)
		far.When = time.Date(99999, 1, 1, 0, 0, 0, 0, time.UTC)
		long := row(string(bytes.Repeat([]byte("x"), 100_000)), 3, "c", nil)
		e.live(0, 5, far, odd, row("odd\x00id", 2, "d", nil), row("", 3, "e", nil), long, row("ok", 4, "f", nil))
		same(e, "heads", e.headIDs(crm), []string{"odd\x00id", "odd\x00id\xff", "ok", "far"})
		equal(e, "kept as dead letters", len(e.letters("")), 2)
	}},
	{"a broken row becomes a dead letter once", func(e *env) {
		p := closed(0, 5, row("1", 1, "a", nil))
		p.Broken = []store.Broken{{Key: "k1", Raw: []byte(`{"id":`), Err: "cut off"}}
		e.ingest(p)
		p.Close = &store.Interval{From: at(5), To: at(6)}
		e.ingest(p)
		l := e.letters("")
		equal(e, "letters", len(l), 1)
		equal(e, "raw", string(l[0].Body), `{"id":`)
		equal(e, "error", l[0].Error, "cut off")
		equal(e, "dest", l[0].Dest, "")
		equal(e, "dead", e.stats().Dead, 1)
		n, err := e.s().EndDead([]uint64{l[0].Num}, false)
		e.must(err)
		equal(e, "dropped", n, 1)
		p.Close = &store.Interval{From: at(6), To: at(7)}
		e.ingest(p)
		equal(e, "dropped is not found again", len(e.letters("")), 0)
	}},
}

func wantErr(e *env, err, want error) {
	e.Helper()
	if err == nil {
		e.Fatalf("no error, want %v", want)
	}
	if want != nil && !errors.Is(err, want) {
		e.Fatalf("error %v, want %v", err, want)
	}
}
