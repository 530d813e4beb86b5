package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/vinfer-sync/vinfer-sync/config"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// Where the service has its files.
const (
	serviceConfig = "/etc/vinfer-sync/config.yaml"
	serviceState  = "/var/lib/vinfer-sync"
	serviceEnv    = "/etc/vinfer-sync/env"

	serviceCredentials = "/etc/vinfer-sync/credentials" //nolint:gosec // a directory

	keyFile = "vinfer_api_key" // beside the configuration
)

// wizard is what init is told, and what it makes of it.
type wizard struct {
	app     *app
	cmd     *cobra.Command
	in      *os.File // the terminal; nil: nobody is asked
	lines   *bufio.Reader
	path    string            // of the configuration, absolute
	kind    string            // of the destination
	keyFrom string            // the file of VInfer's key; -: standard input
	baseURL string            // of VInfer's API; empty: the default
	start   string            // where an empty store begins
	region  string            // of phone numbers
	state   string            // directory of the state file
	set     []string          // keys of the kind, as KEY=VALUE
	values  map[string]string // of the kind's keys
	secrets map[string]string // files to be written beside the configuration, to what is in them
	alone   bool
	force   bool
	noCheck bool
}

func initCommand(a *app) *cobra.Command {
	r := &wizard{app: a, values: map[string]string{}, secrets: map[string]string{}}
	c := &cobra.Command{
		Use: "init", Short: "Write a first configuration, and check it",
		Long: "Asks a few questions on a terminal, or takes the answers from flags, and writes a configuration with the commented example of one\n" +
			"kind of destination. Enter takes what is in brackets. A key is typed or pasted unseen into a file beside the configuration that only\n" +
			"the service reads, and is tried at once. Then init checks the configuration as check does, and names the next command.\n\n" +
			"The configuration is the file of --config, else /etc/vinfer-sync/config.yaml for root where that directory is, else ./config.yaml. One that\n" +
			"exists stays as it is unless --force is given. Ctrl-C writes nothing. Exit codes are those of check.",
		Example: "  vinfer-sync init\n  vinfer-sync init --kind hubspot\n  vinfer-sync init --non-interactive --api-key-file - <key",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r.cmd = c
			return r.run()
		},
	}
	f := c.Flags()
	f.StringVar(&r.kind, "kind", "sqlite", "`kind` of the destination: "+strings.Join(config.Kinds(), ", "))
	f.StringArrayVar(&r.set, "set", nil, "a key that the kind needs, as `KEY=VALUE`")
	f.StringVar(&r.keyFrom, "api-key-file", "", "`file` that holds VInfer's API key; - reads the key from standard input")
	f.StringVar(&r.baseURL, "base-url", "", "`URL` of VInfer's API (default "+config.Default().VInfer.BaseURL+")")
	f.StringVar(&r.start, "start", "now", "where to begin: now, -24h, or a `time`")
	f.StringVar(&r.region, "region", config.Default().Region, "`country` of phone numbers without a country code")
	f.StringVar(&r.state, "state-dir", "", "`directory` of the state file (default "+serviceState+", or state beside a configuration elsewhere)")
	f.BoolVar(&r.force, "force", false, "replace a configuration that exists")
	f.BoolVar(&r.alone, "non-interactive", false, "ask nothing, also on a terminal")
	f.BoolVar(&r.noCheck, "no-check", false, "write it without a check")
	_ = c.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions(config.Kinds(), cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	return c
}

func (r *wizard) run() error {
	if err := r.place(); err != nil {
		return err
	}
	if in, ok := r.cmd.InOrStdin().(*os.File); ok && isTerminal(in) && !r.alone && r.keyFrom != "-" {
		r.in, r.lines = in, bufio.NewReader(in)
		r.say("This writes %s. Enter takes what is in brackets, Ctrl-C writes nothing.\n", r.path)
	} else if !r.alone && !r.noCheck && r.keyFrom == "" && !isFile(filepath.Join(r.dir(), keyFile)) {
		return usageError("nothing was written: standard input is no terminal to ask on, and there is no key. Name its file (--api-key-file FILE), "+
			"pass it on standard input (--api-key-file -), or say --non-interactive and put it into %s later", filepath.Join(r.dir(), keyFile))
	}
	for _, step := range []func() error{r.destination, r.key, r.general, r.write} {
		if err := step(); err != nil {
			return err
		}
	}
	return r.check()
}

