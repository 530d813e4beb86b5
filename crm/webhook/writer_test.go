package webhook_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/webhook"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var secrets = []string{"wh-s3cr3t-w0rd", "hdr-t0ken-9911", "path-t0ken-1234567890", "query-t0ken"}

func TestWriter(t *testing.T) {
	crmtest.Run(t, crmtest.Target{NoContacts: true, New: destination})
}

func destination(t *testing.T) crmtest.Destination {
	server := crmtest.NewServer(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	return crmtest.Destination{
		Server: server, Secrets: secrets,
		Open: func(t *testing.T) crm.Writer {
			w, err := webhook.New(webhook.Config{
				URL: server.URL + "/hooks/" + secrets[2] + "?key=" + secrets[3], Secret: secret.New(secrets[0]),
				Config: httpx.Config{Headers: map[string]secret.Text{"Authorization": secret.New("Bearer " + secrets[1])}},
			}, 4)
			if err != nil {
				t.Fatal(err)
			}
			return w
		},
		State: func(t *testing.T) (s crmtest.State) {
			for _, r := range server.Requests() {
				var event struct{ Event string }
				if err := json.Unmarshal(r.Body, &event); err != nil {
					t.Fatal(err)
				}
				s.Deliveries = append(s.Deliveries, crmtest.Delivery{Key: r.Header.Get("Idempotency-Key"), Event: event.Event, Body: r.Body})
			}
			return s
		},
	}
}

// An answer that never ends takes no more memory than a long one, and its status counts.
func TestEndlessAnswer(t *testing.T) {
	chunk := make([]byte, 32<<10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	w, err := webhook.New(webhook.Config{URL: s.URL}, 1)
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := w.Write(t.Context(), crm.Entry{Event: crm.CallCompleted, Key: "k", Call: crm.Call{ID: "c"}}, crm.NewProgress(nil, nil)); err != nil {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
		t.Errorf("%d bytes were allocated for one answer", n)
	}
}
