package config

import (
	"regexp"
	"slices"
	"strings"
)

// example is the example's text, taken apart.
type example struct {
	head, tail []string
	blocks     map[string]block // by kind
}

// block is a destination of the example.
type block struct {
	name    string
	about   []string
	entries []entry
}

// entry is a key of a destination: the comments before it, its line, and what belongs to it. A line may be commented out.
type entry struct {
	key             string
	comments, lines []string
}

func (e entry) clone() entry {
	return entry{e.key, slices.Clone(e.comments), slices.Clone(e.lines)}
}

var (
	destinationLine = regexp.MustCompile(`^#?  - name: (\S+)$`)
	entryLine       = regexp.MustCompile(`^#?    (\w+):`)
	anyKeyLine      = regexp.MustCompile(`^#?( *)(\w+):( |$)`)
)

// readExample takes the example apart. It is the repository's own file, and tests load all that is made of it.
func readExample(text string) example {
	lines := strings.Split(text, "\n")
	crm := slices.Index(lines, "crm:")
	end := crm + 1
	for end < len(lines) && !regexp.MustCompile(`^[a-z]`).MatchString(lines[end]) {
		end++
	}
	intro := slices.Index(lines, "#")
	x := example{blocks: map[string]block{}}
	x.head = append([]string{
		"# The configuration of vinfer-sync, as its command init wrote it. What is left out has its default; config.example.yaml shows every key",
		"# and every kind of destination. After a change: vinfer-sync check",
	}, lines[intro:crm]...)
	x.tail = slices.Clone(lines[end:])
	var b block
	var about, comments []string
	done := func() {
		if b.name != "" {
			x.blocks[b.kind()] = b
		}
	}
	for _, l := range lines[crm+1 : end] {
		switch {
		case l == "":
			comments, about = nil, nil
		case strings.HasPrefix(l, "  # "):
			about = append(about, l)
		case destinationLine.MatchString(l):
			done()
			b = block{name: destinationLine.FindStringSubmatch(l)[1]}
			e := entry{key: "name", lines: []string{l}}
			if strings.HasPrefix(l, "#") {
				b.about = about
			} else {
				e.comments = about // the first destination says what a name is
			}
			b.entries = append(b.entries, e)
			about, comments = nil, nil
		case strings.HasPrefix(l, "    # "):
			comments = append(comments, l)
		case entryLine.MatchString(l):
			b.entries = append(b.entries, entry{entryLine.FindStringSubmatch(l)[1], comments, []string{l}})
			comments = nil
		default:
			last := &b.entries[len(b.entries)-1]
			last.lines = append(last.lines, l)
		}
	}
	done()
	return x
}

// kind returns the one key of a destination that is a kind's name.
func (b *block) kind() string {
	for _, e := range b.entries {
		if slices.Contains(kindNames(), e.key) {
			return e.key
		}
	}
	return ""
}

// find returns the line of a key of the entry, commented out or not; -1: it has none.
func (e *entry) find(key string) int {
	return lineOf(e.lines, 1, len(e.lines), 6, key)
}

// tells returns the words that stand above a key of the entry, and its value.
func (e *entry) tells(key string) (about, value string) {
	at := e.find(key)
	if at < 0 {
		return "", ""
	}
	var words []string
	for i := at - 1; i > 0 && strings.HasPrefix(e.lines[i], "      # "); i-- {
		w := strings.TrimPrefix(e.lines[i], "      # ")
		if strings.HasPrefix(strings.ToLower(w), "or ") {
			break // an alternative to the key before
		}
		words = append([]string{w}, words...)
	}
	_, value, _ = strings.Cut(e.lines[at], ":")
	return strings.Join(words, " "), strings.Trim(strings.TrimSpace(value), `"`)
}

// lineOf returns the line among [from, to) that holds a key at an indentation, commented out or not; -1: none does.
func lineOf(lines []string, from, to, indent int, key string) int {
	commented := -1
	for i := from; i < to; i++ {
		m := anyKeyLine.FindStringSubmatch(lines[i])
		if m == nil || m[2] != key || len(m[1]) != indent {
			continue
		}
		if !strings.HasPrefix(lines[i], "#") {
			return i
		}
		if commented < 0 {
			commented = i
		}
	}
	return commented
}

// put gives a key at an indentation a value, from a line on. Its other form, with _file or without, is commented out.
func put(lines []string, from, indent int, key, value string) []string {
	line := strings.Repeat(" ", indent) + key + ": " + value
	other, is := strings.CutSuffix(key, "_file")
	if !is {
		other = twin(key)
	}
	at, alt := lineOf(lines, from, len(lines), indent, key), lineOf(lines, from, len(lines), indent, other)
	if alt >= 0 && !strings.HasPrefix(lines[alt], "#") {
		lines[alt] = "#" + lines[alt]
	}
	switch {
	case at >= 0:
		lines[at] = line
	case alt >= 0:
		lines = slices.Insert(lines, alt+1, line)
	default:
		lines = slices.Insert(lines, from, line)
	}
	return lines
}

// putAt gives the key that a path leads to a value, if these lines have it; ok tells.
func putAt(lines []string, path []string, value string) (changed []string, ok bool) {
	from, to := 0, len(lines)
	for depth, key := range path[:len(path)-1] {
		at := lineOf(lines, from, to, 2*depth, key)
		if at < 0 {
			return lines, false
		}
		from = at + 1
		for end := from; end < to; end++ {
			m := anyKeyLine.FindStringSubmatch(lines[end])
			if m != nil && !strings.HasPrefix(lines[end], "#") && len(m[1]) <= 2*depth {
				to = end
			}
		}
	}
	last := len(path) - 1
	if lineOf(lines, from, to, 2*last, path[last]) < 0 && lineOf(lines, from, to, 2*last, twin(path[last])) < 0 {
		return lines, false
	}
	part := put(slices.Clone(lines[from:to]), 0, 2*last, path[last], value)
	return slices.Concat(lines[:from], part, lines[to:]), true
}
