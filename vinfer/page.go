package vinfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/text/encoding"
)

// Limits of a listing. A server without pages answers with all rows at once.
const (
	usualRows = 100 // the largest page by the documentation
	maxRows   = 100_000
	maxRow    = 1 << 20  // bytes; a longer one is a broken row
	maxMember = 64 << 10 // bytes of what stands beside the rows
	maxBeside = 1_000    // members beside the rows
	maxBroken = 1_000    // broken rows of a page without a good one
)

// rowList is the rows of one list.
type rowList struct {
	calls  []Call
	broken []Broken
}

// pageReader reads a listing row by row.
type pageReader struct {
	*stream
	charset encoding.Encoding
	rows    int // that began, of all lists
}

// decodePage reads a listing: an array of rows, bare or under one of several names.
func decodePage(r io.Reader, contentType string) (Page, error) {
	text, enc := jsonReader(r, contentType)
	d := &pageReader{stream: newStream(text), charset: enc}
	var list *rowList
	p := Page{Total: -1}
	switch c := d.peek(); c {
	case '[':
		var err error
		if list, err = d.list(); err != nil {
			return Page{}, err
		}
	case '{':
		top, lists, wrapped, err := d.object(true)
		if err != nil {
			return Page{}, err
		}
		var holder object
		if list, holder = findList(top, lists, wrapped); list == nil {
			if isError(top, 0) {
				return Page{}, unreadable("%w", errErrorAnswer)
			}
			return Page{}, unreadable("it has no list of calls")
		}
		if len(list.calls)+len(list.broken) == 0 && (isError(top, 0) || isError(holder, 0)) {
			return Page{}, unreadable("%w", errErrorAnswer)
		}
		p.Total, p.Limit = counts(top, holder)
		p.partial = partial(top, holder, p.Total, len(list.calls)+len(list.broken))
	case '<':
		return Page{}, unreadable("%s", isHTML)
	case 0:
		return Page{}, unreadable("it is empty")
	default:
		return Page{}, unreadable("it is neither a list nor an object")
	}
	if d.peek(); d.i < d.end {
		return Page{}, unreadable("more follows after its end, at byte %d", d.at)
	}
	if !d.ended() {
		return Page{}, d.syntaxError("")
	}
	p.Calls, p.Broken = list.calls, list.broken
	p.Rows = len(p.Calls) + len(p.Broken)
	return p, nil
}

// syntaxError returns the error of a document in which want is missing, with the place.
func (d *pageReader) syntaxError(want string) error {
	where := ""
	if d.rows > 0 {
		where = fmt.Sprintf(", at row %d", d.rows)
	}
	switch {
	case !d.truncated && d.i < d.end:
		return unreadable("a %s is missing at byte %d%s", want, d.at, where)
	case d.ended():
		return unreadable("it is cut off after %d bytes%s", d.at+int64(d.end-d.i), where)
	default:
		return unreadable("it broke off after %d bytes%s", d.at+int64(d.end-d.i), where)
	}
}

// list reads the rows of a list. A row that cannot be understood becomes a Broken and has no effect on the others.
func (d *pageReader) list() (*rowList, error) {
	l := &rowList{}
	d.accept('[')
	if d.accept(']') {
		return l, nil
	}
	l.calls = make([]Call, 0, usualRows)
	for {
		d.rows++
		raw, whole, ok := d.value(maxRow)
		if !ok {
			return nil, d.syntaxError("row")
		}
		if d.rows > maxRows {
			return nil, unreadable("it has more than %d rows", maxRows)
		}
		c, err := d.row(raw, whole)
		if err == nil {
			l.calls = append(l.calls, c)
		} else {
			l.broken = append(l.broken, Broken{ID: c.ID, Raw: rawRow(raw), Err: err.Error()})
		}
		if len(l.calls) == 0 && len(l.broken) > maxBroken {
			return nil, unreadable("none of its first %d rows is a call: %w", len(l.broken), err)
		}
		if d.accept(']') {
			return l, nil
		}
		if !d.accept(',') {
			return nil, d.syntaxError("comma or closing bracket")
		}
	}
}

func (d *pageReader) row(raw []byte, whole bool) (Call, error) {
	if !whole {
		return Call{}, fmt.Errorf("the row has more than %d KiB", maxRow>>10)
	}
	if err := checkJSON(raw); err != nil {
		o, _ := asObject(raw) // what names the row may still be told
		return Call{ID: o.id("call_id", "id")}, fmt.Errorf("the row cannot be read: %w", err)
	}
	return decodeRow(recode(raw, d.charset))
}

// object reads the members of an object: lists of rows, objects that wrap such lists (outermost only), and all others.
func (d *pageReader) object(outermost bool) (o object, lists map[string]*rowList, wrapped map[string]wrapper, err error) {
	lists, wrapped = map[string]*rowList{}, map[string]wrapper{}
	d.accept('{')
	if d.accept('}') {
		return o, lists, wrapped, nil
	}
	for {
		if len(o)+len(lists)+len(wrapped) > maxBeside {
			return nil, nil, nil, unreadable("it has more than %d members", maxBeside)
		}
		if d.peek() != '"' {
			return nil, nil, nil, d.syntaxError("name")
		}
		raw, _, ok := d.value(maxMember)
		if !ok {
			return nil, nil, nil, d.syntaxError("name")
		}
		name := unquote(raw)
		if !d.accept(':') {
			return nil, nil, nil, d.syntaxError("colon")
		}
		delete(lists, name) // the last of a name counts
		delete(wrapped, name)
		c, isRows := d.peek(), slices.Contains(listNames, name)
		switch {
		case isRows && c == '[':
			if lists[name], err = d.list(); err != nil {
				return nil, nil, nil, err
			}
		case isRows && c == '{' && outermost:
			var w wrapper
			if w.object, w.lists, _, err = d.object(false); err != nil {
				return nil, nil, nil, err
			}
			wrapped[name] = w
		default:
			if raw, ok, err = d.member(); err != nil {
				return nil, nil, nil, err
			}
			if ok {
				o = append(o, member{[]byte(name), raw})
			}
		}
		if d.accept('}') {
			return o, lists, wrapped, nil
		}
		if !d.accept(',') {
			return nil, nil, nil, d.syntaxError("comma or closing brace")
		}
	}
}

