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

// How much a listing may hold. A server that knows no pages answers with all rows at once.
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
			if failed(top, 0) {
				return Page{}, unreadable("%w", errComplaint)
			}
			return Page{}, unreadable("it has no list of calls")
		}
		if len(list.calls)+len(list.broken) == 0 && (failed(top, 0) || failed(holder, 0)) {
			return Page{}, unreadable("%w", errComplaint)
		}
		p.Total, p.Limit = counts(top, holder)
		p.partial = partial(top, holder, p.Total, len(list.calls)+len(list.broken))
	case '<':
		return Page{}, unreadable("it is HTML or XML, not JSON")
	case 0:
		return Page{}, unreadable("it is empty")
	default:
		return Page{}, unreadable("it is neither a list nor an object")
	}
	if d.peek(); d.i < d.end {
		return Page{}, unreadable("more follows after its end, at byte %d", d.at)
	}
	if !d.ended() {
		return Page{}, d.broken("")
	}
	p.Calls, p.Broken = list.calls, list.broken
	p.Rows = len(p.Calls) + len(p.Broken)
	return p, nil
}

// broken says where a document is not what it should be.
func (d *pageReader) broken(want string) error {
	where := ""
	if d.rows > 0 {
		where = fmt.Sprintf(", at row %d", d.rows)
	}
	switch {
	case !d.cut && d.i < d.end:
		return unreadable("a %s is missing at byte %d%s", want, d.at, where)
	case d.ended():
		return unreadable("it is cut off after %d bytes%s", d.at+int64(d.end-d.i), where)
	default:
		return unreadable("it broke off after %d bytes%s", d.at+int64(d.end-d.i), where)
	}
}

// list reads rows. One that cannot be understood spoils no other.
func (d *pageReader) list() (*rowList, error) {
	l := &rowList{}
	d.skip('[')
	if d.skip(']') {
		return l, nil
	}
	l.calls = make([]Call, 0, usualRows)
	for {
		d.rows++
		raw, whole, ok := d.value(maxRow)
		if !ok {
			return nil, d.broken("row")
		}
		if d.rows > maxRows {
			return nil, unreadable("it has more than %d rows", maxRows)
		}
		c, err := d.row(raw, whole)
		if err == nil {
			l.calls = append(l.calls, c)
		} else {
			l.broken = append(l.broken, Broken{ID: c.ID, Raw: keep(raw), Err: err.Error()})
		}
		if len(l.calls) == 0 && len(l.broken) > maxBroken {
			return nil, unreadable("none of its first %d rows is a call: %w", len(l.broken), err)
		}
		if d.skip(']') {
			return l, nil
		}
		if !d.skip(',') {
			return nil, d.broken("comma or closing bracket")
		}
	}
}

func (d *pageReader) row(raw []byte, whole bool) (Call, error) {
	if !whole {
		return Call{}, fmt.Errorf("the row has more than %d KiB", maxRow>>10)
	}
	if err := valid(raw); err != nil {
		o, _ := asObject(raw) // what names the row may still be told
		return Call{ID: o.id("call_id", "id")}, fmt.Errorf("the row cannot be read: %w", err)
	}
	return decodeRow(repair(raw, d.charset))
}

// object reads an object's members: those that may be the rows, those that may wrap them (outermost only), and the others.
func (d *pageReader) object(outermost bool) (o object, lists map[string]*rowList, wrapped map[string]wrapper, err error) {
	lists, wrapped = map[string]*rowList{}, map[string]wrapper{}
	d.skip('{')
	if d.skip('}') {
		return o, lists, wrapped, nil
	}
	for {
		if len(o)+len(lists)+len(wrapped) > maxBeside {
			return nil, nil, nil, unreadable("it has more than %d members", maxBeside)
		}
		if d.peek() != '"' {
			return nil, nil, nil, d.broken("name")
		}
		raw, _, ok := d.value(maxMember)
		if !ok {
			return nil, nil, nil, d.broken("name")
		}
		name := unquote(raw)
		if !d.skip(':') {
			return nil, nil, nil, d.broken("colon")
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
		if d.skip('}') {
			return o, lists, wrapped, nil
		}
		if !d.skip(',') {
			return nil, nil, nil, d.broken("comma or closing brace")
		}
	}
}

// wrapper is an object that holds the rows inside another.
type wrapper struct {
	object
	lists map[string]*rowList
}

// member reads a value that stands beside the rows. One that is too long, or no JSON, says no more than that it is there;
// a number that is none (NaN) is not there.
func (d *pageReader) member() (raw json.RawMessage, ok bool, err error) {
	b, whole, ok := d.value(maxMember)
	switch {
	case !ok:
		return nil, false, d.broken("value")
	case whole && json.Valid(b):
		return bytes.Clone(repair(b, d.charset)), true, nil
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

// errComplaint reports an answer that says of itself that it is an error. Its words are for the caller to mask.
var errComplaint = errors.New("it is an error")

// failed tells whether an answer says of itself that it failed.
func failed(o object, depth int) bool {
	for _, n := range []string{"error", "errors", "errorMessage", "error_message", "errorDescription", "error_description", "exception", "fault"} {
		if v := o.get(n); truthy(v) && !harmless(word(text(v))) {
			return true
		}
	}
	for _, n := range []string{"success", "ok", "succeeded"} {
		switch v := o.get(n); kind(v) {
		case 'f':
			return true
		case '"', '0':
			if w := word(text(v)); w == "false" || w == "0" || w == "no" {
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
		switch w := word(text(v)); w {
		case "error", "failed", "failure", "fail", "ko", "nok":
			return true
		default:
			if (strings.Contains(w, "error") || strings.Contains(w, "failed") || strings.Contains(w, "exception")) && !harmless(w) {
				return true
			}
		}
	}
	if depth == 0 {
		for _, n := range []string{"status", "meta", "response"} {
			if inner, ok := asObject(o.get(n)); ok && failed(inner, 1) {
				return true
			}
		}
	}
	return false
}

// harmless tells whether the value of an error's field says that there is none.
func harmless(w string) bool {
	switch w {
	case "none", "null", "nil", "false", "0", "ok", "success", "no_error", "noerror":
		return true
	}
	return false
}

// pagingPlaces are the objects of an answer that may speak of its pages.
func pagingPlaces(top, holder object) []object {
	places := []object{top, holder}
	for _, n := range []string{"meta", "pagination", "paging", "links"} {
		if o, ok := asObject(top.get(n)); ok {
			places = append(places, o)
		}
	}
	return places
}

// partial tells whether an answer of so many rows to a request without a limit says that it is, or may be, one page of
// several. A total that is its own length says that it is not, unless the page is full by the size it names.
func partial(top, holder object, total, rows int) bool {
	for _, o := range pagingPlaces(top, holder) {
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

// counts reads the total (-1: not said) and the page size (0: not said) from where they may stand.
func counts(top, holder object) (total, limit int) {
	total = -1
	for _, o := range pagingPlaces(top, holder) {
		if f := o.number("total", "total_count"); f != nil && total < 0 && *f >= 0 && *f <= 1e15 {
			total = int(*f)
		}
		if f := o.number("limit", "page_size", "per_page"); f != nil && limit == 0 && *f >= 1 && *f <= 1e9 {
			limit = int(*f)
		}
	}
	return total, limit
}
