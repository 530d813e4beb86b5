package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vinfer-sync/vinfer-sync/config"
)

// Where the service has its files.
const (
	serviceConfig = "/etc/vinfer-sync/config.yaml"
	serviceState  = "/var/lib/vinfer-sync"
	serviceEnv    = "/etc/vinfer-sync/env"

	serviceCredentials = "/etc/vinfer-sync/credentials" //nolint:gosec // a directory
)

// question is one that init asks, by a flag or on the terminal. The configuration has its default.
type question struct {
	flag, key, prompt, usage string
}

var questions = []question{
	{"base-url", "vinfer.base_url", "VInfer's API", "`URL` of VInfer's API"},
	{"schedule", "schedule", "When to poll, as a cron expression", "when to poll, a `cron` expression"},
	{"start", "start", "Deliver calls from when on: now, -24h, or a time as 2026-01-31T09:00:00Z", "where to begin: now, -24h, or a `time`"},
	{"region", "region", "Country of phone numbers without a country code", "`country` of phone numbers without a country code, as IN"},
	{"timezone", "timezone", "Time zone of call-back times", "time `zone` of call-back times, as Asia/Kolkata"},
}

// first is what init is told, and what it makes of it.
type first struct {
	app   *app
	cmd   *cobra.Command
	draft *config.Draft
	ask   *asker // nil: nobody is asked

	path        string // of the configuration, absolute
	given       map[string]*string
	kind, name  string
	settings    []string
	statuses    []string
	state       string
	keyFile     string
	keyEnv      string
	keyCred     string
	force       bool
	unattended  bool
	noCheck     bool
	secrets     map[string]string // files to be written, by path, to what is in them
	variables   []string          // of the environment that the service needs
	credentials []string          // of systemd that it needs
	faults      []string          // where nobody is asked
}

func initCommand(a *app) *cobra.Command {
	r := &first{app: a, given: map[string]*string{}, secrets: map[string]string{}}
	c := &cobra.Command{
		Use: "init", Short: "Write a configuration by question and answer, and check it",
		Long: "Asks what a configuration needs, on a terminal, or takes it from flags; writes it with all its comments, checks it as check does, and\n" +
			"names the next command. Enter takes what is proposed. Keys are typed unseen into files beside the configuration that only the service\n" +
			"reads, or named: a file, a variable of the environment, a credential of systemd. They stand in no configuration and in no flag.\n\n" +
			"The configuration is the file of --config, else /etc/vinfer-sync/config.yaml for root where that directory is, else ./config.yaml. One that\n" +
			"is there stays as it is, but for --force. Ctrl-C leaves nothing behind. What check finds does not undo it: mend that, then check again.\n\n" +
			"Exit codes are those of check; 2 where an answer is missing or wrong and nobody can be asked.",
		Example: "  vinfer-sync init\n" +
			"  vinfer-sync init --kind hubspot --disposition interested=CONNECTED\n" +
			"  vinfer-sync init --non-interactive --api-key-file vinfer_api_key --kind webhook \\\n" +
			"      --set url=https://crm.internal/vinfer --set secret_file=webhook_secret",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			r.cmd = c
			return r.run()
		},
	}
	f := c.Flags()
	f.StringVar(&r.kind, "kind", "", "`kind` of the destination (default: sqlite)")
	f.StringVar(&r.name, "name", "", "`name` of the destination, by which its state is kept (default: by the kind)")
	f.StringArrayVar(&r.settings, "set", nil, "a key of the destination's kind, or one of the configuration with a dot in it, as `KEY=VALUE`; of secrets KEY_file=PATH or KEY='${NAME}'")
	f.StringArrayVar(&r.statuses, "disposition", nil, "lead status of a disposition, as `NAME=STATUS`")
	f.StringVar(&r.keyFile, "api-key-file", "", "`file` that holds VInfer's API key; - reads the key from standard input")
	f.StringVar(&r.keyEnv, "api-key-env", "", "`variable` of the environment that holds it")
	f.StringVar(&r.keyCred, "api-key-credential", "", "`name` of systemd's credential that holds it")
	for _, q := range questions {
		r.given[q.flag] = f.String(q.flag, "", q.usage+" (default: "+exampleOf(q.key)+")")
	}
	f.StringVar(&r.state, "state-dir", "", "`directory` of the state file (default: "+serviceState+", or state beside a configuration that is elsewhere than in /etc/vinfer-sync)")
	f.BoolVar(&r.force, "force", false, "replace a configuration that is there")
	f.BoolVar(&r.unattended, "non-interactive", false, "ask nothing, also on a terminal")
	f.BoolVar(&r.noCheck, "no-check", false, "write it without a check")
	r.complete(c)
	return c
}