// screen is where questions are asked.
func (r *wizard) screen() *screen {
	w := r.app.screen(r.cmd, &output{})
	w.out = r.cmd.ErrOrStderr()
	return w
}

func (r *wizard) say(format string, args ...any) { r.screen().say(format, args...) }

// place finds out where the configuration goes.
func (r *wizard) place() (err error) {
	r.path = r.app.configPath
	if r.path == "" {
		r.path = "config.yaml"
		if isDir(filepath.Dir(serviceConfig)) && os.Geteuid() == 0 {
			r.path = serviceConfig
		}
	}
	if r.path, err = filepath.Abs(r.path); err != nil {
		return err
	}
	if isFile(r.keyFrom) { // from here; the configuration has it from where that is
		if r.keyFrom, err = filepath.Abs(r.keyFrom); err != nil {
			return err
		}
		r.keyFrom = strings.TrimPrefix(r.keyFrom, r.dir()+"/")
	}
	return mayWrite(r.path, r.force)
}

// destination chooses the kind and takes what that needs.
func (r *wizard) destination() error {
	if r.in != nil && !r.cmd.Flags().Changed("kind") {
		r.say("Where do the calls go?")
		w := r.screen()
		for _, k := range config.Kinds() {
			w.pair("  "+k, "%s", config.SampleOf(k).About)
		}
		if err := w.flush(); err != nil {
			return err
		}
		if err := r.line("Kind of destination", &r.kind, r.wrongKind); err != nil {
			return err
		}
	}
	if problem := r.wrongKind(r.kind); problem != "" {
		return usageError("--kind %s: %s", r.kind, problem)
	}
	needs := config.SampleOf(r.kind).Needs
	for _, s := range r.set {
		key, value, ok := strings.Cut(s, "=")
		if !ok || !slices.ContainsFunc(needs, func(n config.Need) bool { return n.Key == key }) {
			return usageError("--set %s: write KEY=VALUE of a key that %s needs; other keys are set in the file", s, r.kind)
		}
		r.values[key] = value
	}
	for _, n := range needs {
		value := or(r.values[n.Key], n.Example)
		if r.kind == "jsonl" && r.values[n.Key] == "" {
			continue // beside the state file
		}
		switch {
		case r.in == nil || r.set != nil && r.values[n.Key] != "" || strings.HasPrefix(n.Example, "{"): // several in one: the file is edited
		case n.Secret():
			if isFile(filepath.Join(r.dir(), value)) {
				r.say("%s is in %s already.", strings.TrimSuffix(n.Key, "_file"), value)
				continue
			}
			text, err := r.hidden(fmt.Sprintf("%s (unseen; Enter: put it into %s later)", strings.TrimSuffix(n.Key, "_file"), value))
			if err != nil {
				return err
			}
			if text != "" {
				r.secrets[value] = text
			}
		default:
			if err := r.line(n.Key, &value, func(string) string { return "" }); err != nil {
				return err
			}
			r.values[n.Key] = value
		}
	}
	return nil
}

func (r *wizard) wrongKind(kind string) string {
	if slices.Contains(config.Kinds(), kind) {
		return ""
	}
	return "it is not one of " + strings.Join(config.Kinds(), ", ")
}

// key takes VInfer's key and tries it.
func (r *wizard) key() error {
	switch {
	case r.keyFrom == "-":
		data, err := io.ReadAll(io.LimitReader(r.cmd.InOrStdin(), 64<<10))
		if err != nil {
			return err
		}
		if r.secrets[keyFile] = strings.TrimSpace(string(data)); r.secrets[keyFile] == "" {
			return usageError("--api-key-file -: there is nothing on standard input")
		}
	case r.keyFrom != "" || r.in == nil || isFile(filepath.Join(r.dir(), keyFile)):
	default:
		for tries := 3; tries > 0; tries-- {
			text, err := r.hidden("VInfer's API key, a Read-Only one (unseen; Enter: put it into " + keyFile + " later)")
			if err != nil || text == "" {
				return err
			}
			r.secrets[keyFile] = text
			if err := r.try(text); err == nil {
				r.say("VInfer accepts the key.")
				return nil
			} else if !errors.Is(err, vinfer.ErrRefused) {
				r.say("VInfer could not be asked, so the key is taken as it is: %v", err)
				return nil
			}
			r.say("VInfer refuses this key. Paste another one, or press Enter to keep it.")
		}
	}
	return nil
}

