package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vinfer-sync/vinfer-sync/admin"
	"github.com/vinfer-sync/vinfer-sync/config"
	"github.com/vinfer-sync/vinfer-sync/store"
)

// backend is what commands ask, be it the daemon or the store in this process.
type backend = admin.Backend

// app is what the commands share: where the configuration is, and how to reach the pipeline.
type app struct {
	configPath string
	logLevel   string
	cfg        *config.Config
}

// load reads the configuration, once.
func (a *app) load() (*config.Config, error) {
	if a.cfg != nil {
		return a.cfg, nil
	}
	cfg, err := a.read(config.Load)
	a.cfg = cfg
	return cfg, err
}

// read finds the configuration and reads it by one of the package's two ways.
func (a *app) read(load func(string) (*config.Config, error)) (*config.Config, error) {
	path, err := config.Find(a.configPath)
	if err != nil {
		return nil, &exitError{exitConfig, err}
	}
	cfg, err := load(path)
	if err != nil {
		var bad config.Errors
		if !errors.As(err, &bad) {
			return nil, &exitError{exitConfig, err}
		}
		return nil, err
	}
	if a.logLevel != "" {
		if _, ok := levels[strings.ToLower(a.logLevel)]; !ok {
			return nil, usageError("--log-level %q: write debug, info, warn or error", a.logLevel)
		}
	}
	return cfg, nil
}

// reach reads the configuration and returns the daemon that runs with it; nil if none does. Whoever asks the daemon, or only the state
// file, need not have the service's secrets.
func (a *app) reach() (*config.Config, *admin.Client, error) {
	cfg, err := a.read(config.LoadForOperator)
	var client *admin.Client
	if err == nil {
		client, err = a.dial(cfg.Admin.Socket, cfg.Store.Bolt.Path)
	} else if path, ferr := config.Find(a.configPath); ferr == nil {
		// A daemon that runs with the configuration as it was before goes on, and can tell.
		if c, derr := a.dial(config.Reach(path)); derr == nil && c != nil {
			client, err = c, nil
		}
	}
	return cfg, client, err
}

// with runs f against the daemon, if one runs, and else against the store, opened for it; full: with the whole pipeline.
func (a *app) with(ctx context.Context, full bool, f func(context.Context, backend) error) error {
	cfg, client, err := a.reach()
	if err != nil {
		return err
	}
	if client != nil {
		defer client.Close()
		return f(ctx, client)
	}
	if full {
		if cfg, err = a.load(); err != nil {
			return err
		}
		p, err := openPipeline(cfg, a.logger(cfg))
		if err != nil {
			return unreached(cfg, err)
		}
		if err := p.engine.Start(); err != nil {
			return errors.Join(err, p.close())
		}
		err = f(ctx, p.local)
		return errors.Join(err, p.close())
	}
	st, err := a.openStore(cfg)
	if err != nil {
		return err
	}
	err = f(ctx, &admin.Local{Store: st, Name: cfg.Name, Version: version, Lookback: cfg.Lookback, Region: cfg.Region})
	return errors.Join(err, st.Close())
}

// unreached adds to a store that is held why the holder may not have been asked instead.
func unreached(cfg *config.Config, err error) error {
	if !errors.Is(err, store.ErrLocked) {
		return err
	}
	return fmt.Errorf("%w. If that is the daemon, it does not listen on this configuration's admin.socket, %s: use the daemon's configuration (--config)", err, cfg.Admin.Socket)
}

// preview runs f against the daemon, if one runs, and else against a pipeline that is not started, over a copy of the state.
func (a *app) preview(ctx context.Context, f func(context.Context, backend) error) error {
	_, client, err := a.reach()
	if err != nil {
		return err
	}
	if client != nil {
		defer client.Close()
		return f(ctx, client)
	}
	cfg, err := a.load()
	if err != nil {
		return err
	}
	st, err := store.OpenCopy(cfg.Store.Bolt.Path, store.Options{})
	if err != nil {
		return unreached(cfg, err)
	}
	p, err := assemble(cfg, st, newLogger(cfg.Log.Format, slog.LevelError))
	if err != nil {
		return errors.Join(err, st.Close())
	}
	err = f(ctx, p.local)
	return errors.Join(err, p.close())
}

// openStore opens the store, which has to be there.
func (a *app) openStore(cfg *config.Config) (*store.DB, error) {
	if store.Absent(cfg.Store.Bolt.Path) {
		return nil, &exitError{exitLeft, fmt.Errorf("there is no state file %s yet: nothing has run with this configuration", cfg.Store.Bolt.Path)}
	}
	st, err := store.Open(cfg.Store.Bolt.Path, store.Options{})
	if err != nil {
		return nil, unreached(cfg, err)
	}
	return st, nil
}

// dial returns the running daemon at the socket that holds the state file; nil if none runs.
func (a *app) dial(socket, state string) (*admin.Client, error) {
	if socket == "" {
		return nil, nil
	}
	c, err := admin.Dial(socket, state)
	if errors.Is(err, admin.ErrNoDaemon) {
		return nil, nil
	}
	return c, err
}

// warn shows what is allowed but should be looked at.
func warn(c *cobra.Command, cfg *config.Config) {
	for _, w := range cfg.Warnings {
		fmt.Fprintln(c.ErrOrStderr(), "warning:", w)
	}
}
