package suitecrm

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// What is known of the tables: those of older installations hold characters of up to three bytes (MySQL's utf8mb3). Of an emoji they make ????, without a word.
const (
	widthUnknown = iota
	wide
	narrow
)

// wideRune is the first character that takes four bytes.
const wideRune = 0x10000

func isWide(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r >= wideRune })
}

// narrowed writes the characters that a narrow table cannot hold by their numbers: 👍 as [U+1F44D].
func narrowed(s string) string {
	var out strings.Builder
	for _, r := range s {
		if r >= wideRune {
			fmt.Fprintf(&out, "[U+%X]", r)
		} else {
			out.WriteRune(r)
		}
	}
	return out.String()
}

// wideOnes returns those attributes that hold characters of four bytes.
func (b bean) wideOnes() map[string]any {
	out := map[string]any{}
	for name, v := range b.Attributes {
		if s, ok := v.(string); ok && isWide(s) {
			out[name] = s
		}
	}
	return out
}

// narrowed returns the record with texts that a narrow table can hold.
func (b bean) narrowed() bean {
	b.Attributes = maps.Clone(b.Attributes)
	for name, v := range b.wideOnes() {
		b.Attributes[name] = narrowed(v.(string))
	}
	return b
}

// write sends a record and returns its id. After the first one with characters of four bytes it looks what has become of them.
func (a *api) write(ctx context.Context, b bean, send func(b bean) (id string, err error)) (string, error) {
	all := b.wideOnes()
	if len(all) == 0 || a.width.Load() == wide {
		return send(b)
	}
	if a.width.Load() == narrow {
		return send(b.narrowed())
	}
	id, err := send(b)
	if crm.VerdictOf(err) == crm.Reject && strings.Contains(err.Error(), "Incorrect string value") { // a database in strict mode says so
		a.width.Store(narrow)
		return send(b.narrowed())
	}
	if err != nil {
		return id, err
	}
	name := slices.Sorted(maps.Keys(all))[0]
	held, err := a.get(ctx, b.Type, id, name, "deleted")
	switch {
	case err != nil:
		return id, nil //nolint:nilerr // it is written; what the table makes of it the next one tells
	case isWide(held.plain(name)):
		a.width.Store(wide)
		return id, nil
	}
	a.width.Store(narrow)
	again := bean{Type: b.Type, ID: id, Attributes: all}.narrowed()
	return id, a.do(ctx, http.MethodPatch, "module", nil, map[string]any{"data": again}, shapeOf("PATCH", again), nil)
}

// checkWidth tells whether the tables hold emoji, as far as texts that were written before show it.
func (w *Writer) checkWidth(ctx context.Context) []crm.Finding {
	found, err := w.suite.find(ctx, "Calls", url.Values{"filter[description][like]": {"%[U+1F%"}}, []string{"date_modified"}, 1)
	if err != nil || len(found) == 0 {
		return nil // nobody has said anything with an emoji yet, or the tables hold them
	}
	return []crm.Finding{{
		Subject: "emoji", Detail: "SuiteCRM's tables cannot hold them (character set utf8mb3): they are written as [U+1F44D]; " +
			"an administrator of the database can convert the tables to utf8mb4",
	}}
}
