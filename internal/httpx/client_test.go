package httpx

import (
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server and returns a client for it.
func serve(t *testing.T, h http.HandlerFunc, cfg Config) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return client(t, s.URL, cfg)
}

func client(t *testing.T, base string, cfg Config) *Client {
	t.Helper()
	u, err := Origin("url", base)
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(u, cfg, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func post(t *testing.T, c *Client, path string) (*Answer, error) {
	t.Helper()
	u, err := url.Parse(path)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.Base().ResolveReference(u).String(), strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Idempotency-Key", "k1")
	return c.Do(req)
}

// An answer that is lost on a connection that was kept may be that of a connection that the other side had closed: the request is sent once more. The transport
// of net/http would send it as often as there are such connections.
func TestLostAnswerIsRepeatedOnce(t *testing.T) {
	var n atomic.Int32
	c := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Idempotency-Key") != "k1" {
			t.Errorf("headers %v", r.Header)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		if n.Add(1) >= 2 {
			conn, _, _ := rw.(http.Hijacker).Hijack()
			_ = conn.Close()
		}
	}, Config{})
	if _, err := post(t, c, "/"); err != nil {
		t.Fatal(err)
	}
	if _, err := post(t, c, "/"); crm.VerdictOf(err) != crm.Retry || !strings.Contains(err.Error(), "without an answer") {
		t.Fatalf("got %v", err)
	}
	if got := n.Load(); got != 3 {
		t.Errorf("%d requests, want 3", got)
	}
}

func TestBoundToOrigin(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	c := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") != "k3y-0f-the-house" {
			t.Errorf("headers %v", r.Header)
		}
	}, Config{Headers: map[string]secret.Text{"x-api-key": secret.New("k3y-0f-the-house")}})
	if _, err := post(t, c, "/x?y"); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{other.URL, strings.Replace(c.Base().String(), "http:", "https:", 1)} {
		if _, err := post(t, c, target+"/?q=k3y-0f-the-house"); err == nil || strings.Contains(err.Error(), "k3y") {
			t.Errorf("%s: %v", target, err)
		}
	}
	if elsewhere.Load() != 0 {
		t.Error("a request went elsewhere")
	}
}

func TestErrorsShowNoURL(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	c := client(t, "http://user:passw0rd@"+l.Addr().String()+"/hooks/t0ken-of-20-letters?key=quer1", Config{})
	_, err = post(t, c, "?key=quer1&other=9876543210")
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Fatalf("the host is missing: %v", err)
	}
	for _, hidden := range []string{"passw0rd", "t0ken", "quer1", "9876543210"} {
		if strings.Contains(err.Error(), hidden) {
			t.Errorf("%q is shown: %v", hidden, err)
		}
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		t.Error("the url.Error can be reached")
	}
}

// A destination may say what it was sent.
func TestEchoedCredentials(t *testing.T) {
	c := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(rw, r.Header.Get("Authorization")+" "+strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")+" "+r.Header.Get("X-Other"))
	}, Config{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.Base().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer t0ken-of-now")
	req.Header.Set("X-Other", "0ther-secret")
	a, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	err = Verdict(a, "GET /")
	if crm.VerdictOf(err) != crm.Reject || strings.Contains(err.Error(), "t0ken") || strings.Contains(err.Error(), "0ther") || crm.Request(err) != "GET /" {
		t.Errorf("got %v", err)
	}
}

func TestTimeout(t *testing.T) {
	stop := make(chan struct{})
	c := serve(t, func(http.ResponseWriter, *http.Request) { <-stop }, Config{Timeout: 20 * time.Millisecond})
	_, err := post(t, c, "/")
	close(stop)
	if crm.VerdictOf(err) != crm.Retry || err == nil || !strings.Contains(err.Error(), "no answer within 20ms") || errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestBodyIsCapped(t *testing.T) {
	c := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(rw)
		block := make([]byte, 1<<20)
		for range 64 {
			if _, err := z.Write(block); err != nil {
				return
			}
		}
		_ = z.Close()
	}, Config{})
	a, err := post(t, c, "/")
	if err != nil || len(a.Body) != defaultLimit {
		t.Fatalf("%d bytes, %v", len(a.Body), err)
	}
	if err := a.JSON(new(any)); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("got %v", err)
	}
}

// A refusal that is cut off may be of any kind: the cause is in its body. One that the status alone tells stays what it is.
func TestCutRefusal(t *testing.T) {
	for status, want := range map[int]crm.Verdict{400: crm.Retry, 404: crm.Retry, 409: crm.Retry, 401: crm.Halt, 403: crm.Halt, 429: crm.Throttle} {
		c := serve(t, func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "300")
			rw.WriteHeader(status)
			_, _ = io.WriteString(rw, `{"errors": {"detail": "Bean`)
		}, Config{})
		a, err := post(t, c, "/")
		if err == nil {
			err = Verdict(a, "POST /")
		}
		if err == nil || crm.VerdictOf(err) != want {
			t.Errorf("%d: %v: %v", status, crm.VerdictOf(err), err)
		}
	}
}

