package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/vinfer-sync/vinfer-sync/config"
	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/bolt"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// maxSkew is how far the local clock may be from the API's before check complains.
const maxSkew = 30 * time.Second

func checkCommand(a *app) *cobra.Command {
	var offline bool
	c := &cobra.Command{
		Use: "check", Short: "Check configuration, key and every destination, without writing",
		Long: "Checks the configuration, then the key, the cursor parameter, the clock and every destination. Nothing is written.\n\nExit codes: 0 fine; 1 something is wrong; 69 VInfer or a destination cannot be reached; 77 the key was refused; 78 bad configuration.",
		Args: cobra.NoArgs,
	}
	o := outputFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error { return a.check(c, o, offline) }
	c.Flags().BoolVar(&offline, "offline", false, "only the configuration")
	return c
}

// check prints what it finds as a table. The error has the exit code, and words only where the configuration is at fault.
func (a *app) check(c *cobra.Command, o *output, offline bool) error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	warn(c, cfg)
	t := &checkTable{}
	t.row("configuration", "", nil, cfg.File)
	if !offline {
		ctx, cancel := context.WithTimeout(c.Context(), 2*time.Minute)
		defer cancel()
		t.service(ctx, cfg)
		known := t.store(ctx, a, cfg)
		t.vinfer(ctx, a, cfg)
		for i := range cfg.CRM {
			t.destination(ctx, cfg, &cfg.CRM[i], known[cfg.CRM[i].Name])
		}
	}
	return t.end(a.screen(c, o), o.json())
}

// checkTable prints findings and remembers the exit code that they call for.
type checkTable struct {
	findings []finding
	code     int
}

// finding is a line of the table.
type finding struct {
	State   string `json:"state"` // ok, FAILS, or - where it could not be looked at; of setup: ok, done, optional or to do
	Part    string `json:"part"`
	Subject string `json:"subject"`
	Detail  string `json:"detail"`
}

func (t *checkTable) row(part, subject string, err error, detail string) {
	state := "ok"
	if err != nil {
		state = "FAILS"
		detail = joinText(err.Error(), detail)
		if t.code == exitFine {
			t.code = exitLeft
		}
	}
	t.findings = append(t.findings, finding{state, part, subject, detail})
}

// note prints what could not be looked at: it is neither fine nor at fault.
func (t *checkTable) note(part, subject, detail string) {
	t.findings = append(t.findings, finding{"-", part, subject, detail})
}

