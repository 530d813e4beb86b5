package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/vinfer-sync/vinfer-sync/admin"
	"github.com/vinfer-sync/vinfer-sync/config"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

func runCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "run", Short: "Run as a service: poll at once, then on the schedule",
		Long: "Polls at once and then on the schedule, delivers all the time, and answers the other commands on the admin socket.\nSIGTERM lets the writes in flight finish.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			log := a.logger(cfg)
			for _, w := range cfg.Warnings {
				log.Warn(w)
			}
			p, err := openPipeline(cfg, log)
			if err != nil {
				return err
			}
			return errors.Join(serve(c.Context(), cfg, p, log), p.close())
		},
	}
}

// serve runs an opened pipeline until ctx ends.
func serve(ctx context.Context, cfg *config.Config, p *pipeline, log *slog.Logger) error {
	if cfg.Admin.Socket != "" {
		s, err := admin.Serve(cfg.Admin.Socket, cfg.Store.Bolt.Path, p.local, log)
		if err != nil {
			log.Warn("commands cannot reach this daemon", "error", err)
		} else {
			defer func() { _ = s.Close() }()
		}
	}
	if cfg.Admin.Listen != "" {
		h, err := admin.ServeHealth(cfg.Admin.Listen, p.engine.Stuck, func() error { return notReady(p.engine) }, log)
		if err != nil {
			log.Warn("health is not served", "error", err)
		} else {
			defer func() { _ = h.Close() }()
		}
	}
	log.Info("started", "version", version, "pipeline", cfg.Name, "schedule", cfg.Schedule, "state", cfg.Store.Bolt.Path, "destinations", len(p.dests))
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer func() {
		signal.Stop(hup)
		close(hup)
	}()
	go func() {
		for range hup {
			log.Warn("the configuration is not read again on SIGHUP; restart the service to take it up")
		}
	}()
	watched := make(chan struct{})
	watchCtx, stop := context.WithCancel(context.Background())
	go func() {
		defer close(watched)
		watchdog(watchCtx, p.engine)
	}()
	err := p.engine.Run(ctx, func() { notify(daemon.SdNotifyReady) })
	notify(daemon.SdNotifyStopping)
	stop()
	<-watched
	log.Info("stopped")
	return err
}

// notify tells systemd something, if it listens.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }

// watchdog feeds systemd's watchdog and status as long as the engine makes progress.
func watchdog(ctx context.Context, e *engine.Engine) {
	every := 30 * time.Second
	if w, err := daemon.SdWatchdogEnabled(false); err == nil && w > 0 {
		every = w / 3
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		if err := e.Stuck(); err != nil {
			notify("STATUS=" + err.Error())
		} else {
			notify(daemon.SdNotifyWatchdog)
			if s, err := e.Status(); err == nil {
				notify(fmt.Sprintf("STATUS=cursor %s, %d pending, %d dead letters", s.Cursor, s.Pending, s.Dead))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// notReady returns what keeps the service from doing its job.
func notReady(e *engine.Engine) error {
	if err := e.Stuck(); err != nil {
		return err
	}
	s, err := e.Status()
	switch {
	case err != nil:
		return err
	case s.LastRun.At == "":
		return errors.New("no poll has ended yet")
	case s.LastRun.Error != "":
		return fmt.Errorf("the last poll failed: %s", s.LastRun.Error)
	}
	for _, d := range s.Destinations {
		if d.State == "halted" {
			return fmt.Errorf("destination %s is halted: %s", d.Name, d.Reason)
		}
	}
	return nil
}
