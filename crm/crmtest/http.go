package crmtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

func (s *suite) runHTTP(t *testing.T) {
	t.Run("each status has its verdict", s.verdicts)
	t.Run("Retry-After is passed on", s.retryAfter)
	t.Run("a fault at any request is got over", s.faults)
	t.Run("a redirect is not followed", s.redirect)
	t.Run("cancelled while waiting", s.cancelledWhileWaiting)
	t.Run("no secret and no number in errors", s.leaks)
}

func (s *suite) verdicts(t *testing.T) {
	for status, want := range map[int]crm.Verdict{
		301: crm.Retry, 302: crm.Retry, 307: crm.Retry, 308: crm.Retry,
		400: crm.Reject, 401: crm.Halt, 403: crm.Halt, 404: crm.Reject, 405: crm.Reject, 407: crm.Halt, 408: crm.Retry, 409: crm.Reject,
		410: crm.Reject, 413: crm.Reject, 415: crm.Reject, 422: crm.Reject, 425: crm.Retry, 429: crm.Throttle,
		500: crm.Retry, 501: crm.Retry, 502: crm.Retry, 503: crm.Retry, 504: crm.Retry, 520: crm.Retry, 599: crm.Retry,
	} {
		if v, ok := s.Verdicts[status]; ok {
			want = v
		}
		d, w := s.open(t)
		d.Server.Misbehave(Fault{Status: status, Body: func(*http.Request, []byte) string { return `{"message": "the reason it gives"}` }})
		err := w.Write(context.Background(), Completed(1), crm.NewProgress(nil, nil))
		if got := crm.VerdictOf(err); got != want {
			t.Errorf("%d: got %s, want %s: %v", status, got, want, err)
		}
		if want == crm.Reject && crm.Request(err) == "" {
			t.Errorf("%d: the rejection does not tell the shape of the request", status)
		}
		if want != crm.Delivered && status/100 != 3 && (err == nil || !strings.Contains(err.Error(), "the reason it gives")) {
			t.Errorf("%d: the destination's own words are missing: %v", status, err)
		}
		d.Server.Misbehave()
		write(t, w, Completed(1), nil)
		if got := d.State(t); len(got.Calls)+len(got.Deliveries) != 1 {
			t.Errorf("%d: afterwards there are %+v", status, got)
		}
	}
}

func (s *suite) retryAfter(t *testing.T) {
	now := time.Date(2024, 1, 15, 10, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		status int
		value  string
		want   time.Duration
	}{
		{429, "7", 7 * time.Second},
		{429, "", 0},
		{429, "-5", 0},
		{429, "soon", 0},
		{429, "99999999999999999999", 24 * time.Hour},
		{429, now.Add(90 * time.Second).Format(http.TimeFormat), 90 * time.Second},
		{429, now.Add(-90 * time.Second).Format(http.TimeFormat), 0},
		{503, "30", 30 * time.Second},
		{500, "2", 2 * time.Second},
		{408, "3", 3 * time.Second},
	} {
		d, w := s.open(t)
		header := http.Header{"Date": {now.Format(http.TimeFormat)}}
		if test.value != "" {
			header.Set("Retry-After", test.value)
		}
		d.Server.Misbehave(Fault{Status: test.status, Header: header})
		err := w.Write(context.Background(), Completed(1), crm.NewProgress(nil, nil))
		if crm.VerdictOf(err) != crm.Throttle || crm.Wait(err) != test.want {
			t.Errorf("%d with %q: %s, wait %s, want %s: %v", test.status, test.value, crm.VerdictOf(err), crm.Wait(err), test.want, err)
		}
	}
}

// faults breaks each request of a write in each way; the next attempt, of a new process too, goes on from what was saved.
func (s *suite) faults(t *testing.T) {
	for name, fault := range map[string]Fault{
		"answer lost": {Lost: true}, "refused": {}, "500": {Status: 500}, "429": {Status: 429}, "401": {Status: 401},
		"no HTTP": {Raw: func(*http.Request, []byte) string { return "hello\r\n" }},
		"cut off": {Raw: func(*http.Request, []byte) string {
			return "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 300\r\n\r\n{\"errors\": {\"detail\": \"Be"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			want := s.once(t, Full(1))
			for n := 0; ; n++ {
				for _, fresh := range []bool{false, true} {
					d, w := s.open(t)
					fault.After, fault.Times = n, 1
					d.Server.Misbehave(fault)
					saved := crm.Refs{}
					p := crm.NewProgress(nil, func(r crm.Refs) error { saved = r; return nil })
					err := w.Write(context.Background(), Full(1), p)
					if d.Server.Count() <= n {
						return // no request is left to break
					}
					// A writer with a key may look at once what became of its request; the transport repeats a read, and on a connection that was kept what has a key.
					_, appendOnly := w.(crm.AppendOnly)
					stale := n > 0 && fault.Status == 0 && fault.Raw == nil
					if err == nil && (appendOnly && !stale || fault.Status == 401 && !s.Renews || fault.Status == 429) {
						t.Fatalf("request %d: no error", n+1)
					}
					if crm.VerdictOf(err) == crm.Reject {
						t.Fatalf("request %d: a dead letter for what a repetition mends: %v", n+1, err)
					}
					if err == nil {
						saved = p.Refs // as they are kept with the outcome
					}
					again := Full(1)
					again.Attempt = 2
					if fresh {
						w = d.Open(t)
					}
					write(t, w, again, saved)
					inFlight := 0
					if fault.Lost {
						inFlight = 1
					}
					same(t, d.State(t), want, inFlight, fmt.Sprintf("%s at request %d", name, n+1))
				}
			}
		})
	}
}

