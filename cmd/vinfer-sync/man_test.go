package main

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vinfer-sync/vinfer-sync/internal/manpage"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// TestManPageIsComplete looks for every command, flag and exit code of the program in its manual page.
func TestManPageIsComplete(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	root := rootCommand(&app{})
	if err := manpage.Write(&b, manPage, root, "1.2.3", time.Unix(1_700_000_000, 0)); err != nil {
		t.Fatal(err)
	}
	page := strings.ReplaceAll(b.String(), `\-`, "-")
	// The section of each command is all up to the next.
	sections := map[string]string{}
	_, commands, _ := strings.Cut(page, ".SH COMMANDS\n")
	commands, _, _ = strings.Cut(commands, "\n.SH ")
	for s := range strings.SplitSeq(commands, "\n.SS ") {
		use, text, _ := strings.Cut(s, "\n")
		sections[use] = text
	}
	options, _, _ := strings.Cut(page, ".SH COMMANDS\n")
	seen := 0
	var look func(c *cobra.Command)
	look = func(c *cobra.Command) {
		text := options
		if c.HasParent() {
			use := strings.TrimPrefix(strings.TrimSuffix(c.UseLine(), " [flags]"), root.Name()+" ")
			var ok bool
			if text, ok = sections[strings.ReplaceAll(use, "…", `\[u2026]`)]; !ok && !c.HasAvailableSubCommands() {
				t.Errorf("the page has no %s", use)
			}
		}
		seen++
		c.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
			if (f.Name != "help" || !c.HasParent()) && !f.Hidden && !strings.Contains(text, `\fB--`+f.Name+`\fR`) {
				t.Errorf("%s: the page has no --%s", c.CommandPath(), f.Name)
			}
		})
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				look(sub)
			}
		}
	}
	look(root)
	if seen < 30 {
		t.Errorf("only %d commands seen", seen)
	}
	for _, code := range []int{exitFine, exitLeft, exitUsage, exitUnreachable, exitLocked, exitRefused, exitConfig} {
		if !strings.Contains(page, ".TP\n.B "+strconv.Itoa(code)+"\n") {
			t.Errorf("the page has no exit status %d", code)
		}
	}
	for _, name := range []string{"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS", "FILES", "ENVIRONMENT", "EXIT STATUS", "SIGNALS", "EXAMPLES", "SEE ALSO"} {
		if !strings.Contains(page, "\n.SH "+name+"\n") {
			t.Errorf("the page has no %s", name)
		}
	}
}

// TestManPageOfTheProgram prints it as the build does: the same each time, with the date it is given.
func TestManPageOfTheProgram(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	page := func(epoch string) result {
		c := w.command("man")
		c.Env = append(c.Env, "SOURCE_DATE_EPOCH="+epoch)
		var stdout, stderr strings.Builder
		c.Stdout, c.Stderr = &stdout, &stderr
		return result{code: exitOf(t, c.Run()), stdout: stdout.String(), stderr: stderr.String()}
	}
	first := page("1700000000")
	if first.code != exitFine || !strings.HasPrefix(first.stdout, `.TH VINFER\-SYNC 1 "2023-11-14" "vinfer\-sync `) {
		t.Errorf("exit code %d, %.100s %s", first.code, first.stdout, first.stderr)
	}
	if again := page("1700000000"); again != first {
		t.Error("the second page differs")
	}
	if now := time.Now().UTC().Format(time.DateOnly); strings.Contains(page("").stdout, now) {
		t.Error("it holds the time of its making")
	}
	if bad := page("yesterday"); bad.code != exitUsage {
		t.Errorf("exit code %d for a bad date", bad.code)
	}
	// What a reader of man(7) would stumble over: other requests, and lines that are too long for a terminal's pager of the source.
	requests := regexp.MustCompile(`^\.(TH|SH|SS|PP|TP|TQ|RS 4|RE|nf|fi|B|I|BR|IR|RB|RI)( |$)`)
	for n, l := range strings.Split(first.stdout, "\n") {
		if strings.HasPrefix(l, ".") && !requests.MatchString(l) || strings.HasPrefix(l, "'") || strings.Contains(l, "{{") || len(l) > 120 {
			t.Errorf("line %d: %s", n+1, l)
		}
	}
}