// try asks VInfer with a key.
func (r *wizard) try(key string) error {
	cfg := config.Default()
	cfg.VInfer.BaseURL = or(r.baseURL, cfg.VInfer.BaseURL)
	cfg.VInfer.APIKey = config.SecretRef{Value: secret.New(key)}
	api, err := newClient(&cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer api.Close()
	ctx, cancel := context.WithTimeout(r.cmd.Context(), 15*time.Second)
	defer cancel()
	_, err = api.Probe(ctx)
	return err
}

// general takes what the configuration says of time and place.
func (r *wizard) general() error {
	if r.state == "" {
		r.state = r.ownState()
	}
	for _, q := range []struct {
		prompt, flag string
		answer       *string
		wrong        func(string) string
	}{
		{"Begin with calls from: now, -24h, or a time", "start", &r.start, func(s string) string { return wrongValue("start", s) }},
		{"Country of phone numbers without a country code", "region", &r.region, func(s string) string { return wrongValue("region", strings.ToUpper(s)) }},
		{"Directory of the state file", "state-dir", &r.state, r.wrongState},
	} {
		if r.in != nil && !r.cmd.Flags().Changed(q.flag) {
			if err := r.line(q.prompt, q.answer, q.wrong); err != nil {
				return err
			}
		}
		if problem := q.wrong(*q.answer); problem != "" {
			return usageError("--%s %s: %s", q.flag, *q.answer, problem)
		}
	}
	r.region = strings.ToUpper(r.region)
	return nil
}

// wrongValue returns what the loader finds wrong with the value of a key.
func wrongValue(key, value string) string {
	_, err := config.Parse("config.yaml", fmt.Appendf(nil, "%s: %q\n", key, value), func(string) (string, bool) { return "none", true })
	var faults config.Errors
	if errors.As(err, &faults) {
		return faults[0].Problem + " (" + faults[0].Remedy + ")"
	}
	return ""
}

func (r *wizard) wrongState(dir string) string {
	home := slices.ContainsFunc([]string{"/home", "/root"}, func(h string) bool { return within(dir, h) })
	switch {
	case !filepath.IsAbs(dir):
		return "it is relative: the service has another working directory, so write the whole path"
	case home && filepath.Dir(r.path) == filepath.Dir(serviceConfig):
		return "the service does not see home directories"
	}
	return ""
}

func (r *wizard) dir() string { return filepath.Dir(r.path) }

// ownState is the directory of the state file where none is named.
func (r *wizard) ownState() string {
	if r.dir() == filepath.Dir(serviceConfig) {
		return serviceState
	}
	return filepath.Join(r.dir(), "state")
}

// text is the configuration.
func (r *wizard) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Every other key, with its default: config.example.yaml. After a change: vinfer-sync check\nvinfer:\n  api_key_file: %s\n", or(strings.TrimPrefix(r.keyFrom, "-"), keyFile))
	if r.baseURL != "" {
		fmt.Fprintf(&b, "  base_url: %q\n", r.baseURL)
	}
	fmt.Fprintf(&b, "# Where an empty store begins. Earlier calls come by: vinfer-sync backfill\nstart: %s\n# Country of phone numbers without a country code.\nregion: %q\n", r.start, r.region)
	if r.state != serviceState {
		fmt.Fprintf(&b, "store:\n  bbolt: {path: %q}\nadmin:\n  socket: %q\n", filepath.Join(r.state, "state.db"), filepath.Join(r.state, "admin.sock"))
	}
	if r.kind == "sqlite" {
		fmt.Fprintf(&b, "# Without crm: the calls go to %s.\n", filepath.Join(r.state, "crm.db"))
	} else {
		if r.kind == "jsonl" && r.values["path"] == "" {
			r.values["path"] = filepath.Join(r.state, "calls.jsonl")
		}
		b.WriteString("crm:\n" + config.SampleOf(r.kind).Text(r.kind, r.values))
	}
	return b.String()
}

