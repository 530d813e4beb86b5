package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/nyaruka/phonenumbers"
	"github.com/spf13/cobra"

	"github.com/vinfer-sync/vinfer-sync/config"
)

// credentialsVariable is where systemd tells a unit of its credentials.
const credentialsVariable = "CREDENTIALS_DIRECTORY"

// write writes what was answered, secrets first. What fails takes back what was written before.
func (r *first) write() (err error) {
	if r.cmd.Context().Err() != nil {
		return errGivenUp
	}
	var written []string
	defer func() {
		if err != nil {
			for _, path := range written {
				_ = os.Remove(path)
			}
		}
	}()
	for _, path := range slices.Sorted(maps.Keys(r.secrets)) {
		if err := writeNew(path, []byte(r.secrets[path]), 0o600, r.force); err != nil {
			return err
		}
		written = append(written, path)
	}
	if err := writeNew(r.path, []byte(r.draft.Text()), 0o640, r.force); err != nil {
		return err
	}
	if r.ask != nil {
		r.ask.say("")
	}
	for _, path := range append(written, r.path) {
		fmt.Fprintln(r.cmd.OutOrStdout(), "wrote", path)
	}
	return nil
}

// check looks at what was written and says what comes next. Nothing of it undoes what was written.
func (r *first) check() error {
	out := r.cmd.OutOrStdout()
	flag := " -c " + word(r.path)
	if found, err := config.Find(""); err == nil {
		if abs, err := filepath.Abs(found); err == nil && abs == r.path {
			flag = ""
		}
	}
	name, again := self(), self()+" check"+flag
	if len(r.credentials) > 0 && os.Getenv(credentialsVariable) == "" { // systemd gives them to the unit alone
		again = credentialsVariable + "=" + serviceCredentials + " " + again
		if err := os.Setenv(credentialsVariable, serviceCredentials); err != nil {
			return err
		}
	}
	todo := r.needs()
	var err error
	if !r.noCheck {
		fmt.Fprintln(out)
		r.app.configPath, r.app.cfg = r.path, nil
		err = r.app.check(r.cmd, &output{}, false)
		complain(r.cmd.ErrOrStderr(), err)
		if err != nil {
			todo = append(todo, "mend what stands above: the answers are in "+r.path+", and nothing need be asked again")
		}
	}
	fmt.Fprintln(out)
	for _, line := range todo {
		fmt.Fprintln(out, "To do:", line)
	}
	switch {
	case r.noCheck || err != nil:
		fmt.Fprintln(out, "Next:", again)
	case r.path == serviceConfig && isDir("/run/systemd/system"):
		fmt.Fprintln(out, "Next: systemctl enable --now vinfer-sync")
		fmt.Fprintln(out, "Then:", name+" status")
	default:
		fmt.Fprintln(out, "Next:", name+" once"+flag)
		fmt.Fprintln(out, "Then, as a service:", name+" run"+flag)
	}
	if err != nil {
		return &exitError{codeOf(err), nil}
	}
	return nil
}

// word writes an argument so that a shell takes it as one.
func word(s string) string {
	special := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/._-+@:", r)
	}
	if s != "" && !strings.ContainsFunc(s, special) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func isDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}

// complete proposes what the flags take.
func (r *first) complete(c *cobra.Command) {
	words := func(list ...string) cobra.CompletionFunc {
		return cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp)
	}
	// each proposes a word and what it means, and lets a value follow.
	each := func(of func(*config.Draft) []string) cobra.CompletionFunc {
		return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			d, err := config.NewDraft(or(r.kind, "sqlite"))
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return of(d), cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
		}
	}
	flags := map[string]cobra.CompletionFunc{
		"kind": words(config.Kinds()...),
		"set": each(func(d *config.Draft) (all []string) {
			for _, s := range d.Settings() {
				key := s.Key
				if s.Secret {
					key += "_file"
				}
				all = append(all, cobra.CompletionWithDesc(key+"=", s.About))
			}
			return all
		}),
		"disposition": each(func(d *config.Draft) (all []string) {
			names, statuses := d.Statuses()
			for i, name := range names {
				all = append(all, cobra.CompletionWithDesc(name+"=", "now "+strings.Trim(statuses[i], `"'`)))
			}
			return all
		}),
		"schedule": words("@every 1m", "@every 5m", "*/5 9-18 * * *"),
		"start":    words("now", "-24h", "-7d"),
		"timezone": words("Asia/Kolkata", "UTC", "Europe/London", "America/New_York", "Asia/Dubai", "Asia/Singapore"),
		"region":   words(slices.Sorted(maps.Keys(phonenumbers.GetSupportedRegions()))...),
		"name":     cobra.NoFileCompletions, "base-url": cobra.NoFileCompletions, "api-key-env": cobra.NoFileCompletions, "api-key-credential": cobra.NoFileCompletions,
	}
	var err error
	for name, f := range flags {
		err = errors.Join(err, c.RegisterFlagCompletionFunc(name, f))
	}
	if err != nil {
		panic(err) // a flag that is not there
	}
}
