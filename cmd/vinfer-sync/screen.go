package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// output is the form in which a command shows what it found.
type output struct {
	form   string
	asJSON bool
}

// outputFlags adds the flags for the form to a command that lists or shows.
func outputFlags(c *cobra.Command) *output {
	o := &output{}
	c.Flags().StringVarP(&o.form, "output", "o", "", "`form`: wide (cuts and wraps nothing) or json")
	c.Flags().BoolVar(&o.asJSON, "json", false, "the same as -o json")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"wide", "json"}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	c.PreRunE = func(*cobra.Command, []string) error {
		if !slices.Contains([]string{"", "wide", "json"}, o.form) {
			return usageError("--output %q: write wide or json", o.form)
		}
		return nil
	}
	return o
}

func (o *output) json() bool { return o.asJSON || o.form == "json" }

// clock shows times in the operator's zone.
type clock struct{ zone *time.Location }

// at shows a time with the name of its zone.
func (k clock) at(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.In(k.zone).Format("2006-01-02 15:04:05 MST")
}

// short shows a time for the column of a table, whose head names the zone.
func (k clock) short(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.In(k.zone).Format("01-02 15:04")
}

// minute is short for a time of another year.
func (k clock) minute(text string) string {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return text
	}
	return t.In(k.zone).Format("2006-01-02 15:04")
}

// head is the head of a column of times.
func (k clock) head(name string) string { return name + " " + time.Now().In(k.zone).Format("MST") }

var instant = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

// local shows the times within a text, which are RFC 3339, in the zone.
func (k clock) local(text string) string {
	return instant.ReplaceAllStringFunc(text, func(s string) string {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return s
		}
		return k.at(t)
	})
}

// screen shows pairs and tables in the width of the terminal. Elsewhere, and with -o wide, nothing is cut or wrapped: programs read it.
type screen struct {
	clock
	out   io.Writer
	width int // in columns; 0: not bounded
	pairs [][2]string
}

// screen returns the one of a command. Its zone is that of the configuration that was read last.
func (a *app) screen(c *cobra.Command, o *output) *screen {
	s := &screen{clock: a.clock(), out: c.OutOrStdout()}
	if f, ok := rawOf(s.out).(*os.File); ok && o.form != "wide" {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil { //nolint:gosec // a file descriptor is small
			s.width = width
		} else if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil {
			s.width = n
		}
	}
	return s
}

// pair takes up a line of a name and what is to be said of it; an empty name goes on with the one before.
func (s *screen) pair(name, format string, args ...any) {
	s.pairs = append(s.pairs, [2]string{name, s.local(fmt.Sprintf(format, args...))})
}

// flush prints the pairs, one below the other.
func (s *screen) flush() error {
	indent := 0
	for _, p := range s.pairs {
		indent = max(indent, utf8.RuneCountInString(p[0])+2)
	}
	var b strings.Builder
	for _, p := range s.pairs {
		b.WriteString(pad(p[0], indent) + strings.Join(s.wrap(p[1], indent), "\n"+strings.Repeat(" ", indent)) + "\n")
	}
	s.pairs = nil
	_, err := io.WriteString(s.out, b.String())
	return err
}

// say prints a paragraph.
func (s *screen) say(format string, args ...any) {
	fmt.Fprintln(s.out, strings.Join(s.wrap(s.local(fmt.Sprintf(format, args...)), 0), "\n"))
}

// wrap breaks a text between words, into lines that fit beside an indent.
func (s *screen) wrap(text string, indent int) []string {
	if s.width <= 0 {
		return strings.Split(text, "\n")
	}
	var lines []string
	for _, line := range strings.Split(text, "\n") {
		now := ""
		for _, word := range strings.Fields(line) {
			for r := []rune(word); len(r) > s.width-indent && s.width > indent; r = []rune(word) { // an address, say
				if now != "" {
					lines, now = append(lines, now), ""
				}
				lines, word = append(lines, string(r[:s.width-indent])), string(r[s.width-indent:])
			}
			if now != "" && indent+utf8.RuneCountInString(now)+1+utf8.RuneCountInString(word) > s.width {
				lines, now = append(lines, now), ""
			}
			now = strings.TrimPrefix(now+" "+word, " ")
		}
		lines = append(lines, now)
	}
	return lines
}

const (
	narrowest = 8  // a column is not cut below that
	room      = 24 // the last column stays beside the others with that much room, else it goes below them
	below     = 4  // how far it is indented there
)

// table prints rows below a head; one of empty cells is not shown. Where the columns before the last one are too wide, those from first on
// are cut. The last one is wrapped: beside the others, or below them where it has no room.
func (s *screen) table(head []string, rows [][]string, first int) error {
	last := len(head) - 1
	widths := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	indent := 0
	for _, w := range widths[:last] {
		indent += w + 2
	}
	for s.width > 0 && indent > s.width {
		widest := slices.Index(widths[:last], slices.Max(append(widths[first:last:last], 0)))
		if widest < first || widths[widest] <= narrowest {
			break
		}
		widths[widest]--
		indent--
	}
	beside := s.width <= 0 || indent+min(widths[last], room) <= s.width
	var b strings.Builder
	for i, row := range append([][]string{head}, rows...) {
		line := ""
		for k, cell := range row[:last] {
			line += pad(cut(cell, widths[k]), widths[k]+2)
		}
		switch {
		case i == 0 && strings.Join(head, "") == "":
			continue
		case beside || utf8.RuneCountInString(line)+utf8.RuneCountInString(row[last]) <= s.width:
			line += strings.Join(s.wrap(row[last], indent), "\n"+strings.Repeat(" ", indent))
		case i > 0:
			line = strings.TrimRight(line, " ") + "\n" + strings.Repeat(" ", below) + strings.Join(s.wrap(row[last], below), "\n"+strings.Repeat(" ", below))
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	_, err := io.WriteString(s.out, b.String())
	return err
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(width-utf8.RuneCountInString(s), 0))
}
