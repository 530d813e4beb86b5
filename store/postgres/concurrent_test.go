//go:build external

package postgres

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/vinfer-sync/vinfer-sync/internal/dbtest"
	"github.com/vinfer-sync/vinfer-sync/internal/lease"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/bolt"
)

var (
	noon  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	specs = []store.DestSpec{{Name: "crm", Kind: "hubspot"}, {Name: "hook", Kind: "webhook", AppendOnly: true}}
)

func begin(t testing.TB, s store.Store) {
	t.Helper()
	if _, err := s.Begin(noon, specs); err != nil {
		t.Fatal(err)
	}
}

// pageOf is the nth page of 100 calls, each of a contact of its own.
func pageOf(n int) store.Page {
	at := noon.Add(time.Duration(n+1) * time.Minute)
	p := store.Page{Stream: store.LiveStream, At: at, Close: &store.Interval{From: noon, To: at}}
	for i := range 100 {
		r := store.Row{ID: fmt.Sprintf("call%05d", n*100+i), When: at.Add(-time.Duration(i) * time.Millisecond), Body: []byte(`{"name":"A"}`), Fields: []store.Field{{Tag: 1, Hash: 1}}, Targets: []store.Target{{Dest: "crm"}, {Dest: "hook"}}}
		copy(r.Lane[:], r.ID)
		p.Rows = append(p.Rows, r)
	}
	return p
}

func scanAll(t testing.TB, s store.Store, dest string) (all []store.JobRef) {
	t.Helper()
	for from := []byte(nil); ; {
		jobs, next, err := s.Scan(dest, from, 256, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, jobs...)
		if from = next; next == nil {
			return all
		}
	}
}

