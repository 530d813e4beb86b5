package rest

import (
	"maps"
	"reflect"
	"slices"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
)

// Impatient returns a Writer that waits for nothing: for no rate, for no search that shows new contacts late, and for no request without an answer.
func Impatient(w *Writer) *Writer {
	w.linger, w.api.pace, w.book = 0, nil, people.NewBook(w.s, 0)
	return w
}

// Names returns what templates can name: values and functions.
func Names() (names []string) {
	for name := range values {
		names = append(names, name)
	}
	for name := range functions {
		names = append(names, name)
	}
	return names
}

// Keys returns the keys of a recipe, of all levels.
func Keys() []string {
	seen := map[string]bool{}
	var within func(t reflect.Type)
	within = func(t reflect.Type) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || t == reflect.TypeFor[leaf]() || t == reflect.TypeFor[tree]() || t == reflect.TypeFor[path]() {
			return
		}
		for i := range t.NumField() {
			if key := t.Field(i).Tag.Get("yaml"); key != "" {
				seen[key] = true
				within(t.Field(i).Type)
			}
		}
	}
	within(reflect.TypeFor[Recipe]())
	delete(seen, "-")
	return slices.Sorted(maps.Keys(seen))
}
