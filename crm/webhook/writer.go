package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
	"github.com/vinfer-sync/vinfer-sync/internal/mask"
)

// maxAnswer is how much of an answer is read: its status counts, and its first words go into errors.
const maxAnswer = 64 << 10

// Writer posts events to one URL.
type Writer struct {
	client *httpx.Client
	url    string
	secret []byte
	events map[string]bool
}

// New returns a Writer that keeps a connection for each of workers.
func New(cfg Config, workers int) (*Writer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	base, err := httpx.Origin("url", cfg.URL)
	if err != nil {
		return nil, err
	}
	secret, err := cfg.secret()
	if err != nil {
		return nil, err
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	client, err := httpx.New(base, cfg.Config, workers, secret)
	if err != nil {
		return nil, err
	}
	client.ReadAtMost(maxAnswer)
	if len(cfg.Events) == 0 {
		cfg.Events = DefaultEvents
	}
	w := &Writer{client: client, url: base.String(), secret: []byte(secret), events: map[string]bool{}}
	for _, e := range cfg.Events {
		w.events[e] = true
	}
	return w, nil
}

// AppendOnly tells that the receiver keeps every delivery apart.
func (w *Writer) AppendOnly() {}

// Close closes the idle connections.
func (w *Writer) Close() error { return w.client.Close() }

// Write posts the entry's event and, where the call has become escalated, that event after it. The refs hold the key
// under which each event was last sent.
func (w *Writer) Write(ctx context.Context, e crm.Entry, p *crm.Progress) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	event := string(e.Event)
	escalated := w.events[Escalated] && e.Call.Disposition == "escalated" && p.Refs[Escalated] == "" &&
		(e.Event == crm.CallCompleted || e.Event == crm.DispositionSet)
	if w.events[event] && p.Refs[event] != e.Key {
		if err := w.post(ctx, event, e.Key, &e); err != nil {
			return err
		}
		if escalated {
			if err := p.Save(event, e.Key); err != nil {
				return err
			}
		}
		p.Refs[event] = e.Key
	}
	if escalated {
		key := e.Key + "-escalated"
		if err := w.post(ctx, Escalated, key, &e); err != nil {
			return err
		}
		p.Refs[Escalated] = key
	}
	return nil
}

func (w *Writer) post(ctx context.Context, event, key string, e *crm.Entry) error {
	shape := "POST " + event
	b, err := body(event, e)
	if err != nil {
		return crm.Rejected(fmt.Errorf("encode %s: %w", event, err), shape)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(b))
	if err != nil {
		return crm.Halted(fmt.Errorf("make a request: %s", mask.Text(err.Error(), w.url)))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	// Written as documented, not as Go would spell them, for receivers that compare by case.
	req.Header["X-VInfer-Sync-Attempt"] = []string{strconv.Itoa(e.Attempt)}
	if e.Late && e.Event != crm.TranscriptReady {
		req.Header["X-VInfer-Sync-Late"] = []string{"true"}
	}
	if len(w.secret) > 0 {
		mac := hmac.New(sha256.New, w.secret)
		mac.Write(b)
		req.Header["X-VInfer-Signature"] = []string{hex.EncodeToString(mac.Sum(nil))}
	}
	answer, err := w.client.Do(req)
	if err != nil {
		return err
	}
	return httpx.Verdict(answer, shape+" {event, call_id, contact, …}")
}

// Check connects to the receiver without a request: a handler could take any request for an event.
func (w *Writer) Check(ctx context.Context, _ []string) []crm.Finding {
	host := w.client.Base().Host
	found := []crm.Finding{{Subject: "connection", Err: w.client.Dial(ctx), Detail: w.client.Base().Scheme + "://" + host}}
	if len(w.secret) == 0 {
		found = append(found, crm.Finding{Subject: "signature", Detail: "no secret is configured: the events are not signed"})
	}
	if base := w.client.Base(); base.Scheme == "http" {
		found = append(found, crm.Finding{Subject: "encryption", Detail: host + " is reached without TLS: names and numbers cross the network readably"})
	}
	return found
}