func (s *suite) redirect(t *testing.T) {
	elsewhere := NewServer(t, http.NotFoundHandler())
	for _, status := range []int{301, 302, 303, 307, 308} {
		d, w := s.open(t)
		d.Server.Misbehave(Fault{Status: status, Header: http.Header{"Location": {elsewhere.URL + "/stolen?token=abcdefgh"}}})
		err := w.Write(context.Background(), Completed(1), crm.NewProgress(nil, nil))
		host := strings.TrimPrefix(elsewhere.URL, "http://")
		if crm.VerdictOf(err) != crm.Retry || err == nil || !strings.Contains(err.Error(), host) || strings.Contains(err.Error(), "abcdefgh") {
			t.Errorf("%d: %v", status, err)
		}
	}
	// Nor is one within the host: it may lead to a login page that answers 200.
	d, w := s.open(t)
	d.Server.Misbehave(Fault{Status: 302, Times: 1, Header: http.Header{"Location": {"/login"}}})
	if err := w.Write(context.Background(), Completed(1), crm.NewProgress(nil, nil)); crm.VerdictOf(err) != crm.Retry || err == nil || d.Server.Count() != 1 {
		t.Errorf("within the host: %d requests: %v", d.Server.Count(), err)
	}
	if n := elsewhere.Count(); n != 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

func (s *suite) cancelledWhileWaiting(t *testing.T) {
	d, w := s.open(t)
	reached := make(chan struct{}, 16)
	d.Server.Misbehave(Fault{Stall: true, Reached: reached})
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error)
	go func() { done <- w.Write(ctx, Completed(1), crm.NewProgress(nil, nil)) }()
	<-reached
	cancel(errors.New("a cause of its own"))
	// The server answers never: without the cancellation this would last as long as the writer's timeout.
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	d.Server.Misbehave()
	write(t, w, Completed(1), nil)
}

// leaks has the destination echo all that it was sent.
func (s *suite) leaks(t *testing.T) {
	echo := func(r *http.Request, body []byte) string {
		var b strings.Builder
		fmt.Fprintf(&b, "<p>%s %s</p> ", r.Method, r.URL)
		for name, values := range r.Header {
			fmt.Fprintf(&b, "%s: %s; ", name, values)
		}
		e := Completed(1).Call.Contact
		fmt.Fprintf(&b, "%s %s 0%s %s", e.Phone, e.National, e.National[:5]+" "+e.National[5:], body)
		return b.String()
	}
	short := func(r *http.Request, _ []byte) string {
		return fmt.Sprintf("%s %s %s", r.URL, r.Header.Get("Authorization"), Completed(1).Call.Contact.Phone)
	}
	faults := []Fault{
		{},
		{Raw: echo},
		{Raw: func(r *http.Request, b []byte) string { return "HTTP/1.1 " + short(r, b) + "\r\n\r\n" }},
	}
	for _, status := range []int{302, 400, 401, 403, 404, 407, 409, 422, 429, 500, 503} {
		faults = append(faults, Fault{Status: status, Body: echo}, Fault{Status: status, Body: short})
	}
	for _, fault := range faults {
		d, w := s.open(t)
		d.Server.Misbehave(fault)
		p := crm.NewProgress(nil, nil)
		err := w.Write(context.Background(), Completed(1), p)
		AssertNoLeak(t, fmt.Sprintf("status %d", fault.Status), d.Secrets, fmt.Sprintf("%v\n%+v\n%#v\n%s\n%q", err, err, said(err), crm.Request(err), p.Warnings))
	}
	// Nobody answers at all.
	d, w := s.open(t)
	d.Server.Listener.Close()
	d.Server.CloseClientConnections()
	err := w.Write(context.Background(), Completed(1), crm.NewProgress(nil, nil))
	if crm.VerdictOf(err) != crm.Retry {
		t.Errorf("an unreachable destination gives %s: %v", crm.VerdictOf(err), err)
	}
	AssertNoLeak(t, "unreachable", d.Secrets, said(err))
	if c, ok := w.(crm.Checker); ok {
		for _, f := range c.Check(context.Background(), nil) {
			AssertNoLeak(t, "check", d.Secrets, fmt.Sprintf("%s %v %s", f.Subject, f.Err, f.Detail))
		}
	}
}

func said(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// AssertNoLeak fails the test if shown holds one of the secrets, or the phone number of one of this package's contacts.
func AssertNoLeak(t testing.TB, when string, secrets []string, shown string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(shown, secret) {
			t.Errorf("%s: %q is shown in %s", when, secret, shown)
		}
	}
	digits := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -()", r) {
			return -1
		}
		return r
	}, shown)
	for n := range 3 {
		if strings.Contains(digits, contact(n).National) {
			t.Errorf("%s: a full phone number is shown in %s", when, shown)
		}
	}
}
