package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"
	"golang.org/x/term"

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

var levels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

// logger writes to stderr: coloured on a terminal, without a time under systemd, which has its own.
func (a *app) logger(cfg *config.Config) *slog.Logger {
	name := cfg.Log.Level
	if a.logLevel != "" {
		name = a.logLevel
	}
	return newLogger(cfg.Log.Format, levels[strings.ToLower(name)])
}

func newLogger(format string, level slog.Level) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	switch {
	case format == "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, o))
	case format != "text" && term.IsTerminal(int(os.Stderr.Fd())): //nolint:gosec // a file descriptor is small
		return slog.New(tint.NewTextHandler(os.Stderr, &tint.Options{Level: level, TimeFormat: "15:04:05"}))
	case os.Getenv("JOURNAL_STREAM") != "":
		o.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
		return slog.New(slog.NewTextHandler(os.Stderr, o))
	default:
		return slog.New(slog.NewTextHandler(os.Stderr, o))
	}
}

// with runs f against the daemon, if one runs, and else against the store, opened for it; full: with the whole pipeline.
func (a *app) with(ctx context.Context, full bool, f func(context.Context, backend) error) error {
	// Whoever asks the daemon, or only the state file, need not have the service's secrets.
	cfg, err := a.read(config.LoadForOperator)
	if err != nil {
		return err
	}
	client, err := a.dial(cfg)
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
			return err
		}
		p.engine.Start()
		err = f(ctx, p.local)
		return errors.Join(err, p.close())
	}
	if _, err := os.Stat(cfg.Store.Bolt.Path); errors.Is(err, os.ErrNotExist) {
		return &exitError{exitLeft, fmt.Errorf("there is no state file %s yet: nothing has run with this configuration", cfg.Store.Bolt.Path)}
	}
	st, err := store.Open(cfg.Store.Bolt.Path, store.Options{})
	if err != nil {
		return err
	}
	err = f(ctx, &admin.Local{Store: st, Name: cfg.Name, Version: version})
	return errors.Join(err, st.Close())
}

// dial returns the running daemon of this configuration; nil if none runs.
func (a *app) dial(cfg *config.Config) (*admin.Client, error) {
	if cfg.Admin.Socket == "" {
		return nil, nil
	}
	c, err := admin.Dial(cfg.Admin.Socket, cfg.Store.Bolt.Path)
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
