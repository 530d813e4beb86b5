package manpage

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

func TestWrite(t *testing.T) {
	t.Parallel()
	run := func(*cobra.Command, []string) {}
	root := &cobra.Command{Use: "tool", Version: "1"}
	root.PersistentFlags().StringP("file", "f", "x-y", "the `path` to read")
	parent := &cobra.Command{Use: "parent", Short: "Has others"}
	sub := &cobra.Command{
		Use: "sub ID…", Run: run,
		Long:    "Does \\things\\ that 'quotes' hold.\n.dot begins this one. 'so does that.\n\n    kept   as it is\n    .and this\n      deeper\n\n" + strings.Repeat("word ", 40) + "end.",
		Example: "  tool parent sub 1",
	}
	sub.Flags().Int("number", 0, "how many")
	sub.Flags().String("secret", "", "hidden")
	_ = sub.Flags().MarkHidden("secret")
	parent.AddCommand(sub)
	root.AddCommand(parent, &cobra.Command{Use: "gone", Hidden: true, Run: run})
	var b strings.Builder
	if err := Write(&b, ".TH TOOL 1 \"{{.Date}}\" \"{{.Version}}\"\n.SH OPTIONS\n{{.Options -}}\n.SH COMMANDS\n{{.Commands -}}\n", root, "1-2", time.Unix(1_700_000_000, 0)); err != nil {
		t.Fatal(err)
	}
	const want = `.TH TOOL 1 "2023-11-14" "1\-2"
.SH OPTIONS
.TP
\fB\-f\fR, \fB\-\-file\fR \fIpath\fR
the path to read (default: x\-y)
.TP
\fB\-h\fR, \fB\-\-help\fR
help for tool
.TP
\fB\-v\fR, \fB\-\-version\fR
version for tool
.SH COMMANDS
.SS parent sub ID\[u2026]
Does \ethings\e that \(aqquotes\(aq hold.
\&.dot begins this one.
\(aqso does that.
.PP
.RS 4
.nf
kept   as it is
\&.and this
  deeper
.fi
.RE
.PP
word word word word word word word word word word word word word word word word
word word word word word word word word word word word word word word word word
word word word word word word word word end.
.TP
\fB\-\-number\fR \fIint\fR
how many
.PP
For example:
.PP
.RS 4
.nf
tool parent sub 1
.fi
.RE
`
	if b.String() != want {
		t.Errorf("the page is\n%s\nwant\n%s", b.String(), want)
	}
	if regexp.MustCompile(`[^\x00-\x7f]`).MatchString(b.String()) {
		t.Error("it is not ASCII")
	}
}
