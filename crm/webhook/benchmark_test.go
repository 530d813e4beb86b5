package webhook_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/webhook"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

func BenchmarkWrite(b *testing.B) {
	crmtest.Benchmark(b, func(b *testing.B) crm.Writer {
		server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		w, err := webhook.New(webhook.Config{URL: server.URL, Secret: secret.New("benchmark")}, 16)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			_ = w.Close()
			server.Close()
		})
		return w
	})
}
