package simulator

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind names what a Fault does.
type Kind string

// Faults of an answer. Each spoils as many requests as Fault.Count says, one if it says nothing.
const (
	Status    Kind = "status"   // answers Fault.Status, with Retry-After if Fault.RetryAfter is set
	HTML      Kind = "html"     // a login page, with status 200
	Cut       Kind = "cut"      // JSON that ends in the middle, as if complete
	Drop      Kind = "drop"     // the connection breaks in the middle of the body
	HangUp    Kind = "hangup"   // the connection breaks without an answer
	Empty     Kind = "empty"    // status 200 and nothing
	WrongType Kind = "type"     // JSON of another shape: {"data": "none"}
	ErrorBody Kind = "error"    // {"error": …} with status 200
	Slow      Kind = "slow"     // answers after Fault.Delay, 2 s if it is 0
	Redirect  Kind = "redirect" // to Fault.Value, or http://elsewhere.invalid/
)

// Manners of a listing or of every answer. They last until Clear unless Fault.Count says otherwise.
const (
	Doubled     Kind = "doubled"      // the page before, again
	Endless     Kind = "endless"      // after the last page come the first ones again, and no total
	IgnoreBound Kind = "ignore-bound" // lower and upper bound are ignored
	Clamp       Kind = "clamp"        // pages of at most Fault.N rows, 10 if it is 0
	Ascending   Kind = "asc"          // oldest first
	Descending  Kind = "desc"         // newest first
	Random      Kind = "random"       // no order
	Disorder    Kind = "disorder"     // no order, another at each request
	Repeats     Kind = "repeats"      // every fifth row of a page twice, in the place of others
	NoTotal     Kind = "no-total"     // the total is missing
	WrongTotal  Kind = "wrong-total"  // the total is off by Fault.N, 7 if it is 0
	Miscount    Kind = "miscount"     // the total is off by Fault.N, 7 if it is 0, where the listing has rows
	PageTotal   Kind = "page-total"   // the total counts the rows of the page only
	NoTo        Kind = "no-to"        // the upper bound is ignored
	Grow        Kind = "grow"         // at each request Fault.N calls begin, 1 if it is 0; in the guide's dialect they end
	Twins       Kind = "twins"        // every fifth row of a page twice, in the place of others: as it is, and as it was without disposition
	PastEnd     Kind = "past-end"     // an offset past the end is answered with status Fault.N, 400 if it is 0
	NoContent   Kind = "no-content"   // a page without rows is answered 204 without a body
	NoDate      Kind = "no-date"      // no Date header
	Rates       Kind = "rates"        // odd rate headers: Fault.Value is none, past, ms, delta, negative, huge, text or zero
)

// answers are the kinds of which one at a time spoils an answer.
var answers = []Kind{Status, HTML, Cut, Drop, HangUp, Empty, WrongType, ErrorBody, Slow, Redirect}

// listings are the kinds that only a listing can show.
var listings = []Kind{
	Doubled, Endless, IgnoreBound, Clamp, Ascending, Descending, Random, Disorder, Repeats, NoTotal, WrongTotal,
	Miscount, PageTotal, NoTo, Grow, Twins, PastEnd, NoContent,
}

// numbered are the kinds that take a number.
var numbered = []Kind{Clamp, WrongTotal, Miscount, Grow, PastEnd}

var others = []Kind{NoDate, Rates}

// Fault is something that goes wrong, on demand.
type Fault struct {
	Kind       Kind
	Path       string        // only for paths (without /v1) that begin so; with a $ at the end, for exactly this one
	Skip       int           // that many requests which it is for pass unharmed first
	Count      int           // how many it is done to; 0: as the kind says; below 0: all
	Share      float64       // above 0: it is done by chance, to this share of requests; then Count 0 means all
	Status     int           // of Status; 0: 500
	RetryAfter time.Duration // of Status; rounded up to seconds
	Delay      time.Duration // of Slow
	N          int           // of Clamp, WrongTotal, Miscount, Grow and PastEnd
	Value      string        // of Redirect and Rates
}

// Fault makes something go wrong from now on. Of several faults of an answer the first that applies is done.
func (s *Server) Fault(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Count == 0 {
		f.Count = -1
		if slices.Contains(answers, f.Kind) && f.Share <= 0 {
			f.Count = 1
		}
	}
	s.faults = append(s.faults, &f)
}

// Clear ends all faults.
func (s *Server) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// manners are the faults that hold for one request.
type manners struct {
	answer *Fault // nil: none
	kinds  map[Kind]*Fault
}

func (m manners) has(k Kind) bool { return m.kinds[k] != nil }

