package suitecrm

import (
	"fmt"
	"maps"
	"regexp"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
)

// entity is the beginning of what SuiteCRM takes for an escaped character.
var entity = regexp.MustCompile(`&(#?\w+;)`)

// brackets are those that are not HTML's.
var brackets = strings.NewReplacer("<", "‹", ">", "›")

// harmless returns the record with texts in which SuiteCRM finds no HTML. On saving it unescapes every text twice, strips what looks
// like markup, and empties the whole field where a script is in it: a summary that quotes a tag would be lost, and the call's id with it.
func (b bean) harmless() bean {
	b.Attributes = maps.Clone(b.Attributes)
	for name, v := range b.Attributes {
		if s, ok := v.(string); ok {
			b.Attributes[name] = harmless(s)
		}
	}
	return b
}

func harmless(s string) string { return entity.ReplaceAllString(brackets.Replace(s), "& $1") }

// harmlessly writes the text of a description.
func harmlessly(words func(limit int) string) string { return harmless(words(longBody)) }

// sameText tells whether a record holds a text, as it was sent.
func sameText(held record.Fields, name string, v any) bool {
	return held[name] == harmless(fmt.Sprint(v))
}

// stored is how many bytes a text takes in SuiteCRM's database, at most: it is kept escaped, an ampersand twice.
func stored(s string) (n int) {
	for _, r := range s {
		switch {
		case r == '&', r == '<', r == '>':
			n += len("& amp;amp;")
		case r == '"', r == '\'':
			n += len("&quot;")
		case r < 0x80:
			n++
		case r >= 0xA0 && r < 0x400, r >= 0x2000 && r < 0x2700: // letters with accents, Greek, punctuation: those with names
			n += len("&thetasym;")
		case r >= wideRune:
			n += len("[U+1F44D]") // where a table cannot hold it
		default:
			n += 4
		}
	}
	return n
}
