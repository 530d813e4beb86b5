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

	"github.com/vinfer-sync/vinfer-sync/config"
	"github.com/vinfer-sync/vinfer-sync/store"
)

func runCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "run", Short: "Run as a service: poll at once, then on the schedule",
		Long: "Polls at once and then on the schedule, delivers all the time, and answers the other commands on the admin socket.\n" +
			"SIGTERM lets the writes in flight finish. SIGHUP reads the configuration again; one with faults is not taken up.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			// Before anything else: a SIGHUP would end the process otherwise.
			hup := make(chan os.Signal, 1)
			signal.Notify(hup, syscall.SIGHUP)
			defer signal.Stop(hup)
			outliveReaders()
			cfg, err := a.load()
			if err != nil {
				return err
			}
			level := new(slog.LevelVar)
			level.Set(a.levelOf(cfg))
			log := newLogger(cfg.Log.Format, level)
			for _, w := range cfg.Warnings {
				log.Warn(w)
			}
			waits := newStandby(c.Context(), cfg, log)
			for {
				st, err := waits.lead(c.Context(), cfg)
				if err != nil {
					return stopped(c.Context(), unusable(err))
				}
				p, err := assemble(cfg, st, log)
				if err != nil {
					return errors.Join(err, st.Close())
				}
				s := newService(p, log)
				s.hup = hup
				s.load = func() (*config.Config, error) { return config.Load(cfg.File) }
				s.took = func(fresh *config.Config) { cfg = fresh; level.Set(a.levelOf(fresh)) }
				s.listen()
				ctx, deposed := whileLeading(c.Context(), st, log, os.Exit)
				err = s.run(ctx)
				lost := deposed()
				if err = errors.Join(err, s.close()); !lost {
					return err
				}
			}
		},
	}
}

func reloadCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "reload", Short: "Let the service take up its changed configuration", Args: cobra.NoArgs,
		Long: "Asks the running service to read its configuration and the files of secrets again. One with faults is not taken up: its faults are printed, the one before stays in use, and the exit code is 78.",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.change(c, toLook, func(ctx context.Context, b backend) error {
				faults, err := b.Reload(ctx)
				if err == nil && faults != "" {
					err = &exitError{exitConfig, fmt.Errorf("the configuration has faults, and the one before stays in use:\n%s", faults)}
				}
				return err
			})
		},
	}
}

// stopped is the error of a node that stood by: none if it was told to stop.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // what it waited for failed because it was told to stop
	}
	return err
}

// unusable gives a state that no other start can use the exit code after which systemd does not start the service again.
func unusable(err error) error {
	if errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrOlder) || errors.Is(err, store.ErrNewer) {
		return &exitError{exitConfig, err}
	}
	return err
}

// outliveReaders keeps the process alive when the reader of its log goes away, as journald does when it is stopped: by default the next line
// would end it, and systemd takes an end by SIGPIPE for a clean one. The signal is caught and not ignored: programs that are started would
// inherit that.
func outliveReaders() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// notify tells systemd something, if it listens.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }

// watchdog feeds systemd's watchdog and status as long as the engine makes progress.
func (s *service) watchdog(ctx context.Context) {
	every := 30 * time.Second
	if w, err := daemon.SdWatchdogEnabled(false); err == nil && w > 0 {
		every = w / 3
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		e := s.current().engine
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
