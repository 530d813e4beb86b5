// Command vinfer-sync polls finished calls from VInfer and writes each to a CRM, losing nothing and doubling nothing.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/vinfer-sync/vinfer-sync/config"
	"github.com/vinfer-sync/vinfer-sync/store"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

// version is set by the linker.
var version = "dev"

// Exit codes; scripts and the systemd unit rely on them.
const (
	exitFine        = 0
	exitLeft        = 1  // ran, but something failed or is left
	exitUsage       = 2  // wrong usage
	exitUnreachable = 69 // check: VInfer or a destination cannot be reached
	exitLocked      = 75 // another process holds the store
	exitRefused     = 77 // a key was refused
	exitConfig      = 78 // bad configuration; run: also a state that cannot be used
)

// exitError ends the program with a code; a nil err says nothing.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}
func (e *exitError) Unwrap() error { return e.err }

// usageError is a mistake on the command line.
func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// codeOf returns the exit code that an error asks for.
func codeOf(err error) int {
	var x *exitError
	var bad config.Errors
	switch {
	case err == nil:
		return exitFine
	case errors.As(err, &x):
		return x.code
	case errors.As(err, &bad), errors.Is(err, store.ErrKind):
		return exitConfig
	case errors.Is(err, store.ErrLocked):
		return exitLocked
	case engine.Refused(err):
		return exitRefused
	default:
		return exitLeft
	}
}

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	// A service of a few megabytes collects seldom; one that works off a great backlog collects early rather than grow. The limit is
	// none to fail at: what needs more gets it, and collects more often.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(36 << 20)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{}
	root := rootCommand(a)
	out := &printable{out: os.Stdout}
	root.SetOut(out)
	root.SetErr(&printable{out: os.Stderr})
	root.SetArgs(timesAreNoFlags(args))
	var held bytes.Buffer
	root.PersistentPreRun = func(*cobra.Command, []string) {
		if a.quiet {
			out.out = &held
		}
	}
	err := root.ExecuteContext(ctx)
	if a.quiet && err != nil {
		_, _ = held.WriteTo(os.Stdout)
	}
	complain(root.ErrOrStderr(), err)
	return codeOf(err)
}

// complain says what an error has to say.
func complain(out io.Writer, err error) {
	var faults config.Errors
	switch {
	case errors.As(err, &faults) && len(faults) > 1: // one a line, each with its place in front
		fmt.Fprintf(out, "vinfer-sync: %d faults in the configuration\n%v\n", len(faults), faults)
	case err != nil && err.Error() != "":
		fmt.Fprintln(out, "vinfer-sync:", err)
	}
}

func rootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "vinfer-sync",
		Short:         "Poll finished calls from VInfer and write them to your CRM",
		Long:          "vinfer-sync polls finished calls from VInfer's API and writes each to one or more CRMs, files or databases:\nnothing lost, nothing doubled, in order for each contact, inside the API's rate limit.\n\nTo see it work without an account: vinfer-sync demo",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetVersionTemplate(versionLine())
	cobra.AddTemplateFunc("paragraphs", paragraphs)
	root.SetHelpTemplate(`{{with (or .Long .Short)}}{{. | paragraphs}}

{{end}}{{if or .Runnable .HasSubCommands}}{{.UsageString}}{{end}}`)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), "Flags.FlagUsages", fmt.Sprintf("Flags.FlagUsagesWrapped %d", helpWidth)))
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError("%w (see: %s --help)", err, c.CommandPath())
	})
	root.PersistentFlags().StringVarP(&a.configPath, "config", "c", "", "configuration `file` (default ./config.yaml, then /etc/vinfer-sync/config.yaml; for root the other way round)")
	root.PersistentFlags().StringVar(&a.logLevel, "log-level", "", "`level`: debug, info, warn or error (default: the configuration's)")
	root.PersistentFlags().BoolVarP(&a.quiet, "quiet", "q", false, "print nothing when all is fine, and log warnings only (for cron)")
	root.PersistentFlags().BoolVarP(&a.verbose, "verbose", "v", false, "the same as --log-level debug")
	root.PersistentFlags().BoolVar(&a.utc, "utc", false, "show times in UTC rather than in the configuration's timezone")
	_ = root.RegisterFlagCompletionFunc("log-level", cobra.FixedCompletions([]string{"debug", "info", "warn", "error"}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	root.AddCommand(
		initCommand(a), runCommand(a), reloadCommand(a), onceCommand(a), backfillCommand(a), planCommand(a), checkCommand(a), setupCommand(a), statusCommand(a), callsCommand(a), auditCommand(a),
		deadCommand(a), pauseCommand(a), resumeCommand(a), cursorCommand(a), storeCommand(a), forgetCommand(a), simulateCommand(), demoCommand(a), recipeCommand(a), versionCommand(), manCommand(),
	)
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" { // by default it takes any word for a call for help
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		}
	}
	wrongUsage(root)
	return root
}

// helpWidth is how wide help is: what a terminal has at least.
const helpWidth = 80

// paragraphs breaks a text into lines of that width.
func paragraphs(text string) string {
	w := &screen{width: helpWidth}
	var all []string
	for _, p := range strings.Split(strings.TrimSpace(text), "\n\n") {
		all = append(all, strings.Join(w.wrap(strings.ReplaceAll(p, "\n", " "), 0), "\n"))
	}
	return strings.Join(all, "\n\n")
}

// wrongUsage makes mistakes in arguments exit with the code for them.
func wrongUsage(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			err := check(c, args)
			if err == nil {
				return nil
			}
			if c.HasSubCommands() && len(args) > 0 {
				c.SuggestionsMinimumDistance = 2
				if near := c.SuggestionsFor(args[0]); len(near) > 0 {
					return usageError("%w; did you mean %s?", err, strings.Join(near, " or "))
				}
			}
			return usageError("%w (see: %s --help)", err, c.CommandPath())
		}
	}
	for _, sub := range c.Commands() {
		wrongUsage(sub)
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(c.OutOrStdout(), versionLine())
			return err
		},
	}
}

func versionLine() string {
	info, _ := debug.ReadBuildInfo()
	goVersion := ""
	if info != nil {
		goVersion = info.GoVersion
	}
	return fmt.Sprintln("vinfer-sync", version, goVersion)
}
