package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	File         string
	Line, Column int    // from 1; 0: the file as a whole
	Key          string // vinfer.page_size, crm[0].workers; empty: the file as a whole
	Value        string // as written; empty where it is a secret, or where there is none
	Problem      string
	Remedy       string
}

// String returns the fault as one line: file:line:col: key: problem: "value" (remedy).
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	b.WriteString(f.Problem)
	if f.Value != "" {
		b.WriteString(": " + quote(f.Value))
	}
	if f.Remedy != "" {
		b.WriteString(" (" + f.Remedy + ")")
	}
	return b.String()
}

// Errors is everything that is wrong with a configuration, in the order of the file. It is never empty.
type Errors []Fault

// Error returns one line a fault.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, f := range e {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// maxFaults keeps a hopeless file from filling the terminal.
const maxFaults = 50

func (e Errors) sorted() Errors {
	slices.SortStableFunc(e, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Problem, b.Problem))
	})
	if len(e) > maxFaults {
		rest := len(e) - maxFaults
		e = append(e[:maxFaults:maxFaults], Fault{File: e[0].File, Problem: strconv.Itoa(rest) + " more faults are not shown", Remedy: "fix the first ones"})
	}
	return e
}

// quote shows a value on one line, not too long of it.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		cut := most
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return strconv.Quote(s)
}
