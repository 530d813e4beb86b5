// Package manpage writes a program's manual page, in man(7), from its commands: what they say about themselves is said once, in the code.
package manpage

import (
	"fmt"
	"io"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Write executes a page's template, which is man(7) but for {{.Date}}, {{.Version}}, {{.Options}} (the flags that all commands take) and
// {{.Commands}} (each visible command with its words, flags and examples). A zero date is left out.
func Write(w io.Writer, page string, root *cobra.Command, version string, date time.Time) error {
	t, err := template.New("page").Parse(page)
	if err != nil {
		return err
	}
	root.InitDefaultHelpFlag()
	root.InitDefaultVersionFlag()
	var options, commands strings.Builder
	flags(&options, root.PersistentFlags())
	flags(&options, local(root))
	for _, c := range root.Commands() {
		command(&commands, c)
	}
	day := ""
	if !date.IsZero() {
		day = date.UTC().Format(time.DateOnly)
	}
	var b strings.Builder
	err = t.Execute(&b, map[string]string{"Date": day, "Version": escape(version), "Options": options.String(), "Commands": commands.String()})
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, wrap(b.String()))
	return err
}

// widest is how long a line of the page's source is to be.
const widest = 79

// wrap breaks the lines of running text at their widest, and behind each sentence: the reader sets the space there.
func wrap(page string) string {
	var b strings.Builder
	filled := true
	for l := range strings.Lines(page) {
		switch {
		case strings.HasPrefix(l, ".nf"):
			filled = false
		case strings.HasPrefix(l, ".fi"):
			filled = true
		}
		if !filled || strings.HasPrefix(l, ".") {
			b.WriteString(l)
			continue
		}
		n := 0
		for i, word := range strings.Fields(l) {
			if i > 0 {
				if last := b.String()[b.Len()-1]; n+1+len(word) > widest || last == '.' || last == '?' {
					b.WriteByte('\n')
					n = 0
					if word[0] == '.' || word[0] == '\'' {
						word = `\&` + word
					}
				} else {
					b.WriteByte(' ')
					n++
				}
			}
			b.WriteString(word)
			n += len(word)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// command writes a command's section, then those of its own commands.
func command(w *strings.Builder, c *cobra.Command) {
	if !c.IsAvailableCommand() {
		return
	}
	if c.HasAvailableSubCommands() && !does(c) {
		for _, sub := range c.Commands() {
			command(w, sub)
		}
		return
	}
	use := strings.TrimPrefix(strings.TrimSuffix(c.UseLine(), " [flags]"), c.Root().Name()+" ")
	fmt.Fprintf(w, ".SS %s\n", escape(use))
	long := c.Long
	if long == "" {
		long = c.Short + "."
	}
	prose(w, "", long)
	flags(w, local(c))
	if c.Example != "" {
		prose(w, ".PP\n", "For example:\n\n"+c.Example)
	}
	for _, sub := range c.Commands() {
		command(w, sub)
	}
}

// does tells whether a command does something itself, besides showing its help: it has flags of its own then.
func does(c *cobra.Command) bool { return local(c).HasAvailableFlags() }

// local returns a command's own flags but for --help, which all have.
func local(c *cobra.Command) *pflag.FlagSet {
	set := pflag.NewFlagSet(c.Name(), pflag.ContinueOnError)
	c.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
		if c.PersistentFlags().Lookup(f.Name) == nil && (f.Name != "help" || !c.HasParent()) {
			set.AddFlag(f)
		}
	})
	return set
}

// flags writes one paragraph for each.
func flags(w *strings.Builder, set *pflag.FlagSet) {
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		name, usage := pflag.UnquoteUsage(f)
		w.WriteString(".TP\n")
		if f.Shorthand != "" {
			fmt.Fprintf(w, "\\fB%s\\fR, ", escape("-"+f.Shorthand))
		}
		fmt.Fprintf(w, "\\fB%s\\fR", escape("--"+f.Name))
		if name != "" {
			fmt.Fprintf(w, " \\fI%s\\fR", escape(name))
		}
		switch f.DefValue {
		case "", "0", "0s", "false", "[]":
		default:
			usage += " (default: " + f.DefValue + ")"
		}
		w.WriteString("\n" + line(usage))
	})
}

// prose writes text as the commands have it: paragraphs between blank lines, and indented lines that stay as they are. before is what
// sets the first paragraph off.
func prose(w *strings.Builder, before, text string) {
	for paragraph := range strings.SplitSeq(strings.Trim(text, "\n"), "\n\n") {
		lines := strings.Split(strings.Trim(paragraph, "\n"), "\n")
		if strings.HasPrefix(lines[0], " ") || strings.HasPrefix(lines[0], "\t") {
			w.WriteString(".PP\n.RS 4\n.nf\n")
			indent := lines[0][:len(lines[0])-len(strings.TrimLeft(lines[0], " \t"))]
			for _, l := range lines {
				w.WriteString(line(strings.TrimPrefix(l, indent)))
			}
			w.WriteString(".fi\n.RE\n")
			continue
		}
		w.WriteString(before)
		before = ".PP\n"
		for _, l := range lines {
			w.WriteString(line(strings.TrimLeft(l, "# "))) // cobra's own words have headings
		}
	}
}

// line returns a line of text as one of the page.
func line(s string) string {
	s = escape(strings.TrimRight(s, " \t"))
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s // no request
	}
	return s + "\n"
}

// escape returns text that stands for itself. What is not ASCII is named, as not every reader takes UTF-8.
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\\':
			b.WriteString(`\e`)
		case r == '-':
			b.WriteString(`\-`)
		case r == '\'':
			b.WriteString(`\(aq`)
		case r == '"':
			b.WriteString(`\(dq`)
		case r == '`':
			b.WriteString(`\(ga`)
		case r == '^':
			b.WriteString(`\(ha`)
		case r == '~':
			b.WriteString(`\(ti`)
		case r >= utf8.RuneSelf:
			fmt.Fprintf(&b, `\[u%04X]`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