func joinText(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// end prints the findings.
func (t *checkTable) end(w *screen, asJSON bool) error {
	var err error
	if asJSON {
		err = json.NewEncoder(w.out).Encode(t.findings)
	} else {
		var rows [][]string
		for _, f := range t.findings {
			rows = append(rows, []string{f.State, f.Part, f.Subject, w.local(f.Detail)})
		}
		err = w.table(make([]string, 4), rows, 2)
	}
	if err != nil {
		return err
	}
	if t.code != exitFine {
		return &exitError{t.code, nil}
	}
	return nil
}

// worse raises the exit code: a refused key, then a bad configuration, then what cannot be reached, before anything else.
func (t *checkTable) worse(code int) {
	rank := []int{exitFine, exitLeft, exitUnreachable, exitConfig, exitRefused}
	if slices.Index(rank, code) > slices.Index(rank, t.code) {
		t.code = code
	}
}

func (t *checkTable) vinfer(ctx context.Context, a *app, cfg *config.Config) {
	api, err := newClient(cfg, a.logger(cfg))
	if err != nil {
		t.row("vinfer", "client", err, "see vinfer.base_url, vinfer.ca_file and vinfer.proxy")
		return
	}
	defer api.Close()
	b, err := api.Probe(ctx)
	switch {
	case errors.Is(err, vinfer.ErrRefused):
		detail := "a Read-Only key is enough"
		if says(err.Error(), "403") {
			detail += "; or a proxy or firewall on the way forbids it"
		}
		t.row("vinfer", "key", err, detail)
		t.worse(exitRefused)
		return
	case err != nil:
		t.row("vinfer", "connection", err, whatToDo(err))
		t.worse(exitUnreachable)
		return
	}
	t.row("vinfer", "key", nil, cfg.VInfer.BaseURL+" accepts it")
	switch param := engine.BoundFor(cfg.VInfer.CursorParam, b); {
	case b.Empty:
		t.row("vinfer", "cursor parameter", nil, "not known yet: the workspace shows no calls; it is found out with the first one")
	case param == "":
		t.row("vinfer", "cursor parameter", engine.ErrUnbounded, "cursor_param is "+cfg.VInfer.CursorParam+"; set it to auto, or ask VInfer which one this workspace takes")
	default:
		upper := "no upper bound: a long range is read as one listing"
		if b.To {
			upper = "`to` bounds it from above"
		}
		t.row("vinfer", "cursor parameter", nil, param+" is honoured; "+upper)
		if b.Unpaged {
			t.row("vinfer", "pages", nil, "limit and offset are refused: each listing is read as one answer")
		}
		if b.AnyTotal {
			t.row("vinfer", "totals", nil, "they count more than a listing has: not relied on, a listing ends with an empty page")
		}
	}
	skew := api.Skew()
	if skew > maxSkew || skew < -maxSkew {
		side := "behind"
		if skew < 0 {
			side = "ahead of"
		}
		t.row("vinfer", "clock", fmt.Errorf("this machine's clock is %s %s VInfer's", skew.Abs().Round(time.Second), side), "set it, with chrony or systemd-timesyncd")
	} else {
		t.row("vinfer", "clock", nil, fmt.Sprintf("%s off VInfer's", skew.Abs().Round(time.Second)))
	}
	if l := api.Budget(); l.Known {
		t.row("vinfer", "request budget", nil, fmt.Sprintf("%d of %d left", l.Remaining, l.Limit))
	}
}

// whatToDo is the remedy where VInfer's API did not answer as it should.
func whatToDo(err error) string {
	if errors.Is(err, vinfer.ErrUnreadable) {
		return "VInfer did not answer this: see vinfer.base_url; or a proxy or a login page on the way answers, see vinfer.proxy"
	}
	at := site{url: "vinfer.base_url", proxy: "vinfer.proxy", ca: "vinfer.ca_file"}
	return or(remedy(err, at), "see vinfer.base_url, vinfer.proxy and the firewall")
}

// known is what the store knows of a destination.
type known struct {
	kind          string
	pending, dead int
}

// store looks whether the state file can be used, and returns what it knows of destinations, by their names. Nothing is written.
func (t *checkTable) store(ctx context.Context, a *app, cfg *config.Config) map[string]known {
	path, all := cfg.Store.Bolt.Path, map[string]known{}
	client, err := a.dial(cfg.Admin.Socket, cfg.State())
	if client != nil {
		defer client.Close()
		s, err := client.Status(ctx)
		for _, d := range s.Destinations {
			all[d.Name] = known{d.Kind, d.Pending, d.Dead}
		}
		t.row("store", "state", err, cfg.State()+", which the running service holds")
		t.schedule(cfg, time.Duration(s.LastRun.TookMS)*time.Millisecond)
		return all
	}
	if err != nil {
		t.row("store", "admin socket", err, or(remedy(err, site{}), "see admin.socket"))
		return all
	}
	if cfg.Store.Postgres != nil {
		return t.database(ctx, cfg)
	}
	dir, made := filepath.Dir(path), ""
	for { // what is not there yet is made at the first start
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			break
		}
		made, dir = filepath.Dir(path)+" is made at the first start", filepath.Dir(dir)
	}
	err = unix.Access(dir, unix.W_OK|unix.X_OK)
	if fi, serr := os.Stat(dir); serr == nil && !fi.IsDir() {
		err = unix.ENOTDIR
	}
	if err != nil {
		err = fmt.Errorf("%s cannot be written to: %w", dir, err)
		t.row("store", "state file", err, or(remedy(err, site{}), "see store.bbolt.path"))
		return all
	}
	if bolt.Absent(path) {
		t.row("store", "state file", nil, or(made, path+" is made at the first start"))
		return all
	}
	var took time.Duration // of the last poll
	st, err := bolt.OpenReadOnly(path)
	if errors.Is(err, store.ErrLocked) {
		t.row("store", "state file", nil, path+", which another process holds: it was not looked at")
		return all
	}
	if err == nil {
		var s store.Stats
		s, err = st.Stats()
		err = errors.Join(err, st.Close())
		took = s.LastRun.Took
		for _, d := range s.Dests {
			all[d.Name] = known{d.Kind, d.Pending, d.Dead}
		}
	}
	detail := path
	if err != nil {
		detail = or(remedy(err, site{}), "see docs/OPERATIONS.md, Repair")
	}
	t.row("store", "state file", err, detail)
	t.schedule(cfg, took)
	return all
}

// schedule warns where the last poll took longer than the schedule leaves. That is no failure: polls follow each other without a pause.
func (t *checkTable) schedule(cfg *config.Config, took time.Duration) {
	next := nextOf(cfg.Schedule)
	if next == nil {
		return
	}
	at := next(time.Now())
	if every := next(at).Sub(at); took > every {
		t.row("vinfer", "schedule", nil, fmt.Sprintf("WARNING: the last poll took %s, longer than %q leaves; %q fits", took.Round(100*time.Millisecond), cfg.Schedule, engine.FittingSchedule(took)))
	}
}

