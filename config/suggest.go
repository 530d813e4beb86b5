package config

import (
	"reflect"
	"slices"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm/rest"
)

// unknown says what was probably meant by a key that t does not take.
func (d *decoder) unknown(t reflect.Type, key string) string {
	if t == reflect.TypeFor[Destination]() && slices.Contains(rest.Embedded(), key) {
		return "it is a recipe: write rest: {use: " + key + ", url: https://host}"
	}
	if t == reflect.TypeFor[Destination]() {
		if key == "type" || key == "kind" {
			return "the kind is a key itself, as webhook: {url: https://host/path}"
		}
	}
	if word, _, ok := strings.Cut(key, ":"); ok && slices.Contains(keysOf(t), word) {
		return "a space is missing after " + word + ":"
	}
	if near := nearest(key, keysOf(t)); near != "" {
		return "did you mean " + near + "?"
	}
	if where := homeOf(reflect.TypeFor[Config](), "", key); where != "" {
		return "it belongs to " + where
	}
	return "known here: " + strings.Join(keysOf(t), ", ")
}

// nearest returns the word that a mistyped one is most like; empty if none is like it.
func nearest(word string, words []string) string {
	word = strings.ReplaceAll(strings.ToLower(word), "-", "_")
	best, least := "", max(1, min(3, len(word)/3))+1
	if len(word) > 64 {
		return ""
	}
	for _, w := range words {
		if n := distance(word, w); n < least {
			best, least = w, n
		}
	}
	return best
}

// distance counts the letters to add, drop, change or swap with their neighbour to turn a into b.
func distance(a, b string) int {
	before, last, row := []int(nil), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, make([]int, len(b)+1)
	}
	return last[len(b)]
}

// homeOf returns the key of the struct that takes key: a key in the wrong place.
func homeOf(t reflect.Type, path, key string) string {
	for _, f := range fieldsOf(t) {
		if path != "" && (f.key == key || holdsSecret(f.typ) && twin(f.key) == key) {
			return path
		}
		ft, at := f.typ, join(path, f.key)
		for ft.Kind() == reflect.Pointer || ft.Kind() == reflect.Slice || ft.Kind() == reflect.Map {
			if ft.Kind() == reflect.Slice {
				at += "[]"
			}
			ft = ft.Elem()
		}
		if ft.Kind() == reflect.Struct && !holdsSecret(ft) && ft != typeStart {
			if home := homeOf(ft, at, key); home != "" {
				return home
			}
		}
	}
	return ""
}