// exampleOf returns the default of a question's key.
func exampleOf(key string) string {
	d := config.Default()
	return map[string]string{"vinfer.base_url": d.VInfer.BaseURL, "schedule": d.Schedule, "start": "now", "region": d.Region, "timezone": d.Timezone}[key]
}

func (r *first) run() error {
	if err := r.place(); err != nil {
		return err
	}
	if term := r.terminal(); term != nil && !r.unattended {
		r.ask = newAsker(r.cmd.Context(), term, r.cmd.ErrOrStderr())
		r.ask.say("This writes %s. Enter takes what stands in brackets, Ctrl-C leaves nothing behind.\n", r.path)
	}
	for _, step := range []func() error{r.chooseKind, r.key, r.general, r.settle, r.flags, r.destination, r.mapping} {
		if err := step(); err != nil {
			return err
		}
	}
	if err := r.judge(); err != nil {
		return err
	}
	if err := r.write(); err != nil {
		return err
	}
	return r.check()
}

// terminal returns standard input if somebody sits there.
func (r *first) terminal() *os.File {
	if in, ok := r.cmd.InOrStdin().(*os.File); ok && isTerminal(in) {
		return in
	}
	return nil
}

// place finds out where the configuration goes.
func (r *first) place() error {
	r.path = r.app.configPath
	if r.path == "" {
		r.path = "config.yaml"
		if dir, err := os.Stat(filepath.Dir(serviceConfig)); err == nil && dir.IsDir() && os.Geteuid() == 0 {
			r.path = serviceConfig
		}
	}
	var err error
	if r.path, err = filepath.Abs(r.path); err != nil {
		return err
	}
	if r.keyFile != "" && (r.keyEnv != "" || r.keyCred != "") || r.keyEnv != "" && r.keyCred != "" {
		return usageError("--api-key-file, --api-key-env, --api-key-credential: give one of them")
	}
	return mayWrite(r.path, r.force)
}

func (r *first) dir() string { return filepath.Dir(r.path) }

// wrong notes what a flag has wrong where nobody can be asked.
func (r *first) wrong(format string, args ...any) {
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

// chooseKind begins the draft.
func (r *first) chooseKind() (err error) {
	if r.kind == "" && r.ask != nil {
		r.ask.say("Where do the calls go?")
		for i, k := range config.Kinds() {
			d, err := config.NewDraft(k)
			if err != nil {
				return err
			}
			r.ask.say("  %2d  %-12s %s", i+1, k, cut(d.About(), 100))
		}
		if r.kind, err = r.ask.choose("Kind", config.Kinds(), "sqlite"); err != nil {
			return err
		}
	}
	if r.draft, err = config.NewDraft(or(r.kind, "sqlite")); err != nil {
		return usageError("--kind: %w", err)
	}
	if r.name == "" && r.ask != nil {
		if r.name, err = r.ask.line("Its name, by which its state is kept", r.draft.Name()); err != nil {
			return err
		}
	}
	return r.until("--name", "crm[0].name", or(r.name, r.draft.Name()), "Its name", func(s string) error { r.draft.Rename(s); return nil })
}

// until sets a value until the loader finds nothing wrong with it.
func (r *first) until(flag, key, value, prompt string, set func(string) error) error {
	for {
		err := set(value)
		problem := ""
		if err != nil {
			problem = err.Error()
		}
		for _, f := range r.draft.Faults(r.path) {
			if f.Key == key || f.Key == key+"_file" {
				problem = f.Problem
				if f.Remedy != "" {
					problem += " (" + f.Remedy + ")"
				}
			}
		}
		if problem == "" {
			return nil
		}
		if r.ask == nil {
			r.wrong("%s %q: %s", flag, value, strings.TrimPrefix(problem, key+": "))
			return nil
		}
		r.ask.say("  %q: %s", value, problem)
		if value, err = r.ask.line(prompt, ""); err != nil {
			return err
		}
	}
}

// settle says where the state is kept.
func (r *first) settle() (err error) {
	byDefault := filepath.Join(r.dir(), "state")
	if r.dir() == filepath.Dir(serviceConfig) {
		byDefault = serviceState
	}
	if r.state == "" && r.ask != nil {
		if r.state, err = r.ask.line("Directory of the state file", byDefault); err != nil {
			return err
		}
	}
	if r.state, err = filepath.Abs(or(r.state, byDefault)); err != nil || r.state == serviceState {
		return err
	}
	for key, name := range map[string]string{"store.bbolt.path": "state.db", "admin.socket": "admin.sock"} {
		if err := r.draft.Set(key, r.beside(filepath.Join(r.state, name))); err != nil {
			return usageError("--state-dir: %w", err)
		}
	}
	for _, f := range r.draft.Faults(r.path) {
		if f.Key == "store.bbolt.path" || f.Key == "admin.socket" {
			return usageError("--state-dir %s: %s: %s (%s)", r.state, f.Key, f.Problem, f.Remedy)
		}
	}
	return nil
}

// key takes VInfer's key.
func (r *first) key() error {
	const name = "vinfer_api_key"
	set := func(suffix, value string) error { return r.draft.Set("vinfer.api_key"+suffix, value) }
	switch {
	case r.keyFile == "-":
		data, err := io.ReadAll(io.LimitReader(r.cmd.InOrStdin(), 64<<10))
		if err != nil {
			return err
		}
		if strings.TrimSpace(string(data)) == "" {
			return usageError("--api-key-file -: there is nothing on standard input")
		}
		return r.keep(name, strings.TrimSpace(string(data)), set)
	case r.keyFile != "":
		return set("_file", r.nameOf(r.keyFile))
	case r.keyEnv != "":
		return r.variable(r.keyEnv, set)
	case r.keyCred != "":
		return r.credential(r.keyCred, set)
	case r.ask != nil:
		r.ask.say("\nVInfer's API key: a Read-Only one is enough, and made in VInfer's dashboard.")
		return r.secret(name, "VINFER_API_KEY", set)
	}
	r.wrong("--api-key-file, --api-key-env or --api-key-credential: one is needed, to say where VInfer's API key is")
	return nil
}

// general takes what the configuration says of VInfer and of time and place.
func (r *first) general() error {
	if r.ask != nil {
		r.ask.say("")
	}
	for _, q := range questions {
		value, byDefault := *r.given[q.flag], exampleOf(q.key)
		if value == "" && r.ask != nil {
			var err error
			if value, err = r.ask.line(q.prompt, byDefault); err != nil {
				return err
			}
		}
		if value == "" || value == byDefault {
			continue
		}
		if err := r.until("--"+q.flag, q.key, value, q.prompt, func(s string) error { return r.draft.Set(q.key, s) }); err != nil {
			return err
		}
	}
	return nil
}

// flags takes what --set and --disposition say.
func (r *first) flags() error {
	for _, s := range r.settings {
		key, value, ok := strings.Cut(s, "=")
		if !ok || key == "" {
			return usageError("--set %s: write KEY=VALUE", s)
		}
		if strings.HasSuffix(key, "_file") {
			value = r.nameOf(value)
		}
		set := r.draft.SetOwn
		if strings.Contains(key, ".") {
			set = r.draft.Set
		}
		if err := set(key, value); err != nil {
			return usageError("--set %w", err)
		}
	}
	for _, s := range r.statuses {
		name, status, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return usageError("--disposition %s: write NAME=STATUS, as interested=Prospect", s)
		}
		if err := r.draft.SetStatus(strings.ReplaceAll(strings.ToLower(name), "-", "_"), status); err != nil {
			return usageError("--disposition %w", err)
		}
	}
	return nil
}

