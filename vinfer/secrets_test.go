package vinfer_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// noKey is a server that must never be asked with the key.
func noKey(t *testing.T) *httptest.Server {
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s got here, with Authorization %q", r.Method, r.URL, r.Header.Get("Authorization"))
	})
}

func TestTheKeyStaysAtItsOrigin(t *testing.T) {
	other := noKey(t) // the same host, another port
	for _, status := range []int{301, 302, 303, 307, 308} {
		srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/v1/calls?token=hidden", status)
		})
		c := newClient(t, srv.URL+"/v1")
		_, err := c.Calls(t.Context(), vinfer.Query{}, vinfer.News)
		if err == nil || !strings.Contains(err.Error(), "redirect to "+strings.TrimPrefix(other.URL, "http://")+",") || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%d: %v", status, err)
		}
		for _, link := range []string{
			other.URL + "/v1/transcription/j/transcript",
			strings.Replace(srv.URL, "http://", "https://", 1) + "/v1/transcription/j/transcript",
			strings.Replace(srv.URL, "http://", "http://user@", 1) + "/v1/transcription/j/transcript",
			strings.Replace(srv.URL, "127.0.0.1", "localhost", 1) + "/v1/transcription/j/transcript",
			other.URL + "/no/job/here",
		} {
			if _, err := c.Transcript(t.Context(), link, "", vinfer.News); err == nil {
				t.Errorf("%s was read", link)
			}
		}
	}
}

func TestNothingPrintsTheKey(t *testing.T) {
	var logged bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	answers := []func(http.ResponseWriter){
		func(w http.ResponseWriter) {
			http.Error(w, "the key "+theKey+" of +919876543210 is not known", http.StatusUnauthorized)
		},
		func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, `{"data":[{"id":"a","phone":"+919876543210","name":"`+theKey)
		},
		func(w http.ResponseWriter) { http.Error(w, theKey, http.StatusInternalServerError) },
		func(w http.ResponseWriter) {
			w.Header().Set("Location", "http://"+theKey+"@elsewhere.invalid/"+theKey)
			w.WriteHeader(http.StatusFound)
		},
		func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	}
	for i, answer := range answers {
		srv := serve(t, func(w http.ResponseWriter, r *http.Request) { answer(w) })
		cfg := vinfer.Config{BaseURL: srv.URL, Key: key, RetryWait: time.Millisecond, Logger: logger, Proxy: "http://u:" + theKey + "@127.0.0.1:1"}
		shown := fmt.Sprintf("%v %+v %#v %s %q %d", cfg, cfg, cfg, cfg, cfg, cfg)
		logger.Info("config", "config", cfg)
		cfg.Proxy = ""
		c, err := vinfer.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		shown += fmt.Sprintf("%v %+v %#v %s %v", c, c, c, c, struct{ C *vinfer.Client }{c})
		logger.Info("client", "client", c)
		_, err = c.Calls(t.Context(), vinfer.Query{}, vinfer.News)
		if err == nil {
			t.Fatal("no error")
		}
		_, err2 := c.Transcript(t.Context(), srv.URL+"/t?signature="+theKey, "", vinfer.News)
		shown += err.Error() + fmt.Sprintf("%+v %#v %v", err, err, err2) + logged.String()
		for _, hidden := range []string{theKey, "9876543210"} {
			if strings.Contains(shown, hidden) {
				t.Errorf("%d: %s is in %s", i, hidden, shown)
			}
		}
	}
	c := newClient(t, "http://127.0.0.1:1/v1", func(c *vinfer.Config) { c.Proxy = "http://u:" + theKey + "@127.0.0.1:1" })
	if _, err := c.Calls(t.Context(), vinfer.Query{}, vinfer.News); err == nil || strings.Contains(err.Error(), theKey) {
		t.Error(err)
	}
}
