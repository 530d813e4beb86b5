package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/vinfer-sync/vinfer-sync/admin"
	"github.com/vinfer-sync/vinfer-sync/alert"
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
	return postgres.Config{DSN: cfg.Store.Postgres.DSN.Read, Schema: cfg.Store.Postgres.Schema, Dir: stateDirectory(cfg)}
}

// stateDirectory is where this node keeps what it knows by itself; empty: there is no such directory.
func stateDirectory(cfg *config.Config) string {
	dir, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":") // set by systemd
	dir = or(dir, filepath.Dir(cfg.Store.Bolt.Path))
	if !isDir(dir) {
		return ""
	}
	return dir
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

// standby is a node that waits until it may lead: it answers health checks and scrapes, and tells when for long no node leads.
type standby struct {
	log    *slog.Logger
	alerts *alert.Watch
	web    *admin.Web
	since  time.Time // since when no node leads, as far as it knows; zero: one does

	mu  sync.Mutex
	why error
}

// newStandby returns one that may wait several times, until ctx ends.
func newStandby(ctx context.Context, cfg *config.Config, log *slog.Logger) *standby {
	program := alert.NewProgram(log)
	if cfg.Store.Postgres != nil {
		go program.Run(ctx, func() []string { return cfg.Alerts.Exec })
	}
	return &standby{log: log, alerts: alert.NewWatch(cfg.Name, nowhere{}, log, program.Send)}
}

// nowhere keeps no settings: the database that could is not this node's.
type nowhere struct{}

func (nowhere) Setting(string) ([]byte, error)  { return nil, nil }
func (nowhere) PutSetting(string, []byte) error { return nil }

// lead opens the state once this node may: in a database it stands by until no other node leads, or until the database can be reached.
func (s *standby) lead(ctx context.Context, cfg *config.Config) (store.Store, error) {
	if cfg.Store.Postgres == nil {
		return openState(ctx, cfg)
	}
	defer s.end(cfg)
	var st *postgres.DB
	for {
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
		s.wait(cfg, err)
		notify(daemon.SdNotifyWatchdog)
		select {
		case <-ctx.Done():
		case <-time.After(standEvery):
		}
	}
}

// wait tells why this node does not lead, where that is news.
func (s *standby) wait(cfg *config.Config, why error) {
	s.mu.Lock()
	news := s.why == nil || s.why.Error() != why.Error()
	s.why = why
	s.mu.Unlock()
	if s.web == nil && cfg.Admin.Listen != "" {
		s.web, _ = admin.ServeStandby(cfg.Admin.Listen, cfg.Name, version, s.reason, s.log) // an address that is taken is told of when this node leads
	}
	if news {
		s.log.Info("standing by", "node", node, "reason", why)
		notify(daemon.SdNotifyReady + "\nSTATUS=standing by: " + why.Error())
	}
	s.look(cfg, why)
}

// noLeaderAfter is how long no node may lead before that is told: a takeover is over by then.
const noLeaderAfter = time.Minute

func (s *standby) look(cfg *config.Config, why error) {
	now := time.Now().UTC()
	f := alert.Facts{Now: now}
	if why == nil || errors.Is(why, store.ErrLocked) {
		s.since = time.Time{}
	} else {
		if s.since.IsZero() {
			s.since = now
		}
		if now.Sub(s.since) < noLeaderAfter {
			return
		}
		f.NoLeader = why.Error()
	}
	s.alerts.Look(alert.Rules{Remedy: func(kind, dest string) string { return alertRemedy(cfg, kind, dest) }}, f)
}

func (s *standby) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Errorf("standby: %w", s.why)
}

// end is called when this node leads, or gives up.
func (s *standby) end(cfg *config.Config) {
	s.look(cfg, nil)
	if s.web != nil {
		_ = s.web.Close()
		s.web = nil
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