func (t *checkTable) destination(ctx context.Context, cfg *config.Config, c *config.Destination, was known) {
	if was.kind != "" && was.kind != c.Kind() {
		t.row(c.Name, "kind", fmt.Errorf("it is %s now and was %s: once and run refuse that", c.Kind(), was.kind),
			fmt.Sprintf("give the new one another name; the old one has %s that wait and %d dead letters, and goes on when it is configured again", calls(int64(was.pending)), was.dead))
		t.worse(exitConfig)
	}
	d, err := destination(cfg, c)
	if err != nil {
		t.row(c.Name, c.Kind(), err, mended(c, crm.Finding{Err: err}))
		return
	}
	if cl, ok := d.Writer.(io.Closer); ok {
		defer func() { _ = cl.Close() }()
	}
	checker, ok := d.Writer.(crm.Checker)
	if !ok {
		t.row(c.Name, c.Kind(), nil, "configured")
		return
	}
	for _, f := range checker.Check(ctx, statuses(d)) {
		if dir := madeAtStart(cfg, c); dir != "" && errors.Is(f.Err, fs.ErrNotExist) {
			f.Err, f.Detail = nil, dir+" is made at the first start"
		}
		if f.Err != nil {
			f.Detail = mended(c, f)
		}
		t.row(c.Name, f.Subject, f.Err, f.Detail)
		if f.Err == nil {
			continue
		}
		switch {
		case crm.VerdictOf(f.Err) == crm.Halt && hasKey(c):
			t.worse(exitRefused)
		case f.Subject == "connection":
			t.worse(exitUnreachable)
		}
	}
}

// hasKey tells whether a destination can refuse a key: a file or a program has none.
func hasKey(c *config.Destination) bool { return c.File() == "" && c.Exec == nil }

// mended is what a failing line of a destination ends with: what its kind says is to be done, and what its error asks for.
func mended(c *config.Destination, f crm.Finding) string {
	at := site{url: "the destination's url", proxy: "the destination's proxy", ca: "the destination's ca_file"}
	switch {
	case c.Postgres != nil:
		at = site{url: "the dsn", ca: "sslrootcert in the dsn"}
	case c.MySQL != nil:
		at = site{url: "the dsn", ca: "ca_file"}
	}
	if keys, ok := strings.CutPrefix(f.Detail, "see "); ok { // the kind names the keys that lead to its server before the common ones
		keys, _, whole := strings.Cut(keys, ", proxy and the firewall")
		if whole {
			at.url = strings.TrimSuffix(keys, ", ca_file")
		}
	}
	text := f.Err.Error()
	do := remedy(f.Err, at)
	if strings.Contains(text, "connection refused") && !c.HTTP.Proxy.Empty() {
		do = "it goes through its proxy: see host and port there, and whether that runs"
	}
	docs := "docs/crm/" + c.Kind() + ".md"
	switch {
	case c.JSONL != nil:
		docs = "docs/DESTINATIONS.md"
	case c.REST != nil:
		docs = "docs/recipes.md"
	}
	switch told := strings.Contains(f.Detail, " "); { // else it names what was looked at
	case do != "" && strings.HasPrefix(f.Detail, "see "):
		return do // and more to the point
	case do != "" || told:
		return joinText(f.Detail, do)
	case crm.VerdictOf(f.Err) == crm.Halt && hasKey(c):
		return joinText(f.Detail, "see that its key is right, and what the key's user may do: "+docs)
	}
	return joinText(f.Detail, "what it needs: "+docs)
}

// madeAtStart returns the directory of a destination's file if it is the state file's and not there yet: opening the store, or systemd, makes
// it. A new installation is checked before that.
func madeAtStart(cfg *config.Config, c *config.Destination) string {
	dir := filepath.Dir(cfg.Store.Bolt.Path)
	if _, err := os.Stat(dir); filepath.Dir(c.File()) != dir || !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return dir
}

func setupCommand(a *app) *cobra.Command {
	var dry bool
	c := &cobra.Command{
		Use: "setup", Short: "Create what destinations need (fields, tables)", Args: cobra.NoArgs,
		Long: "Create what destinations need: fields, properties, tables. Exits with 1 if something is left to be made by hand.",
	}
	o := outputFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := a.load()
		if err != nil {
			return err
		}
		t := &checkTable{}
		var failed error
		for i := range cfg.CRM {
			d, err := destination(cfg, &cfg.CRM[i])
			if err != nil {
				return &exitError{exitConfig, err}
			}
			failed = errors.Join(failed, t.setup(c.Context(), d, dry))
		}
		return errors.Join(t.end(a.screen(c, o), o.json()), failed)
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "only say what would be made")
	return c
}

// setup makes what a destination needs, and notes what was made and what is left.
func (t *checkTable) setup(ctx context.Context, d engine.Destination, dry bool) error {
	if cl, ok := d.Writer.(io.Closer); ok {
		defer func() { _ = cl.Close() }()
	}
	note := func(state, subject, detail string) {
		t.findings = append(t.findings, finding{state, d.Name, subject, detail})
	}
	p, ok := d.Writer.(crm.Provisioner)
	if !ok {
		note("ok", "", "nothing to set up")
		return nil
	}
	changes, err := p.Provision(ctx, dry)
	left := 0
	for _, ch := range changes {
		state := "to do"
		switch {
		case ch.Done:
			state = "done"
		case ch.Optional && !dry:
			state = "optional"
		default:
			left++
		}
		note(state, ch.Subject, ch.Detail)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", d.Name, err)
	case len(changes) == 0:
		note("ok", "", "nothing to do")
	case left > 0 && !dry:
		return &exitError{exitLeft, fmt.Errorf("%s: %s left to be made by hand, as told above", d.Name, count(left, "thing"))}
	}
	return nil
}
