package rest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Fault is one thing that is wrong with a recipe.
type Fault struct {
	File         string
	Line, Column int    // from 1; 0: the file as a whole
	Key          string // call.once; empty: the file as a whole
	Problem      string
	Remedy       string
}

// String returns the fault as one line: file:line:col: key: problem (remedy).
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	if f.Key != "" {
		b.WriteString(": " + f.Key)
	}
	b.WriteString(": " + f.Problem)
	if f.Remedy != "" {
		b.WriteString(" (" + f.Remedy + ")")
	}
	return b.String()
}

// Faults is everything that is wrong with a recipe, in the order of the file. It is never empty.
type Faults []Fault

// Error returns one line a fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, x := range f {
		lines[i] = x.String()
	}
	return strings.Join(lines, "\n")
}

func (f Faults) sorted() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) })
	return slices.Compact(f)
}

// node is a value of the recipe and its place in the file.
type node struct {
	*yaml.Node
	key string
	r   *reader
}

// fault notes what is wrong with the value.
func (n node) fault(problem, remedy string) {
	n.r.faults = append(n.r.faults, Fault{n.r.file, n.Line, n.Column, n.key, problem, remedy})
}
