package crmtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// ReadBody takes apart the description of a call's activity as crm/internal/text writes it, for State: the disposition, the
// summary, and all the rest.
func ReadBody(description, call string) (disposition, summary, rest string) {
	b, ok := text.ParseBody(description, call)
	if !ok {
		return "", "", description
	}
	for _, label := range slices.Sorted(maps.Keys(b.Values)) {
		rest += fmt.Sprintf("%s: %s; ", label, b.Values[label])
	}
	return strings.ReplaceAll(strings.ToLower(b.Outcome), " ", "_"), b.Summary, rest + b.Before + b.After
}

// ReadNote takes apart a transcript's note as crm/internal/text writes it, for State; false: it is another kind of note.
func ReadNote(note string) (Note, bool) {
	call, ok := strings.CutPrefix(note, strings.TrimSuffix(text.NoteHead(""), ":"))
	head, said, cut := strings.Cut(call, "\n\n")
	id, _, _ := strings.Cut(head, ":")
	return Note{Call: id, Text: said}, ok && cut
}
