package webhook_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/webhook"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// start returns a receiver of all events and a writer to it.
func start(t *testing.T, cfg webhook.Config) (*crmtest.Server, *webhook.Writer) {
	t.Helper()
	server := crmtest.NewServer(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	cfg.URL = server.URL + "/vinfer"
	w, err := webhook.New(cfg, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return server, w
}

func send(t *testing.T, w crm.Writer, e crm.Entry, refs crm.Refs) crm.Refs {
	t.Helper()
	p := crm.NewProgress(refs, nil)
	if err := w.Write(t.Context(), e, p); err != nil {
		t.Fatal(err)
	}
	return p.Refs
}

func eventsOf(t *testing.T, s *crmtest.Server) string {
	t.Helper()
	var out []string
	for _, r := range s.Requests() {
		var body struct{ Event string }
		if err := json.Unmarshal(r.Body, &body); err != nil {
			t.Fatal(err)
		}
		out = append(out, strings.TrimPrefix(body.Event, "call."))
	}
	return strings.Join(out, " ")
}

func TestGolden(t *testing.T) {
	server, w := start(t, webhook.Config{Events: append([]string{"call.updated"}, webhook.DefaultEvents...)})
	// The example that VInfer documents, value by value.
	documented := crmtest.Completed(1)
	c := &documented.Call
	c.ID, c.Campaign, c.Contact = "call_abc123", "camp_xyz456", crm.Contact{Phone: "+919876543210", Name: "Priya Sharma"}
	c.EndedAt, c.Summary = time.Date(2024, 1, 15, 10, 35, 22, 0, time.UTC), "Customer confirmed interest in the top-up loan product. …"
	fraction, seconds, score := crmtest.Completed(2), 12.5, 66.25
	fraction.Call.EndedAt = c.EndedAt.Add(123 * time.Millisecond).In(time.FixedZone("", 5*3600+1800))
	fraction.Call.Duration, fraction.Call.QAScore, fraction.Call.Sentiment = &seconds, &score, "-0.35"
	fraction.Call.RawDisposition, fraction.Call.Disposition = "Callback Requested", "callback_requested"
	refs := send(t, w, documented, nil)
	documented.Event, documented.Key = crm.CallUpdated, "updated-2"
	send(t, w, documented, refs)
	send(t, w, fraction, nil)
	send(t, w, crm.Entry{Event: crm.CallCompleted, Key: "bare-1", Call: crm.Call{ID: "cal_bare"}}, nil)
	send(t, w, crmtest.Full(3), nil)
	send(t, w, crmtest.Revised(crmtest.Completed(1), "not_interested", ""), nil)
	send(t, w, crmtest.Transcribed(3), nil)
	plain := crmtest.Transcribed(4)
	plain.Transcript = &crm.Transcript{Text: "only text"}
	send(t, w, plain, nil)
	nan, sentiment := math.NaN(), crmtest.Completed(5)
	sentiment.Call.Duration, sentiment.Call.Sentiment = &nan, "1e999"
	send(t, w, sentiment, nil)
	var got bytes.Buffer
	for _, r := range server.Requests() {
		fmt.Fprintf(&got, "%s\n%s\n\n", r.Header.Get("Idempotency-Key"), r.Body)
	}
	crmtest.Golden(t, "testdata/golden.txt", got.Bytes())
}

func TestEvents(t *testing.T) {
	for name, test := range map[string]struct {
		events  []string
		entries []crm.Entry
		want    string
	}{
		"completed":                {nil, []crm.Entry{crmtest.Completed(1)}, "completed"},
		"escalated at once":        {nil, []crm.Entry{crmtest.Full(1)}, "completed escalated"},
		"escalated later":          {nil, []crm.Entry{crmtest.Completed(1), crmtest.Revised(crmtest.Completed(1), "escalated", "")}, "completed disposition_set escalated"},
		"escalated stays":          {nil, []crm.Entry{crmtest.Full(1), crmtest.Revised(crmtest.Full(1), "escalated", "")}, "completed escalated disposition_set"},
		"transcript of escalated":  {nil, []crm.Entry{crmtest.Full(1), crmtest.Transcribed(1)}, "completed escalated transcription_ready"},
		"updated is not asked for": {nil, []crm.Entry{updated()}, ""},
		"updated is asked for":     {[]string{"call.updated"}, []crm.Entry{crmtest.Completed(1), updated()}, "updated"},
		"only escalations":         {[]string{"call.escalated"}, []crm.Entry{crmtest.Full(1), crmtest.Completed(2)}, "escalated"},
		"no escalations":           {[]string{"call.completed"}, []crm.Entry{crmtest.Full(1)}, "completed"},
	} {
		t.Run(name, func(t *testing.T) {
			server, w := start(t, webhook.Config{Events: test.events})
			refs := crm.Refs{}
			for _, e := range test.entries {
				refs = send(t, w, e, refs)
				refs = send(t, w, e, refs) // again, as after a kill: nothing more
			}
			if got := eventsOf(t, server); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func updated() crm.Entry {
	e := crmtest.Completed(1)
	e.Event, e.Key, e.Revision = crm.CallUpdated, "cal-test00001-updated-2", 2
	return e
}

func TestHeaders(t *testing.T) {
	server, w := start(t, webhook.Config{Secret: secret.New("whsec")})
	late, transcript := crmtest.Full(1), crmtest.Transcribed(1)
	late.Attempt, late.Late, transcript.Late = 3, true, true
	send(t, w, late, nil)
	send(t, w, transcript, nil)
	send(t, w, crmtest.Completed(2), nil)
	want := []struct{ key, attempt, late string }{
		{late.Key, "3", "true"},
		{late.Key + "-escalated", "3", "true"},
		{transcript.Key, "1", ""},
		{crmtest.Completed(2).Key, "1", ""},
	}
	for i, r := range server.Requests() {
		mac := hmac.New(sha256.New, []byte("whsec"))
		mac.Write(r.Body)
		got := struct{ key, attempt, late string }{r.Header.Get("Idempotency-Key"), r.Header.Get("X-VInfer-Sync-Attempt"), r.Header.Get("X-VInfer-Sync-Late")}
		if got != want[i] {
			t.Errorf("request %d: got %v, want %v", i, got, want[i])
		}
		if sig := r.Header.Get("X-VInfer-Signature"); sig != hex.EncodeToString(mac.Sum(nil)) {
			t.Errorf("request %d: signature %q", i, sig)
		}
		if r.Method != http.MethodPost || r.Path != "/vinfer" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("User-Agent") == "" {
			t.Errorf("request %d: %s %s %v", i, r.Method, r.Path, r.Header)
		}
	}
	server, w = start(t, webhook.Config{})
	send(t, w, crmtest.Completed(1), nil)
	if _, ok := server.Requests()[0].Header["X-Vinfer-Signature"]; ok {
		t.Error("signed without a secret")
	}
}

// The names of the headers stand in the request as they are documented.
func TestHeaderSpelling(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	raw := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		b := make([]byte, 64<<10)
		n, _ := conn.Read(b)
		raw <- string(b[:n])
		_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
		_ = conn.Close()
	}()
	w, err := webhook.New(webhook.Config{URL: "http://" + l.Addr().String(), Secret: secret.New("whsec")}, 1)
	if err != nil {
		t.Fatal(err)
	}
	send(t, w, crmtest.Completed(1), nil)
	_, _ = w.Close(), l.Close()
	got := <-raw
	for _, name := range []string{"\r\nIdempotency-Key: ", "\r\nX-VInfer-Signature: ", "\r\nX-VInfer-Sync-Attempt: 1\r\n", "\r\nContent-Type: application/json\r\n"} {
		if !strings.Contains(got, name) {
			t.Errorf("%q is missing in %q", name, got)
		}
	}
	if n := strings.Count(strings.ToLower(got), "idempotency-key: "); n != 1 {
		t.Errorf("%d idempotency keys in %q", n, got)
	}
}

// Any 2xx is delivered, whatever the body, even one that breaks off.
func TestAnswerIgnored(t *testing.T) {
	for _, raw := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbreaks off", "HTTP/1.1 202 Accepted\r\n\r\n<html>", "HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 299 Odd\r\nContent-Encoding: gzip\r\n\r\nno gzip",
	} {
		server, w := start(t, webhook.Config{})
		server.Misbehave(crmtest.Fault{Raw: func(*http.Request, []byte) string { return raw }})
		send(t, w, crmtest.Completed(1), nil)
	}
}

func TestCheckSendsNothing(t *testing.T) {
	server, w := start(t, webhook.Config{})
	if found := w.Check(t.Context(), nil); found[0].Err != nil {
		t.Errorf("%+v", found)
	}
	if server.Count() != 0 {
		t.Error("the receiver got a request")
	}
	server.Close()
	if found := w.Check(t.Context(), nil); found[0].Err == nil {
		t.Errorf("nobody listens: %+v", found)
	}
}

func TestValidate(t *testing.T) {
	for want, cfg := range map[string]webhook.Config{
		"url: missing":       {},
		"url: write it":      {URL: "example.com/hook"},
		"url: not a URL":     {URL: "http://[::1"},
		"secret_file: set":   {URL: "https://x", Secret: secret.New("a"), SecretFile: "b"},
		"events: \"call.x\"": {URL: "https://x", Events: []string{"call.x"}},
	} {
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := (webhook.Config{URL: "https://user:pass@example.com/x?y=z", Events: webhook.DefaultEvents}).Validate(); err != nil {
		t.Error(err)
	}
}
