package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vinfer-sync/vinfer-sync/admin"
	"github.com/vinfer-sync/vinfer-sync/config"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/bolt"
	"github.com/vinfer-sync/vinfer-sync/store/postgres"
)

// backend is what commands ask, be it the daemon or the store in this process.
type backend = admin.Backend

// app is what the commands share: where the configuration is, and how to reach the pipeline.
type app struct {
	configPath string
	logLevel   string
	utc        bool
	quiet      bool
	verbose    bool
	yes        bool      // no question is asked
	announce   io.Writer // where a command that changes something says of which pipeline; nil: it changes nothing
	cfg        *config.Config
	zone       *time.Location // of the configuration that was read last; nil: none was
}

// clock shows times in the configuration's zone, or in UTC if that is asked for or no configuration can be read.
func (a *app) clock() clock {
	if a.utc || a.zone == nil {
		return clock{time.UTC}
	}
	return clock{a.zone}
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
	takeServiceEnv(path)
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
	a.zone = cfg.Location()
	return cfg, nil
}

// takeServiceEnv sets what systemd or OpenRC would set from the env file beside a configuration below /etc/vinfer-sync, and where systemd's
// credentials come from, so that root need not do that before a command. What is set stays; a file that cannot be read is not this user's.
func takeServiceEnv(path string) {
	whole, err := filepath.Abs(path)
	if err != nil || filepath.Dir(whole) != filepath.Dir(serviceEnv) || os.Getenv("INVOCATION_ID") != "" {
		return
	}
	if _, set := os.LookupEnv("CREDENTIALS_DIRECTORY"); !set && isDir(serviceCredentials) {
		_ = os.Setenv("CREDENTIALS_DIRECTORY", serviceCredentials) // a name without a null byte
	}
	text, err := os.ReadFile(serviceEnv)
	if err != nil {
		return
	}
	for name, value := range envLines(string(text)) {
		if _, set := os.LookupEnv(name); !set {
			_ = os.Setenv(name, value) // it is a name: see envLines
		}
	}
}

// envLines reads NAME=value lines as systemd's EnvironmentFile does.
func envLines(text string) map[string]string {
	vars := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || name == "" || strings.ContainsAny(name, "#; \t\x00") || strings.Contains(value, "\x00") {
			continue
		}
		value = strings.TrimSpace(value)
		if n := len(value); n >= 2 && value[0] == value[n-1] && (value[0] == '"' || value[0] == '\'') {
			value = value[1 : n-1]
		}
		vars[name] = value
	}
	return vars
}

// reach reads the configuration and returns the daemon that runs with it; nil if none does. Whoever asks the daemon, or only the state
// file, need not have the service's secrets.
func (a *app) reach() (*config.Config, *admin.Client, error) {
	cfg, err := a.read(config.LoadForOperator)
	var client *admin.Client
	if err == nil {
		client, err = a.dial(cfg.Admin.Socket, cfg.State())
	} else if path, ferr := config.Find(a.configPath); ferr == nil {
		// A daemon that runs with the configuration as it was before goes on, and can tell.
		if c, derr := a.dial(config.Reach(path)); derr == nil && c != nil {
			client, err = c, nil
		}
	}
	return cfg, client, err
}

// access is what a command needs where no daemon runs.
type access int

const (
	toLook   access = iota // the state, which is only read
	toChange               // the state
	toWork                 // the whole pipeline
)

// startingTime is how long a process that holds the state file may take until it answers on its socket: a daemon that starts.
const startingTime = 2 * time.Second

// with runs f against the daemon, if one runs, and else against the store, opened for it as needed.
func (a *app) with(ctx context.Context, need access, f func(context.Context, backend) error) error {
	for until := time.Now().Add(startingTime); ; {
		cfg, client, err := a.reach()
		if err != nil {
			return err
		}
		if a.announce != nil && cfg != nil && !a.quiet {
			outliveReaders() // the command does its work, whoever reads this
			fmt.Fprintf(a.announce, "pipeline %s, %s\n", cfg.Name, cfg.File)
			a.announce = nil
		}
		if client != nil {
			defer client.Close()
			return f(ctx, client)
		}
		b, closing, err := a.open(ctx, cfg, need)
		if errors.Is(err, store.ErrLocked) && cfg.Store.Postgres == nil && cfg.Admin.Socket != "" && time.Now().Before(until) && pause(ctx, startingTime/20) {
			continue
		}
		if err != nil {
			return unreached(cfg, err)
		}
		return errors.Join(f(ctx, b), closing())
	}
}