// mapping asks for lead statuses.
func (r *first) mapping() error {
	if r.ask == nil || len(r.statuses) > 0 {
		return nil
	}
	names, statuses := r.draft.Statuses()
	r.ask.say("\nWhat a call's disposition makes the contact's lead status:")
	for i, name := range names {
		r.ask.say("  %-20s %s", name, statuses[i])
	}
	other, err := r.ask.choose("Change some, yes or no", []string{"yes", "no", "y", "n"}, "no")
	if err != nil || other[0] == 'n' {
		return err
	}
	for i, name := range names {
		status, err := r.ask.line("  "+name, statuses[i])
		if err != nil {
			return err
		}
		if status == statuses[i] {
			continue
		}
		if err := r.until("--disposition", "mapping.dispositions."+name, status, "  "+name, func(s string) error { return r.draft.SetStatus(name, s) }); err != nil {
			return err
		}
	}
	return nil
}

// judge errs if the loader would not take the configuration; secrets that are not there yet do not count.
func (r *first) judge() error {
	for _, f := range r.draft.Faults(r.path) {
		if len(r.faults) > 0 && (strings.HasPrefix(f.Key, "vinfer.api_key") || slices.ContainsFunc(questions, func(q question) bool { return q.key == f.Key }) || f.Key == "crm[0].name") {
			continue // told of already
		}
		if key, ok := strings.CutPrefix(f.Key, "crm[0]."+r.draft.Kind()+"."); ok {
			if !slices.ContainsFunc(r.faults, func(s string) bool { return strings.HasPrefix(s, "--set "+key) }) {
				f.File, f.Line, f.Key = "", 0, ""
				r.wrong("--set %s: %s", key, strings.TrimPrefix(f.String(), ": "))
			}
			continue
		}
		f.File, f.Line = "", 0
		r.wrong("%s", f)
	}
	switch len(r.faults) {
	case 0:
		return nil
	case 1:
		return usageError("%s", r.faults[0])
	}
	return usageError("nothing was written:\n  %s", strings.Join(r.faults, "\n  "))
}