// pick takes the faults that are due for a path, and counts them off.
func (s *Server) pick(path string) manners {
	var m manners
	for n, f := range s.faults {
		isAnswer := slices.Contains(answers, f.Kind)
		if f.Count == 0 || !f.matches(path) || isAnswer && m.answer != nil || !isAnswer && m.has(f.Kind) ||
			slices.Contains(listings, f.Kind) && path != "/calls" {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Share > 0 && float64(s.mix(int32(s.served), forFault+uint64(n)<<8)%10_000) >= f.Share*10_000 {
			continue
		}
		if f.Count > 0 {
			f.Count--
		}
		now := *f
		if isAnswer {
			m.answer = &now
			continue
		}
		if m.kinds == nil {
			m.kinds = map[Kind]*Fault{}
		}
		m.kinds[f.Kind] = &now
	}
	return m
}

func (f *Fault) matches(path string) bool {
	if exact, ok := strings.CutSuffix(f.Path, "$"); ok {
		return path == exact
	}
	return strings.HasPrefix(path, f.Path)
}

// ParseFaults reads a list of faults as a flag has it, separated by commas:
//
//	NAME[=VALUE][@PATH][:COUNT | %SHARE]
//
// NAME is a status (500, 429, …), or html, cut, drop, hangup, empty, type, error, slow, redirect: these are done COUNT
// times (once without it), or by chance to SHARE percent of the requests. Or it is a manner, which lasts: doubled, endless,
// ignore-bound, clamp, asc, desc, random, disorder, repeats, no-total, wrong-total, miscount, page-total, no-to, grow, twins,
// past-end, no-content, no-date, rates. VALUE is the seconds of Retry-After for a status, how long for slow (2s), where to for
// redirect, how many for clamp, wrong-total, miscount and grow, the status for past-end, and none, past, ms, delta, negative, huge, text or zero for rates. PATH restricts it to paths that begin so.
//
// Example: 500:3,html:2,slow=5s,429=10@/calls,503%5,clamp=20,rates=ms
func ParseFaults(list string) ([]Fault, error) {
	var out []Fault
	for part := range strings.SplitSeq(list, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		f, err := parseFault(part)
		if err != nil {
			return nil, fmt.Errorf("fault %q: %w", part, err)
		}
		out = append(out, f)
	}
	return out, nil
}

func parseFault(s string) (f Fault, err error) {
	if head, tail, ok := cutLast(s, "%"); ok {
		p, err := strconv.ParseFloat(tail, 64)
		if err != nil || !(p > 0 && p <= 100) {
			return f, fmt.Errorf("%q is not a percentage", tail)
		}
		f.Share, s = p/100, head
	} else if head, tail, ok := cutLast(s, ":"); ok && !strings.Contains(tail, "/") { // not the colon of a URL
		if f.Count, err = strconv.Atoi(tail); err != nil || f.Count < 1 {
			return f, fmt.Errorf("%q is not a count", tail)
		}
		s = head
	}
	if head, tail, ok := cutLast(s, "@"); ok && strings.HasPrefix(tail, "/") {
		s, f.Path = head, tail
	}
	name, value, given := strings.Cut(s, "=")
	f.Kind = Kind(name)
	if code, err := strconv.Atoi(name); err == nil {
		if code < 200 || code > 599 {
			return f, fmt.Errorf("%d is no status", code)
		}
		f.Kind, f.Status = Status, code
	} else if f.Kind == Status || !slices.Contains(slices.Concat(answers, listings, others), f.Kind) {
		return f, fmt.Errorf("there is none of that name; there are the status codes and %s", Names())
	}
	return f, f.take(value, given)
}

// take reads the value of a fault in a list.
func (f *Fault) take(value string, given bool) (err error) {
	switch {
	case given && slices.Contains(numbered, f.Kind):
		f.N, err = strconv.Atoi(value)
	case f.Kind == Status:
		if given {
			n, e := strconv.Atoi(value)
			f.RetryAfter, err = time.Duration(n)*time.Second, e
		}
	case f.Kind == Slow:
		if given {
			f.Delay, err = time.ParseDuration(value)
		}
	case f.Kind == Redirect:
		f.Value = value
	case f.Kind == Rates:
		if f.Value = value; !slices.Contains(rateValues, value) {
			return fmt.Errorf("rates takes one of %s", strings.Join(rateValues, ", "))
		}
	default:
		if given {
			return fmt.Errorf("%s takes no value", f.Kind)
		}
	}
	if err != nil {
		return fmt.Errorf("%q is not a value for %s", value, f.Kind)
	}
	return nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// Names are the names that ParseFaults knows besides status codes, separated by commas.
func Names() string {
	var out []string
	for _, k := range slices.Concat(answers[1:], listings, others) {
		out = append(out, string(k))
	}
	return strings.Join(out, ", ")
}

var rateValues = []string{"none", "past", "ms", "delta", "negative", "huge", "text", "zero"}

// rateHeaders writes what the limit is, in the manner asked for.
func rateHeaders(h http.Header, manner string, limit, left int, now, reset time.Time) {
	l, r, at := strconv.Itoa(limit), strconv.Itoa(left), strconv.FormatInt(reset.Unix(), 10)
	switch manner {
	case "none":
		return
	case "past":
		at = strconv.FormatInt(now.Unix()-3600, 10)
	case "ms":
		at = strconv.FormatInt(reset.UnixMilli(), 10)
	case "delta":
		at = strconv.Itoa(int(reset.Sub(now).Seconds()))
	case "negative":
		r, at = "-5", "-1"
	case "huge":
		l, r, at = "1000000000000000000", "1000000000000000000", "1000000000000000000"
	case "text":
		l, r, at = "many", "some", "soon"
	case "zero":
		r = "0"
	}
	h.Set("X-RateLimit-Limit", l)
	h.Set("X-RateLimit-Remaining", r)
	h.Set("X-RateLimit-Reset", at)
}
