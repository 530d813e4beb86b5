package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/vinfer-sync/vinfer-sync/config"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

const demoMark = "# Made by vinfer-sync demo."

const demoConfig = demoMark + ` The calls come from a simulated VInfer API.
name: demo
vinfer:
  base_url: %s
  api_key: demo
schedule: "@every 2s"
start: -24h
store:
  bbolt: {path: state.db}
crm:
  - name: crm            # contacts, calls, notes and tasks in real tables
    sqlite: {path: crm.db}
  - name: events         # VInfer's webhook events, to a handler inside the firewall
    webhook: {url: "http://%s/hook", secret: demo-secret}
  - name: file           # a line for every event
    jsonl: {path: calls.jsonl}
admin:
  socket: %s
  listen: 127.0.0.1:0
log: {level: warn}
`

func demoCommand(a *app) *cobra.Command {
	var dir string
	var once bool
	var calls int
	c := &cobra.Command{
		Use: "demo", Short: "See it work: made-up calls into a database, a webhook and a file",
		Long: "Runs a simulated VInfer API, the daemon and three destinations in one process, on this machine only, and prints what arrived.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if calls < 0 {
				return usageError("--calls %d: a number from 0 up", calls)
			}
			if _, ok := levels[strings.ToLower(a.logLevel)]; a.logLevel != "" && !ok {
				return usageError("--log-level %q: write debug, info, warn or error", a.logLevel)
			}
			if dir == "" {
				d, err := os.MkdirTemp("", "vinfer-sync-demo-")
				if err != nil {
					return err
				}
				dir = d
			} else if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			dir, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			return runDemo(c.Context(), a, c.OutOrStdout(), dir, calls, once)
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "where its files go (default: a new temporary directory)")
	c.Flags().BoolVar(&once, "once", false, "end by itself")
	c.Flags().IntVar(&calls, "calls", 150, "made-up calls to begin with")
	return c
}

// self is how to call this program: by its name where it is found by that, else by the path that it was called by.
func self() string {
	if !strings.Contains(os.Args[0], "/") {
		return "vinfer-sync"
	}
	return os.Args[0]
}

// receiver is the demo's webhook handler: it counts.
type receiver struct{ events, bad atomic.Int64 }

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if _, err := io.Copy(io.Discard, q.Body); err != nil || q.Header.Get("X-VInfer-Signature") == "" {
		r.bad.Add(1)
		http.Error(w, "unsigned", http.StatusBadRequest)
		return
	}
	r.events.Add(1)
}

func runDemo(ctx context.Context, a *app, out io.Writer, dir string, calls int, once bool) error {
	sim := simulator.New(simulator.Options{
		Seed: 7, Dialect: simulator.Reference, Calls: calls, Span: 6 * time.Hour, Rate: 40,
		InProgress: min(3, calls/10), LateDispositions: 0.05, TranscriptDelay: 20 * time.Second,
	})
	base, stop, err := sim.Listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	defer stop()
	hook := &receiver{}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: hook, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(ln) }()
	defer func() { _ = server.Close() }()

	path := filepath.Join(dir, "config.yaml")
	text := fmt.Sprintf(demoConfig, base, ln.Addr(), filepath.Join(dir, "admin.sock"))
	if old, err := os.ReadFile(path); err == nil && !strings.HasPrefix(string(old), demoMark) {
		return usageError("--dir %s: there is a configuration in it already that is not the demo's; name another directory", dir)
	}
	cfg, err := config.Parse(path, []byte(text), os.LookupEnv)
	if err != nil {
		return err
	}
	level := slog.LevelWarn
	if a.logLevel != "" {
		level = levels[strings.ToLower(a.logLevel)]
	}
	log := newLogger("auto", level)
	p, err := openPipeline(ctx, cfg, log) // before the file is written: another demo may run here
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return errors.Join(err, p.close())
	}
	fmt.Fprintf(out, "A simulated VInfer API with %d made-up calls is at %s.\nThe daemon polls it every 2 seconds and writes to three destinations.\n\n", calls, base)
	runCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	s := newService(p, log)
	s.listen()
	if s.web != nil {
		fmt.Fprintf(out, "Dashboard: http://%s/\n\n", s.web.Addr)
	}
	go func() { ended <- s.run(runCtx) }()
	if once {
		err = demoUntilQuiet(runCtx, out, p, sim, 12*time.Second)
	} else {
		fmt.Fprintf(out, "In another terminal: %s status -c %s\nEnd with ctrl-C.\n", self(), path)
		<-ctx.Done()
	}
	cancel()
	err = errors.Join(err, <-ended)
	serr := demoSummary(context.WithoutCancel(ctx), out, p, sim, hook, dir)
	return errors.Join(err, serr, p.close())
}

