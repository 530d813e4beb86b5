package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"github.com/vinfer-sync/vinfer-sync/admin"
	"github.com/vinfer-sync/vinfer-sync/alert"
	"github.com/vinfer-sync/vinfer-sync/config"
	"github.com/vinfer-sync/vinfer-sync/store"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

// secretsEvery is how often the files of destinations' secrets are compared with what is in use.
const secretsEvery = 5 * time.Second

// slowAfter is how long it takes until the log says that a new configuration has to wait.
const slowAfter = 5 * time.Second

// service is the daemon: one pipeline after another over the same store, and who answers for it.
type service struct {
	log  *slog.Logger
	hup  <-chan os.Signal               // asks for the configuration to be read again
	asks chan chan string               // likewise, by a command that is told of the faults
	load func() (*config.Config, error) // reads it; nil: it never is
	took func(*config.Config)           // is told of each that is taken up; may be nil

	mu    sync.Mutex
	p     *pipeline     // the one that runs
	moved chan struct{} // closed when another one runs
	fault string        // of the configuration that was not taken up; empty: the file's is in use

	socket   *admin.Server
	web      *admin.Web
	unserved []error       // why the socket or the web pages could not be had
	ended    chan struct{} // closed when no pipeline will run any more

	began   time.Time
	metrics *admin.Metrics
	tally   *admin.Tally
	alerts  *alert.Watch
	program *alert.Program
}

func newService(p *pipeline, log *slog.Logger) *service {
	s := &service{log: log, p: p, asks: make(chan chan string), moved: make(chan struct{}), ended: make(chan struct{}), began: time.Now().UTC()}
	s.program = alert.NewProgram(log)
	s.alerts = alert.NewWatch(p.cfg.Name, p.store, log, s.program.Send)
	s.metrics = admin.NewMetrics(p.cfg.Name, version, s.facts)
	s.tally = admin.NewTally(p.store, s.zone)
	s.adopt(p)
	return s
}

