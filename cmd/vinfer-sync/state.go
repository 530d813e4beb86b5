package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/vinfer-sync/vinfer-sync/config"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/bolt"
	"github.com/vinfer-sync/vinfer-sync/store/postgres"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

// node names this process to the others that share a pipeline.
var node = postgres.Node()

// databaseOf says where the state is, for a configuration that keeps it in a database.
func databaseOf(cfg *config.Config) postgres.Config {
	return postgres.Config{DSN: cfg.Store.Postgres.DSN.Read, Schema: cfg.Store.Postgres.Schema}
}

// openState opens the state to work on it. In a database that takes the lease, which errs with store.ErrLocked if another node leads.
func openState(ctx context.Context, cfg *config.Config) (store.Store, error) {
	if cfg.Store.Postgres == nil {
		return bolt.Open(cfg.Store.Bolt.Path, bolt.Options{})
	}
	st, err := postgres.Open(ctx, databaseOf(cfg), cfg.Name, node)
	if err != nil {
		return nil, err
	}
	if err := st.Lead(ctx); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return st, nil
}

// standEvery is how often a node that stands by asks whether it can lead.
const standEvery = time.Second

// lead opens the state once this node may: in a database it stands by until no other node leads, or until the database can be reached.
func lead(ctx context.Context, cfg *config.Config, log *slog.Logger) (store.Store, error) {
	if cfg.Store.Postgres == nil {
		return openState(ctx, cfg)
	}
	s := &standby{}
	defer s.end()
	var st *postgres.DB
	for told := ""; ; {
		var err error
		if st == nil {
			st, err = postgres.Open(ctx, databaseOf(cfg), cfg.Name, node)
		}
		if err == nil {
			if err = st.Lead(ctx); err == nil {
				return st, nil
			}
		}
		if ctx.Err() != nil || errors.Is(err, store.ErrNewer) || errors.Is(err, store.ErrOlder) || errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrMoved) {
			if st != nil {
				err = errors.Join(err, st.Close())
			}
			return nil, err
		}
		if err.Error() != told {
			told = err.Error()
			log.Info("standing by", "node", node, "reason", told)
			s.say(cfg.Admin.Listen, told)
			notify(daemon.SdNotifyReady + "\nSTATUS=standing by: " + told)
		}
		notify(daemon.SdNotifyWatchdog)
		select {
		case <-ctx.Done():
		case <-time.After(standEvery):
		}
	}
}

// standby answers health checks while another node leads.
type standby struct {
	server *http.Server
	why    chan string // the newest reason
}

func (s *standby) say(listen, why string) {
	if s.why == nil {
		s.why = make(chan string, 1)
		s.serve(listen)
	}
	select {
	case <-s.why:
	default:
	}
	s.why <- why
}

func (s *standby) serve(listen string) {
	if listen == "" {
		return
	}
	l, err := net.Listen("tcp", listen) //nolint:noctx // at once
	if err != nil {
		return // told when this node leads and the address still cannot be had
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		why := <-s.why
		s.why <- why
		http.Error(w, "standby: "+why, http.StatusServiceUnavailable)
	})
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.server.Serve(l) }() // it errs when it is closed
}

func (s *standby) end() {
	if s.server != nil {
		_ = s.server.Close()
	}
}

// roleOf adds to a status who leads the pipeline, where nodes share it.
func roleOf(st store.Store, s *engine.Status) {
	db, ok := st.(*postgres.DB)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	who, err := db.Leader(ctx)
	if err != nil {
		return // the status itself tells of a database that cannot be reached
	}
	if s.Role = "standby"; who.Node == node {
		s.Role = "leader"
	}
	if who.Node != "" {
		s.Leader = &engine.Leader{Node: who.Node, Since: who.Since}
	}
}

// database looks whether the database can be used, and who leads, and returns what is known of destinations. Nothing is written.
func (t *checkTable) database(ctx context.Context, cfg *config.Config) map[string]known {
	all := map[string]known{}
	st, err := postgres.OpenForCommand(ctx, databaseOf(cfg), cfg.Name, node)
	if errors.Is(err, store.ErrUnknown) {
		t.row("store", "database", nil, cfg.State()+", which is made at the first start")
		return all
	}
	if err != nil {
		t.row("store", "database", err, or(remedy(err, site{url: "store.postgres"}), "see store.postgres"))
		return all
	}
	s, err := st.Stats()
	who, lerr := st.Leader(ctx)
	advice, aerr := st.Advice(ctx)
	if err = errors.Join(err, lerr, st.Close()); err != nil {
		t.row("store", "database", err, "see store.postgres")
		return all
	}
	for _, d := range s.Dests {
		all[d.Name] = known{d.Kind, d.Pending, d.Dead}
	}
	detail := cfg.State() + "; no node leads"
	if who.Node != "" {
		detail = cfg.State() + "; node " + who.Node + " leads since " + who.Since.Format(time.RFC3339)
	}
	t.row("store", "database", nil, detail)
	for _, a := range advice {
		t.row("store", "server", nil, "WARNING: "+a)
	}
	if aerr != nil {
		t.note("store", "server", "its settings cannot be looked at: "+aerr.Error())
	}
	t.schedule(cfg, s.LastRun.Took)
	return all
}

// leaseOf is what the requests of a pipeline have to begin and end under; nil: nothing, as no node shares it.
func leaseOf(st store.Store) context.Context {
	if db, ok := st.(*postgres.DB); ok {
		return db.Leading()
	}
	return nil
}

// lastSteps is how long a process has to come to its end once its lease is over: not longer than until another node can lead.
const lastSteps = 3 * time.Second

// whileLeading returns a context that ends with ctx and with the lease, and a function that is called at the end of the work and tells whether it was the
// lease that ended. A process that does not come to its end in time is ended.
func whileLeading(ctx context.Context, st store.Store, log *slog.Logger, exit func(int)) (leading context.Context, deposed func() bool) {
	held := leaseOf(st)
	if held == nil {
		return ctx, func() bool { return false }
	}
	leading, cancel := context.WithCancelCause(held)
	told := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	ended := make(chan struct{})
	over := context.AfterFunc(held, func() {
		log.Error("this node does not lead any more: its lease was not renewed in time, or another node took over")
		select {
		case <-ended:
		case <-time.After(lastSteps):
			exit(exitLocked)
		}
	})
	return leading, func() bool {
		close(ended)
		told()
		over()
		lost := held.Err() != nil && ctx.Err() == nil
		cancel(nil)
		return lost
	}
}