// pause waits; false: the context ended before.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// open opens in this process what a command needs, and returns how to close it.
func (a *app) open(ctx context.Context, cfg *config.Config, need access) (_ *admin.Local, closing func() error, err error) {
	if need == toWork || cfg.Store.Postgres != nil { // the database's secret is needed
		if cfg, err = a.load(); err != nil {
			return nil, nil, err
		}
	}
	back, err := asOwner(cfg.Store.Bolt.Path)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			back()
		}
	}()
	if need == toWork {
		p, err := openPipeline(ctx, cfg, a.logger(cfg))
		if err != nil {
			return nil, nil, err
		}
		p.local.Recent = admin.NewTally(p.store, cfg.Location)
		p.engine.Observe(p.local.Recent)
		if err := p.engine.Start(); err != nil {
			return nil, nil, errors.Join(err, p.close())
		}
		return p.local, func() error {
			defer back()
			return errors.Join(p.local.Recent.Save(time.Now(), true), p.close())
		}, nil
	}
	st, err := a.openStore(ctx, cfg, need)
	if err != nil {
		return nil, nil, err
	}
	return &admin.Local{
		Store: st, Name: cfg.Name, Version: version, Lookback: cfg.Lookback, Region: cfg.Region,
		Recent: admin.NewTally(st, cfg.Location), Notes: unattended(cfg, st),
	}, func() error { defer back(); return st.Close() }, nil
}

// change is with for a command that changes something: it says in which pipeline.
func (a *app) change(c *cobra.Command, need access, f func(context.Context, backend) error) error {
	a.announce = c.ErrOrStderr()
	return a.with(c.Context(), need, f)
}

// sure asks on a terminal whether something that cannot be undone is meant. Elsewhere, and with --yes, it is.
func (a *app) sure(c *cobra.Command, format string, args ...any) error {
	in, ok := c.InOrStdin().(*os.File)
	if a.yes || !ok || !isTerminal(in) || !isTerminal(c.OutOrStdout()) {
		return nil
	}
	fmt.Fprintf(c.OutOrStdout(), format+" [y/N] ", args...)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if word := strings.ToLower(strings.TrimSpace(answer)); err == nil && (word == "y" || word == "yes") {
		return nil
	}
	return &exitError{exitLeft, errors.New("nothing was changed")}
}

// asks adds the flag by which sure asks nothing.
func (a *app) asks(c *cobra.Command) { c.Flags().BoolVarP(&a.yes, "yes", "y", false, "ask nothing") }

// unreached adds to a store that is held why the holder may not have been asked instead.
func unreached(cfg *config.Config, err error) error {
	if !errors.Is(err, store.ErrLocked) || cfg.Store.Postgres != nil {
		return err
	}
	return fmt.Errorf("%w. If that is the daemon, it starts or stops just now: try again in a moment. If that does not help, it does not listen on this "+
		"configuration's admin.socket, %s: use the daemon's configuration (--config)", err, cfg.Admin.Socket)
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
	back, err := asOwner(cfg.Store.Bolt.Path)
	if err != nil {
		return err
	}
	defer back()
	st, err := openCopy(ctx, cfg)
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

// openCopy opens what a preview may work on: a copy of the state file. In a database a preview is a transaction that is not committed.
func openCopy(ctx context.Context, cfg *config.Config) (store.Store, error) {
	if cfg.Store.Postgres != nil {
		return postgres.OpenForCommand(ctx, databaseOf(cfg), cfg.Name, node)
	}
	return bolt.OpenCopy(cfg.Store.Bolt.Path, bolt.Options{})
}

// openStore opens the store, which has to be there.
func (a *app) openStore(ctx context.Context, cfg *config.Config, need access) (store.Store, error) {
	if cfg.Store.Postgres != nil {
		return postgres.OpenForCommand(ctx, databaseOf(cfg), cfg.Name, node)
	}
	return openFile(cfg, need)
}

// openFile opens the state file, which has to be there.
func openFile(cfg *config.Config, need access) (*bolt.DB, error) {
	path := cfg.Store.Bolt.Path
	if bolt.Absent(path) {
		return nil, &exitError{exitLeft, fmt.Errorf("there is no state file %s yet: nothing has run with this configuration", path)}
	}
	if need == toLook {
		return bolt.OpenReadOnly(path)
	}
	return bolt.Open(path, bolt.Options{})
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