func TestConcurrentSettlesShareTransactions(t *testing.T) {
	_, dsn, _ := dbtest.NewPostgres(t)
	d := openAt(t, dsn, "default")
	defer func() { _ = d.Close() }()
	begin(t, d)
	for n := range 4 {
		if _, err := d.Ingest(pageOf(n)); err != nil {
			t.Fatal(err)
		}
	}
	jobs, before := scanAll(t, d, "crm"), d.rev.Load()
	if len(jobs) != 400 {
		t.Fatalf("%d jobs", len(jobs))
	}
	var settled sync.WaitGroup
	for w := range 64 {
		settled.Go(func() {
			for i := w; i < len(jobs); i += 64 {
				if _, err := d.Settle(t.Context(), store.Outcome{Job: jobs[i], Verdict: store.Delivered, At: noon}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	settled.Wait()
	if n := d.rev.Load() - before; n > 100 {
		t.Errorf("%d transactions for %d outcomes", n, len(jobs))
	}
	st, err := d.Stats()
	if err != nil || st.Dests[0].Delivered != 400 || st.Pending != 400 {
		t.Errorf("%+v, %v", st.Dests, err)
	}
	if err := d.Check(); err != nil {
		t.Error(err)
	}
}

// A node whose lease has passed to another one cannot write, whatever it believes.
func TestDeposedNodeCannotWrite(t *testing.T) {
	_, dsn, super := dbtest.NewPostgres(t)
	first := openAt(t, dsn, "default")
	defer func() { _ = first.Close() }()
	begin(t, first)
	if _, err := first.Ingest(pageOf(0)); err != nil {
		t.Fatal(err)
	}
	second, err := Open(t.Context(), configOf(dsn), "default", Node())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	if err := second.Lead(t.Context()); !errors.Is(err, store.ErrLocked) {
		t.Fatalf("two lead: %v", err)
	}
	if _, err := second.Ingest(pageOf(1)); !errors.Is(err, ErrLost) {
		t.Fatalf("a standby wrote: %v", err)
	}
	// The first one is stopped between its last statement and COMMIT until the second one leads.
	first.beforeCommit = func() {
		first.beforeCommit = nil
		if _, err := super.Exec("UPDATE vinfer_sync.leases SET expires = now() - interval '1 second'"); err != nil {
			t.Error(err)
		}
		if err := second.Lead(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := first.Ingest(pageOf(1)); !errors.Is(err, ErrLost) {
		t.Errorf("the deposed one: %v", err)
	}
	if _, err := first.Ingest(pageOf(1)); !errors.Is(err, ErrLost) {
		t.Errorf("the deposed one, once more: %v", err)
	}
	if got, err := second.Ingest(pageOf(1)); err != nil || got.New != 100 {
		t.Errorf("the new leader: %+v, %v", got, err)
	}
	if err := second.Check(); err != nil {
		t.Error(err)
	}
}

// The machine sleeps for longer than its node's lease: before anything else the node learns that its lease is over. What its clock says is of no
// account to the other nodes: the first one's is an hour ahead.
func TestNodeThatSlept(t *testing.T) {
	_, dsn, super := dbtest.NewPostgres(t)
	nodes := make([]*DB, 2)
	var slept atomic.Int64
	for i := range nodes {
		d, err := Open(t.Context(), configOf(dsn), "default", Node())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = d.Close() }()
		nodes[i] = d
	}
	first, second := nodes[0], nodes[1]
	first.clock = func() time.Duration { return lease.SinceBoot() + time.Hour + time.Duration(slept.Load()) }
	if err := first.Lead(t.Context()); err != nil {
		t.Fatal(err)
	}
	begin(t, first)
	if err := second.Lead(t.Context()); !errors.Is(err, store.ErrLocked) {
		t.Fatalf("two lead: %v", err)
	}
	slept.Store(int64(time.Minute))
	if _, err := super.Exec("UPDATE vinfer_sync.leases SET expires = now() - interval '1 second'"); err != nil {
		t.Fatal(err)
	}
	if err := lease.Allows(first.Leading()); !errors.Is(err, lease.ErrOver) {
		t.Errorf("a request may begin: %v", err)
	}
	if _, err := first.Ingest(pageOf(0)); !errors.Is(err, ErrLost) {
		t.Errorf("it wrote: %v", err)
	}
	if err := second.Lead(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := lease.Allows(second.Leading()); err != nil {
		t.Errorf("the new leader may not work: %v", err)
	}
}

// The leader is stopped while it sends a transaction: the server waits for the rest, and holds the pipeline's row. Another node leads all the same.
func TestLeaderStoppedWhileItSends(t *testing.T) {
	_, dsn, super := dbtest.NewPostgres(t)
	first := openAt(t, dsn, "default")
	defer func() { _ = first.Close() }()
	begin(t, first)
	second, err := Open(t.Context(), configOf(dsn), "default", Node())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	sends, err := pgconn.Connect(t.Context(), dsn+"&application_name=vinfer-sync")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sends.Conn().Close() }()
	p := sends.StartPipeline(t.Context())
	p.SendQueryParams("BEGIN", nil, nil, nil, nil)
	p.SendQueryParams("UPDATE vinfer_sync.pipelines SET rev = rev + 1", nil, nil, nil, nil)
	p.SendFlushRequest()
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := p.GetResults(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := super.Exec("UPDATE vinfer_sync.leases SET expires = now() - interval '1 second', epoch = epoch + 1"); err != nil { // and it renews it no more
		t.Fatal(err)
	}
	for err := second.Lead(t.Context()); err != nil; err = second.Lead(t.Context()) {
		if codeOf(err) != codeLockTimeout {
			t.Fatal(err)
		}
	}
	if _, err := second.Ingest(pageOf(0)); err != nil {
		t.Error(err)
	}
	if err := p.Sync(); err == nil {
		if _, err = p.GetResults(); err == nil {
			t.Error("the stopped one could go on")
		}
	}
}

// The database is replaced by an older copy of itself, under a leader and between two: it is noticed, and kept for the operator. Another state is not taken at all.
func TestDatabaseThatWentBack(t *testing.T) {
	name, dsn, super := dbtest.NewPostgres(t)
	dir := t.TempDir()
	at := func(dsn string) (*DB, error) {
		t.Helper()
		c := configOf(dsn)
		c.Dir = dir
		d, err := Open(t.Context(), c, "default", Node())
		if err != nil {
			return nil, err
		}
		return d, d.Lead(t.Context())
	}
	noticed := func(d *DB) bool {
		t.Helper()
		v, err := d.Setting(WentBack)
		if err != nil {
			t.Fatal(err)
		}
		return v != nil
	}
	d, err := at(dsn)
	if err != nil {
		t.Fatal(err)
	}
	begin(t, d)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := super.Exec("CREATE DATABASE " + name + "_copy TEMPLATE template0 OWNER " + name); err != nil {
		t.Fatal(err)
	}
	copied := strings.Replace(dsn, "/"+name+"?", "/"+name+"_copy?", 1)
	foreign := openAt(t, copied, "default")
	begin(t, foreign)
	if err := foreign.Close(); err != nil {
		t.Fatal(err)
	}
	if d, err = at(dsn); err != nil || noticed(d) {
		t.Fatalf("nothing happened, and it is noticed: %v", err)
	}
	for n := range 3 {
		if _, err := d.Ingest(pageOf(n)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := super.Exec("UPDATE vinfer_sync.pipelines SET rev = rev - 2"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Ingest(pageOf(3)); !errors.Is(err, ErrLost) {
		t.Errorf("the leader goes on: %v", err)
	}
	if d.Leading().Err() == nil {
		t.Error("it still leads")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if d, err = at(dsn); err != nil || !noticed(d) {
		t.Errorf("it is not noticed by the next one: %v", err)
	}
	if err := errors.Join(d.PutSetting(WentBack, nil), d.Close()); err != nil {
		t.Fatal(err)
	}
	if d, err = at(dsn); err != nil || noticed(d) {
		t.Errorf("it is noticed twice: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	other, err := at(copied)
	if !errors.Is(err, store.ErrDamaged) {
		t.Errorf("another state was taken: %v", err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAdvice(t *testing.T) {
	name, dsn, super := dbtest.NewPostgres(t)
	for _, set := range []string{"0", "10s"} {
		if _, err := super.Exec("ALTER ROLE " + name + " SET idle_in_transaction_session_timeout = '" + set + "'"); err != nil {
			t.Fatal(err)
		}
		d, err := OpenForCommand(t.Context(), configOf(dsn), "default", Node())
		if errors.Is(err, store.ErrUnknown) { // at first
			d, err = Open(t.Context(), configOf(dsn), "default", Node())
		}
		if err != nil {
			t.Fatal(err)
		}
		advice, err := d.Advice(t.Context())
		if err := errors.Join(err, d.Close()); err != nil || (len(advice) == 0) != (set == "10s") {
			t.Errorf("%s: %q, %v", set, advice, err)
		}
	}
}

// cutter is a proxy that can take the server's next answer away together with the connection.
type cutter struct {
	net.Listener
	cut    atomic.Bool
	random atomic.Bool // cut one in so many pieces, in either direction
}

const cutsOneIn = 40

// copies passes on what comes until it is cut off.
func (c *cutter) copies(to, from net.Conn, answers bool) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if err != nil || answers && c.cut.CompareAndSwap(true, false) || c.random.Load() && rand.IntN(cutsOneIn) == 0 {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func newCutter(t *testing.T, port int) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{Listener: l}
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	t.Cleanup(func() { _ = l.Close() })
	running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				_ = in.Close()
				continue
			}
			both := func() { _, _ = in.Close(), out.Close() }
			running.Go(func() { defer both(); c.copies(out, in, false) })
			running.Go(func() { defer both(); c.copies(in, out, true) })
		}
	})
	return c
}

// The answer to COMMIT is lost: the transaction was applied, and is not applied again.
func TestLostAnswerToCommit(t *testing.T) {
	name, _, _ := dbtest.NewPostgres(t)
	c := newCutter(t, dbtest.Postgres(t).Port)
	d := openAt(t, dbtest.PostgresDSN(c.Addr().(*net.TCPAddr).Port, name, "geheim-"+name, name), "default")
	defer func() { _ = d.Close() }()
	begin(t, d)
	for n := range 10 {
		before := d.rev.Load()
		once := n%2 == 0
		d.beforeCommit = func() {
			if once {
				once = false
				c.cut.Store(true)
			}
		}
		got, err := d.Ingest(pageOf(n))
		if err != nil || got.New != 100 || got.Queued != 200 {
			t.Fatalf("page %d: %+v, %v", n, got, err)
		}
		if rev := d.rev.Load(); rev != before+1 {
			t.Errorf("page %d: %d transactions", n, rev-before)
		}
	}
	st, err := d.Stats()
	if err != nil || st.Pending != 2000 {
		t.Errorf("%d pending, %v", st.Pending, err)
	}
}

// Connections are cut at any piece that goes either way, the answers to COMMIT among them: what was stored is there once.
func TestConnectionsCutAtRandom(t *testing.T) {
	name, dsn, _ := dbtest.NewPostgres(t)
	c := newCutter(t, dbtest.Postgres(t).Port)
	d := openAt(t, dbtest.PostgresDSN(c.Addr().(*net.TCPAddr).Port, name, "geheim-"+name, name), "default")
	begin(t, d)
	c.random.Store(true)
	failed := 0
	for n := range 8 {
		got, err := d.Ingest(pageOf(n))
		for ; err != nil && !errors.Is(err, ErrLost); got, err = d.Ingest(pageOf(n)) {
			failed++
		}
		if err != nil || got.New != 0 && got.New != 100 {
			t.Fatalf("page %d: %+v, %v", n, got, err)
		}
	}
	c.random.Store(false)
	jobs := scanAll(t, d, "crm")
	c.random.Store(true)
	var slots sync.WaitGroup
	for w := range 8 {
		slots.Go(func() {
			for i := w; i < 160; i += 8 {
				for {
					_, err := d.Settle(t.Context(), store.Outcome{Job: jobs[i], Verdict: store.Delivered, At: noon})
					if err == nil {
						break
					}
					if errors.Is(err, ErrLost) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	slots.Wait()
	c.random.Store(false)
	t.Logf("%d transactions failed for good", failed)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = openAt(t, dsn, "default")
	defer func() { _ = d.Close() }()
	st, err := d.Stats()
	if err != nil || st.Pending != 1440 || st.Dests[0].Delivered != 160 {
		t.Errorf("%d pending, %+v, %v", st.Pending, st.Dests, err)
	}
	if err := d.Check(); err != nil {
		t.Error(err)
	}
}

// Nodes that begin at the same moment, on a database without tables: one leads.
func TestNodesThatStartTogether(t *testing.T) {
	_, dsn, _ := dbtest.NewPostgres(t)
	var leads atomic.Int32
	var nodes sync.WaitGroup
	start, stop := make(chan struct{}), make(chan struct{})
	var tried sync.WaitGroup
	for range 4 {
		tried.Add(1)
		nodes.Go(func() {
			<-start
			d, err := Open(t.Context(), configOf(dsn), "default", Node())
			if err != nil {
				t.Error(err)
				tried.Done()
				return
			}
			defer func() { _ = d.Close() }()
			switch err := d.Lead(t.Context()); {
			case err == nil:
				leads.Add(1)
				begin(t, d)
			case !errors.Is(err, store.ErrLocked):
				t.Error(err)
			}
			tried.Done()
			<-stop
		})
	}
	close(start)
	tried.Wait()
	if n := leads.Load(); n != 1 {
		t.Errorf("%d lead", n)
	}
	close(stop)
	nodes.Wait()
}

// The server is killed and comes back while pages are stored and outcomes settled: all of them are there once.
func TestServerThatRestarts(t *testing.T) {
	_, dsn, _ := dbtest.NewPostgres(t)
	d := openAt(t, dsn, "default")
	defer func() { _ = d.Close() }()
	begin(t, d)
	server := dbtest.Postgres(t)
	var restarts sync.WaitGroup
	for n := range 6 {
		if n%2 == 1 {
			restarts.Go(func() {
				server.Kill()
				if err := server.Start(); err != nil {
					t.Error(err)
				}
			})
		}
		got, err := d.Ingest(pageOf(n))
		for ; err != nil && !errors.Is(err, ErrLost); got, err = d.Ingest(pageOf(n)) {
			t.Logf("page %d: %v", n, err)
		}
		if err != nil || got.New != 0 && got.New != 100 {
			t.Fatalf("page %d: %+v, %v", n, got, err)
		}
		restarts.Wait()
	}
	st, err := d.Stats()
	if err != nil || st.Pending != 1200 {
		t.Errorf("%d pending, %v", st.Pending, err)
	}
	if err := d.Check(); err != nil {
		t.Error(err)
	}
}

// What the file does, the database does: the same work on both leaves the same.
func TestSameAsBolt(t *testing.T) {
	_, dsn, _ := dbtest.NewPostgres(t)
	sameAsBolt(t, dsn)
}

// Pgbouncer gives each transaction another connection of the server.
func TestSameAsBoltBehindPgbouncer(t *testing.T) {
	name, _, _ := dbtest.NewPostgres(t)
	password := "geheim-" + name
	sameAsBolt(t, dbtest.PostgresDSN(dbtest.Pgbouncer(t, name, password, name), name, password, name))
}

func sameAsBolt(t *testing.T, dsn string) {
	pg := openAt(t, dsn, "default")
	file, err := bolt.Open(filepath.Join(t.TempDir(), "state.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	both := []store.Store{file, pg}
	for _, s := range both {
		defer func() { _ = s.Close() }()
		begin(t, s)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	same := func(what string, f func(s store.Store) any) {
		t.Helper()
		if a, b := f(file), f(pg); !reflect.DeepEqual(a, b) {
			t.Fatalf("%s:\n%+v in the file\n%+v in the database", what, a, b)
		}
	}
	for n := range 12 {
		p := pageOf(n)
		p.At = p.At.AddDate(0, n/4, 0) // three generations
		for i := range p.Rows {
			if n > 0 && rng.IntN(4) == 0 { // a change of a known call
				p.Rows[i].ID = fmt.Sprintf("call%05d", rng.IntN(n*100))
				p.Rows[i].Fields[0].Hash = rng.Uint32()
			}
			if rng.IntN(3) == 0 {
				p.Rows[i].Lane = store.Lane{byte(rng.IntN(4))}
			}
		}
		same(fmt.Sprint("page ", n), func(s store.Store) any {
			got, err := s.Ingest(p)
			if err != nil {
				t.Fatal(err)
			}
			return got
		})
		for _, dest := range []string{"crm", "hook"} {
			same(fmt.Sprint("heads of ", dest, " after page ", n), func(s store.Store) any { return scanAll(t, s, dest) })
			for i, ref := range scanAll(t, file, dest) {
				if i%2 == 1 {
					continue
				}
				v := store.Verdict(rng.IntN(5))
				same("outcome", func(s store.Store) any {
					claimed, err := s.Claim(t.Context(), []store.JobRef{ref})
					if err != nil {
						t.Fatal(err)
					}
					got, err := s.Settle(t.Context(), store.Outcome{Job: ref, Verdict: v, At: p.At, Error: "e", Due: p.At, Refs: map[string]string{"id": ref.ID}, Transcript: i%4 == 0})
					if err != nil {
						t.Fatal(err)
					}
					return []any{claimed, got}
				})
			}
		}
	}
	same("calls", func(s store.Store) any {
		list, err := s.Calls(store.CallQuery{N: 5000})
		if err != nil {
			t.Fatal(err)
		}
		return list
	})
	same("dead letters", func(s store.Store) any {
		l, err := s.DeadLetters("", true, 0, 5000)
		if err != nil {
			t.Fatal(err)
		}
		return l
	})
	same("what was pruned", func(s store.Store) any {
		n := 0
		for more := true; more; n++ {
			var err error
			if more, err = s.Prune(noon.AddDate(0, 1, 0), noon.AddDate(0, 1, 15)); err != nil {
				t.Fatal(err)
			}
		}
		return n
	})
	same("the person's", func(s store.Store) any {
		f, err := s.Forget(store.Forgetting{Lane: store.Lane{1}, At: noon.AddDate(1, 0, 0)})
		if err != nil {
			t.Fatal(err)
		}
		f.File, f.Lanes = store.Rewritten{}, nil
		return f
	})
	same("what is there", func(s store.Store) any {
		v, err := s.Survey()
		if err != nil {
			t.Fatal(err)
		}
		v.Path, v.Size, v.Used = "", 0, 0
		return v
	})
}