// demoUntilQuiet waits until all that was there at the start has arrived, but no longer than limit.
func demoUntilQuiet(ctx context.Context, out io.Writer, p *pipeline, sim *simulator.Server, limit time.Duration) error {
	end := time.After(limit)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	calm := 0
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end:
			return nil
		case <-tick.C:
		}
		s, err := p.engine.Status()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "  polled: cursor %s; %d requests so far; pending %d, transcripts awaited %d\n", s.Cursor, sim.Served(), s.Pending, s.Transcripts)
		if calm++; s.Pending > 0 {
			calm = 0
		}
		if calm >= 6 {
			return nil
		}
	}
}

// demoSummary prints what arrived where, and where to look.
func demoSummary(ctx context.Context, out io.Writer, p *pipeline, sim *simulator.Server, hook *receiver, dir string) error {
	s, err := p.engine.Status()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nPolled with %d requests, up to %s. What arrived:\n\n", sim.Served(), s.Cursor)
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "DESTINATION\tKIND\tDELIVERED\tPENDING\tDEAD\tWHERE")
	where := map[string]string{
		"crm": filepath.Join(dir, "crm.db"), "file": filepath.Join(dir, "calls.jsonl"),
		"events": fmt.Sprintf("a handler in this process: %d signed events", hook.events.Load()),
	}
	for _, d := range s.Destinations {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\n", d.Name, d.Kind, d.Delivered, d.Pending, d.Dead, where[d.Name])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := demoOutcomes(ctx, out, filepath.Join(dir, "crm.db")); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nDelivered counts calls, later changes of them, and transcripts. Look further:\n"+
		"  %s status -c %s\n  %s calls list -c %s\n  sqlite3 %s 'select * from contact_timeline limit 10'\n  tail -n 1 %s\n",
		self(), filepath.Join(dir, "config.yaml"), self(), filepath.Join(dir, "config.yaml"), filepath.Join(dir, "crm.db"), filepath.Join(dir, "calls.jsonl"))
	return nil
}

func demoOutcomes(ctx context.Context, out io.Writer, path string) (err error) {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var contacts, calls, notes, tasks int
	var tables int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master WHERE name = 'calls'").Scan(&tables); err != nil {
		return err
	}
	if tables == 0 {
		_, err := fmt.Fprintln(out, "\nNothing was delivered yet, so the database is empty.")
		return err
	}
	row := db.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM contacts), (SELECT count(*) FROM calls), (SELECT count(*) FROM notes), (SELECT count(*) FROM tasks)")
	if err := row.Scan(&contacts, &calls, &notes, &tasks); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nThe database holds %d contacts, %d calls, %d transcripts and %d follow-up tasks. Outcomes:\n\n", contacts, calls, notes, tasks)
	rows, err := db.QueryContext(ctx, "SELECT coalesce(disposition, '(not set yet)'), count(*), round(avg(duration_seconds)) FROM calls GROUP BY 1 ORDER BY 2 DESC")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for rows.Next() {
		var disposition string
		var n int
		var seconds sql.NullFloat64
		if err := rows.Scan(&disposition, &n, &seconds); err != nil {
			return err
		}
		fmt.Fprintf(w, "  %s\t%d calls\t%.0f s on average\n", disposition, n, seconds.Float64)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return w.Flush()
}