// wrapper is an object that holds the rows inside another.
type wrapper struct {
	object
	lists map[string]*rowList
}

// member reads a value beside the rows. A value that is too long, or is not JSON, counts as present without its content. A number
// that is not JSON (NaN) counts as missing.
func (d *pageReader) member() (raw json.RawMessage, ok bool, err error) {
	b, whole, ok := d.value(maxMember)
	switch {
	case !ok:
		return nil, false, d.syntaxError("value")
	case whole && json.Valid(b):
		return bytes.Clone(recode(b, d.charset)), true, nil
	case b[0] == '"' || b[0] == '{' || b[0] == '[':
		return json.RawMessage(`"unreadable"`), true, nil
	default:
		return nil, false, nil
	}
}

var listNames = []string{"data", "calls", "results", "items"}

// findList looks for the rows in an object, and in an object wrapped in it. The holder is the object that has them.
func findList(top object, lists map[string]*rowList, wrapped map[string]wrapper) (rows *rowList, holder object) {
	for _, n := range listNames {
		if l := lists[n]; l != nil {
			return l, top
		}
	}
	for _, n := range listNames {
		for _, inner := range listNames {
			if l := wrapped[n].lists[inner]; l != nil {
				return l, wrapped[n].object
			}
		}
	}
	return nil, nil
}

// errErrorAnswer reports a 2xx answer that says of itself that it is an error. The caller masks the message.
var errErrorAnswer = errors.New("it is an error")

// isError reports whether an answer says of itself that it is an error.
func isError(o object, depth int) bool {
	for _, n := range []string{"error", "errors", "errorMessage", "error_message", "errorDescription", "error_description", "exception", "fault"} {
		if v := o.get(n); truthy(v) && !saysNoError(normalize(text(v))) {
			return true
		}
	}
	for _, n := range []string{"success", "ok", "succeeded"} {
		switch v := o.get(n); kind(v) {
		case 'f':
			return true
		case '"', '0':
			if w := normalize(text(v)); w == "false" || w == "0" || w == "no" {
				return true
			}
		}
	}
	for _, n := range []string{"status", "state", "result", "code", "statusCode", "status_code", "errorCode", "error_code", "http_status", "httpStatus"} {
		v := o.get(n)
		if f := o.number(n); f != nil {
			if *f >= 400 && *f < 600 {
				return true
			}
			continue
		}
		switch w := normalize(text(v)); w {
		case "error", "failed", "failure", "fail", "ko", "nok":
			return true
		default:
			if (strings.Contains(w, "error") || strings.Contains(w, "failed") || strings.Contains(w, "exception")) && !saysNoError(w) {
				return true
			}
		}
	}
	if depth == 0 {
		for _, n := range []string{"status", "meta", "response"} {
			if inner, ok := asObject(o.get(n)); ok && isError(inner, 1) {
				return true
			}
		}
	}
	return false
}

// saysNoError reports whether the value of an error's field means that there is no error.
func saysNoError(w string) bool {
	switch w {
	case "none", "null", "nil", "false", "0", "ok", "success", "no_error", "noerror":
		return true
	}
	return false
}

// pagingObjects returns the objects of an answer that may have members about its pages.
func pagingObjects(top, holder object) []object {
	places := []object{top, holder}
	for _, n := range []string{"meta", "pagination", "paging", "links"} {
		if o, ok := asObject(top.get(n)); ok {
			places = append(places, o)
		}
	}
	return places
}

// partial reports whether an answer of so many rows to a request without a limit says that it is, or may be, one page of several. A
// total equal to the number of rows means that it is not, unless the page is full by the size that the answer names.
func partial(top, holder object, total, rows int) bool {
	for _, o := range pagingObjects(top, holder) {
		for _, n := range []string{"next", "next_page", "next_offset", "next_cursor", "next_url", "cursor", "has_more", "hasMore", "has_next", "more"} {
			if truthy(o.get(n)) {
				return true
			}
		}
		if n := o.number("total_pages", "pages"); n != nil && *n > 1 {
			return true
		}
		size := o.number("limit", "page_size", "per_page")
		named := size != nil || o.get("offset") != nil || o.get("page") != nil
		if named && (total != rows || size != nil && float64(rows) >= *size) {
			return true
		}
	}
	return false
}

// counts returns the total (-1: not said) and the page size (0: not said) of a listing.
func counts(top, holder object) (total, limit int) {
	total = -1
	for _, o := range pagingObjects(top, holder) {
		if f := o.number("total", "total_count"); f != nil && total < 0 && *f >= 0 && *f <= 1e15 {
			total = int(*f)
		}
		if f := o.number("limit", "page_size", "per_page"); f != nil && limit == 0 && *f >= 1 && *f <= 1e9 {
			limit = int(*f)
		}
	}
	return total, limit
}