// adopt lets a pipeline know of the service that it runs in.
func (s *service) adopt(p *pipeline) {
	p.engine.Observe(admin.Observers{s.metrics, s.tally})
	s.metrics.Configured(names(p.cfg))
	p.local.Recent, p.local.Reloads = s.tally, s.askReload
	p.local.Notes = func(st *engine.Status) {
		s.mu.Lock()
		defer s.mu.Unlock()
		st.Daemon, st.Config, st.ConfigError = true, absolute(p.cfg.File), s.fault
		st.Alerts = s.alerts.Standing()
		roleOf(p.store, st)
	}
	p.local.Successor = func(ctx context.Context) (*admin.Local, error) {
		for {
			s.mu.Lock()
			now, moved := s.p, s.moved
			s.mu.Unlock()
			if now != p {
				return now.local, nil
			}
			select {
			case <-moved:
			case <-s.ended:
				return nil, errors.New("the service stops, and goes on with the command at its next start")
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
}

func (s *service) current() *pipeline {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.p
}

func (s *service) close() error { return s.current().close() }

// listen begins to answer on the socket and over HTTP. What cannot be had is an alert: the calls come first.
func (s *service) listen() {
	p := s.current()
	cfg := p.cfg
	if cfg.Admin.Socket != "" {
		socket, err := admin.Serve(cfg.Admin.Socket, cfg.State(), p.local, s.log)
		if err != nil {
			s.unserved = append(s.unserved, fmt.Errorf("commands cannot reach the service: %w", err))
		}
		s.socket = socket
	}
	if cfg.Admin.Listen != "" {
		web, err := admin.ServeWeb(admin.WebOptions{
			Listen: cfg.Admin.Listen, Alive: func() error { return s.current().engine.Stuck() }, Ready: s.notReady, Metrics: s.metrics, Log: s.log,
			Page: admin.Source{
				Facts: s.facts, Tally: s.tally, Zone: s.zone,
				Calls: func(ctx context.Context, q store.CallQuery) ([]admin.CallLine, error) {
					return s.current().local.Calls(ctx, q)
				},
				Dead: func(ctx context.Context, q admin.DeadQuery) ([]store.DeadLetter, error) {
					return s.current().local.Dead(ctx, q)
				},
			},
		})
		if err != nil {
			s.unserved = append(s.unserved, fmt.Errorf("dashboard, metrics and health are not served: %w", err))
		}
		s.web = web
	}
}

// zone is where the operator's clock is.
func (s *service) zone() *time.Location { return s.current().cfg.Location() }

// run runs until ctx ends.
func (s *service) run(ctx context.Context) error {
	defer close(s.ended)
	defer func() {
		if s.socket != nil {
			_ = s.socket.Close()
		}
		if s.web != nil {
			_ = s.web.Close()
		}
	}()
	p := s.current()
	cfg := p.cfg
	s.log.Info("started", "version", version, "pipeline", cfg.Name, "schedule", cfg.Schedule, "state", cfg.State(), "destinations", len(p.dests))
	if err := p.store.PutSetting(settingService, []byte("runs")); err != nil {
		s.log.Warn("cannot keep that a service runs; status cannot tell when it is down", "error", err)
	}
	watchCtx, stop := context.WithCancel(context.Background())
	var beside sync.WaitGroup
	beside.Go(func() { s.watchdog(watchCtx) })
	beside.Go(func() { s.watchAlerts(watchCtx) })
	beside.Go(func() { s.program.Run(watchCtx, func() []string { return s.current().cfg.Alerts.Exec }) })
	err := s.succession(ctx)
	notify(daemon.SdNotifyStopping)
	stop()
	beside.Wait()
	if terr := s.tally.Save(time.Now(), true); terr != nil {
		s.log.Debug("cannot keep the dashboard's counts", "error", terr)
	}
	s.log.Info("stopped")
	return err
}

// succession runs the pipeline, and after it those that replace it when the configuration or a secret changes.
func (s *service) succession(ctx context.Context) error {
	secrets := time.NewTicker(secretsEvery)
	defer secrets.Stop()
	stop, ended := s.start(ctx)
	for {
		var next *pipeline
		select {
		case err := <-ended:
			stop(nil)
			return err
		case <-s.hup:
			next = s.reload()
		case reply := <-s.asks:
			next = s.reload()
			reply <- s.faults()
		case <-secrets.C:
			if s.load != nil && s.current().cfg.Rotated() {
				next = s.rotate()
			}
		}
		if next == nil {
			continue
		}
		old := s.current()
		stop(engine.ErrStopped)
		slow := time.AfterFunc(slowAfter, func() { s.log.Info("waiting for deliveries in flight before the new configuration takes over") })
		var err error
		select {
		case err = <-ended:
		case <-ctx.Done(): // no time any more to wait for slow writes
			old.engine.Stop()
			slow.Stop()
			return errors.Join(<-ended, next.release())
		}
		slow.Stop()
		next.api.TakeOver(old.api)
		if err = errors.Join(err, old.release()); err != nil {
			s.log.Warn("the pipeline before did not end well", "error", err)
		}
		s.replace(next)
		stop, ended = s.start(ctx)
	}
}

// start runs the current pipeline; its end comes by the channel.
func (s *service) start(ctx context.Context) (context.CancelCauseFunc, <-chan error) {
	p := s.current()
	ctx, stop := context.WithCancelCause(ctx)
	ended := make(chan error, 1)
	go func() { ended <- p.engine.Run(ctx, func() { notify(daemon.SdNotifyReady) }) }()
	return stop, ended
}

// replace makes p the current pipeline.
func (s *service) replace(p *pipeline) {
	s.adopt(p)
	s.mu.Lock()
	s.p = p
	close(s.moved)
	s.moved = make(chan struct{})
	s.mu.Unlock()
	if s.socket != nil {
		s.socket.Swap(p.local)
	}
}

// reload reads the configuration and makes a pipeline of it; nil: it has a fault, and the one that runs stays.
func (s *service) reload() *pipeline {
	notify(reloading())
	cfg, err := s.load()
	var next *pipeline
	if err == nil {
		next, err = s.assemble(cfg, "configuration reloaded")
	}
	s.metrics.Reloaded(err)
	if err != nil {
		s.log.Error("the configuration has faults and is not taken up; the one in use stays", "error", err,
			"remedy", "fix it (vinfer-sync check --offline), then reload")
		notify(daemon.SdNotifyReady)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = ""
	if err != nil {
		s.fault = err.Error()
	}
	return next
}

// faults are those of the configuration that was not taken up; empty: the file's is in use.
func (s *service) faults() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// askReload has the configuration read again, and returns its faults.
func (s *service) askReload(ctx context.Context) (string, error) {
	if s.load == nil {
		return "", errors.New("this service has no configuration file")
	}
	reply := make(chan string, 1)
	select {
	case s.asks <- reply:
	case <-s.ended:
		return "", errors.New("the service stops")
	case <-ctx.Done():
		return "", ctx.Err()
	}
	return <-reply, nil // it is being read: that ends soon
}

// reloading is what systemd wants to be told: until the next READY=1 the service reloads.
func reloading() string {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // the clock is always there
	return fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, ts.Nano()/1000)
}

// rotate makes a pipeline of the configuration in use with its secrets read again; nil: they are of no use, perhaps because one is just
// being written.
func (s *service) rotate() *pipeline {
	cfg, err := s.current().cfg.Again()
	var next *pipeline
	if err == nil {
		next, err = s.assemble(cfg, "secrets read again: a file was changed")
	}
	if err != nil {
		s.log.Debug("a secret's file was changed, and cannot be used", "error", err)
	} else {
		s.metrics.Reloaded(nil)
	}
	return next
}

// assemble makes the pipeline of a configuration that is to replace the one in use, and says what differs.
func (s *service) assemble(cfg *config.Config, why string) (*pipeline, error) {
	old := s.current()
	fixed := keepFixed(old.cfg, cfg)
	next, err := assemble(cfg, old.store, s.log)
	if err != nil {
		return nil, err
	}
	if s.took != nil {
		s.took(cfg)
	}
	for _, w := range difference(cfg.Warnings, old.cfg.Warnings) { // the others have been told
		s.log.Warn(w)
	}
	for _, f := range fixed {
		s.log.Warn("a change is taken up only by a restart", "key", f.key, "in_use", f.inUse, "configured", f.configured)
	}
	added, removed := difference(names(cfg), names(old.cfg)), difference(names(old.cfg), names(cfg))
	s.log.Info(why, "schedule", cfg.Schedule, "destinations", len(next.dests), "added", strings.Join(added, ","), "removed", strings.Join(removed, ","))
	return next, nil
}

func names(cfg *config.Config) []string {
	var all []string
	for i := range cfg.CRM {
		all = append(all, cfg.CRM[i].Name)
	}
	return all
}

// difference returns what only a has.
func difference(a, b []string) []string {
	return slices.DeleteFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// fixedKey is a key whose change needs a restart.
type fixedKey struct{ key, inUse, configured string }

// keepFixed sets in the new configuration what only a restart can change to what is in use, and returns the keys that differed.
func keepFixed(old, fresh *config.Config) []fixedKey {
	var differ []fixedKey
	for _, k := range []struct {
		key          string
		inUse, wants *string
	}{
		{"name", &old.Name, &fresh.Name},
		{"store.bbolt.path", &old.Store.Bolt.Path, &fresh.Store.Bolt.Path},
		{"admin.socket", &old.Admin.Socket, &fresh.Admin.Socket},
		{"admin.listen", &old.Admin.Listen, &fresh.Admin.Listen},
		{"log.format", &old.Log.Format, &fresh.Log.Format},
	} {
		if *k.inUse != *k.wants {
			differ = append(differ, fixedKey{k.key, *k.inUse, *k.wants})
			*k.wants = *k.inUse
		}
	}
	if old.State() != fresh.State() {
		differ = append(differ, fixedKey{"store", old.State(), fresh.State()})
	}
	fresh.Store = old.Store
	return differ
}