func TestJSONErrorsShowNoBody(t *testing.T) {
	c := serve(t, func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, `{"id": "9876543210"}`) }, Config{})
	a, err := post(t, c, "/")
	if err != nil {
		t.Fatal(err)
	}
	var v struct{ ID string }
	if err := a.JSON(&v); err != nil || v.ID != "9876543210" {
		t.Errorf("%v %v", v, err)
	}
	var n struct{ ID int }
	if err := a.JSON(&n); err == nil || strings.Contains(err.Error(), "9876543210") {
		t.Errorf("got %v", err)
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key")
	pool := writeCert(t, cert, key)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(rw, r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	ca := filepath.Join(dir, "ca.pem")
	write(t, ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))

	if _, err := post(t, client(t, s.URL, Config{}), "/"); crm.VerdictOf(err) != crm.Retry || err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown authority: %v", err)
	}
	stranger := client(t, s.URL, Config{CAFile: ca})
	// By TLS 1.3 the server refuses after the handshake, and its word why may get lost with the connection: mostly it is there.
	told := false
	for range 50 {
		_, err := post(t, stranger, "/")
		if err == nil {
			t.Error("no error without a client certificate")
		}
		if told = err != nil && strings.Contains(err.Error(), "set client_cert"); told {
			break
		}
	}
	if !told {
		t.Error("without a client certificate it is never told what is missing")
	}
	if err := stranger.Dial(t.Context()); err == nil || !strings.Contains(err.Error(), "set client_cert") {
		t.Errorf("dial without a client certificate: %v", err)
	}
	if err := client(t, strings.Replace(s.URL, "https:", "http:", 1), Config{}).Dial(t.Context()); err != nil {
		t.Errorf("dial without TLS: %v", err)
	}
	c := client(t, s.URL, Config{CAFile: ca, ClientCert: cert, ClientKey: key})
	a, err := post(t, c, "/")
	if err != nil || string(a.Body) != "tester" {
		t.Errorf("%v %v", a, err)
	}
	if err := c.Dial(t.Context()); err != nil {
		t.Errorf("dial: %v", err)
	}
	if err := client(t, s.URL, Config{}).Dial(t.Context()); err == nil || !strings.Contains(err.Error(), "put its PEM file into ca_file") {
		t.Errorf("dialling does not look at the certificate: %v", err)
	}
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer plain.Close()
	mistaken := client(t, strings.Replace(plain.URL, "http:", "https:", 1), Config{})
	_, err = post(t, mistaken, "/")
	for _, err := range []error{err, mistaken.Dial(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), "write http://") {
			t.Errorf("TLS to a server without: %v", err)
		}
	}
	for want, cfg := range map[string]Config{
		"ca_file":     {CAFile: key},
		"client_cert": {ClientCert: key, ClientKey: cert},
		"both or":     {ClientCert: cert},
	} {
		if _, err := New(c.Base(), cfg, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11} //nolint:gosec // what an old server offers
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write(t, ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	if _, err := post(t, client(t, s.URL, Config{CAFile: ca}), "/"); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("got %v", err)
	}
}

func TestProxy(t *testing.T) {
	var asked atomic.Value
	status := http.StatusProxyAuthRequired
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		asked.Store(r.Method + " " + r.Host + " " + r.Header.Get("Proxy-Authorization"))
		rw.WriteHeader(status)
	}))
	defer proxy.Close()
	cfg := Config{Proxy: secret.New(strings.Replace(proxy.URL, "http://", "http://me:pr0xypass@", 1))}
	for _, scheme := range []string{"http", "https"} {
		c := client(t, scheme+"://crm.invalid", cfg)
		a, err := post(t, c, "/")
		if err == nil {
			err = Verdict(a, "POST")
		}
		if crm.VerdictOf(err) != crm.Halt || strings.Contains(err.Error(), "pr0xypass") {
			t.Errorf("%s: %v", scheme, err)
		}
		if got, _ := asked.Load().(string); !strings.Contains(got, "crm.invalid") || !strings.Contains(got, "Basic ") {
			t.Errorf("%s: the proxy was asked %q", scheme, got)
		}
		// Without TLS nothing is asked of the proxy before the request.
		if err := c.Dial(t.Context()); (crm.VerdictOf(err) == crm.Halt) != (scheme == "https") || err != nil && scheme == "http" {
			t.Errorf("%s: dial: %v", scheme, err)
		}
	}
	status = http.StatusBadGateway
	if _, err := post(t, client(t, "https://crm.invalid", cfg), "/"); crm.VerdictOf(err) != crm.Retry || err == nil {
		t.Errorf("got %v", err)
	}
	for _, bad := range []string{"proxy:3128", "ftp://x", "://"} {
		if err := (Config{Proxy: secret.New(bad)}).Validate(); err == nil || !strings.HasPrefix(err.Error(), "proxy:") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestConfigOr(t *testing.T) {
	base := Config{CAFile: "a", Timeout: 1, Headers: map[string]secret.Text{"X-A": secret.New("base"), "X-B": secret.New("base")}}
	got := Config{Timeout: 2, Headers: map[string]secret.Text{"x-a": secret.New("own")}}.Or(base)
	if got.CAFile != "a" || got.Timeout != 2 || len(got.Headers) != 2 || got.Headers["x-a"].Reveal() != "own" || len(base.Headers) != 2 {
		t.Errorf("got %+v", got)
	}
}

func TestForbiddenHeaders(t *testing.T) {
	for name, value := range map[string]string{"host": "x", "Idempotency-key": "x", "a b": "x", "": "x", "X-Fine": "a\r\nInjected: b"} {
		if err := (Config{Headers: map[string]secret.Text{name: secret.New(value)}}).Validate(); err == nil || !strings.HasPrefix(err.Error(), "headers:") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// writeCert writes a client certificate and returns the pool that trusts it.
func writeCert(t *testing.T, cert, key string) *x509.CertPool {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	template.Subject.CommonName = "tester"
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	pool := x509.NewCertPool()
	pool.AddCert(mustParse(t, der))
	return pool
}

func mustParse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