// write writes the secrets, then the configuration. What fails takes back what was written before.
func (r *wizard) write() (err error) {
	if r.cmd.Context().Err() != nil {
		return errGivenUp
	}
	var written []string
	defer func() {
		for _, path := range written {
			if err != nil {
				_ = os.Remove(path)
			}
		}
	}()
	for _, name := range slices.Sorted(maps.Keys(r.secrets)) {
		path := filepath.Join(r.dir(), name)
		if err := writeNew(path, []byte(r.secrets[name]+"\n"), r.force); err != nil {
			return err
		}
		written = append(written, path)
	}
	if err := writeNew(r.path, []byte(r.text()), r.force); err != nil {
		return err
	}
	for _, path := range append(slices.Clone(written), r.path) {
		fmt.Fprintln(r.cmd.OutOrStdout(), "wrote", path)
	}
	return nil
}

// check looks at what was written and says what comes next. Nothing of it undoes what was written.
func (r *wizard) check() error {
	out := r.cmd.OutOrStdout()
	flag := " -c " + word(r.path)
	if found, err := config.Find(""); err == nil {
		if abs, err := filepath.Abs(found); err == nil && abs == r.path {
			flag = ""
		}
	}
	var err error
	if !r.noCheck {
		r.app.configPath, r.app.cfg = r.path, nil
		err = r.app.check(r.cmd, &output{}, false)
		complain(r.cmd.ErrOrStderr(), err)
	}
	switch {
	case r.noCheck:
		fmt.Fprintln(out, "\nNext: "+self()+" check"+flag)
	case err != nil:
		fmt.Fprintf(out, "\nFix what fails above in %s.\nNext: %s check%s\n", r.path, self(), flag)
		return &exitError{codeOf(err), nil}
	case r.path == serviceConfig && isDir("/run/systemd/system"):
		fmt.Fprintln(out, "\nNext: systemctl enable --now vinfer-sync\nThen: "+self()+" status")
	default:
		fmt.Fprintf(out, "\nNext: %[1]s once%[2]s\nThen, as a service: %[1]s run%[2]s\n", self(), flag)
	}
	return nil
}

// errGivenUp ends init by the hand of who was asked: nothing has been written then.
var errGivenUp = &exitError{exitLeft, errors.New("given up; nothing was written")}

// line asks for a line. Enter, and an answer that is wrong, keep what answer holds.
func (r *wizard) line(prompt string, answer *string, wrong func(string) string) error {
	text, err := r.ask(fmt.Sprintf("%s [%s]: ", prompt, *answer))
	if err != nil || text == "" {
		return err
	}
	if problem := wrong(text); problem != "" {
		r.say("%q: %s. %s stays.", text, problem, *answer)
		return nil
	}
	*answer = text
	return nil
}

// hidden asks for a line that is not shown, from before it is asked for.
func (r *wizard) hidden(prompt string) (string, error) {
	fd := int(r.in.Fd()) //nolint:gosec // a file descriptor is small
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return "", err
	}
	quiet := *before
	quiet.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &quiet); err != nil {
		return "", err
	}
	text, err := r.ask(prompt + ": ")
	fmt.Fprintln(r.cmd.ErrOrStderr())
	return text, errors.Join(err, unix.IoctlSetTermios(fd, unix.TCSETS, before))
}

// ask reads a line, unless the context ends before.
func (r *wizard) ask(prompt string) (string, error) {
	fmt.Fprint(r.cmd.ErrOrStderr(), prompt)
	type answer struct {
		text string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		text, err := r.lines.ReadString('\n')
		got <- answer{strings.TrimSpace(text), err}
	}()
	select {
	case a := <-got:
		if errors.Is(a.err, io.EOF) {
			fmt.Fprintln(r.cmd.ErrOrStderr())
			return "", errGivenUp
		}
		return a.text, a.err
	case <-r.cmd.Context().Done():
		fmt.Fprintln(r.cmd.ErrOrStderr())
		return "", errGivenUp
	}
}
