// Package outbound is the way out over HTTP that the VInfer client and the destinations share: one origin for each
// client, no redirects, the proxy, the trusted roots, and errors that show no URL, because a URL may hold a password.
package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/internal/lease"
)

// Direct is the value of Settings.Proxy that uses no proxy, whatever the environment says.
const Direct = "direct"

// UserAgent names the program to servers that are told nothing else.
const UserAgent = "vinfer-sync"

// dialTimeout bounds the making of a connection and, after it, the TLS handshake.
const dialTimeout = 15 * time.Second

// Settings say how to reach a server.
type Settings struct {
	CAFile     string        // PEM file of roots to trust besides the system's
	ClientCert string        // PEM file; read again at each handshake, so a renewed certificate is used
	ClientKey  string        // PEM file
	Proxy      string        // URL; empty: the environment decides; Direct: none
	Conns      int           // idle connections that are kept
	Idle       time.Duration // how long an idle connection is kept

	// Dial opens connections in place of a net.Dialer and of a proxy, if it is set.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// CheckProxy checks the proxy's setting without the network.
func (s Settings) CheckProxy() error {
	_, err := s.proxy()
	return err
}

// CheckFiles checks that the certificates can be read and that the key fits its certificate.
func (s Settings) CheckFiles() error {
	_, err := s.tls()
	return err
}

func (s Settings) proxy() (func(*http.Request) (*url.URL, error), error) {
	switch s.Proxy {
	case "":
		return environment, nil
	case Direct:
		return nil, nil
	}
	u, err := url.Parse(s.Proxy)
	if err != nil || u.Host == "" {
		return nil, errors.New("proxy: write it in full, as http://host:port, or \"direct\"")
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
		return http.ProxyURL(u), nil
	}
	return nil, fmt.Errorf("proxy: %s is not supported: only http, https and socks5 are", u.Scheme)
}

// environment hides the value of a faulty setting: net/http would print it with its password.
func environment(r *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(r)
	if err != nil {
		return nil, errors.New("the proxy that is set in the environment (HTTPS_PROXY, HTTP_PROXY) is not a URL")
	}
	return u, nil
}

func (s Settings) tls() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CAFile != "" {
		pem, err := os.ReadFile(s.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		// Without system roots (a bare container) the file's are the only ones.
		if t.RootCAs, err = x509.SystemCertPool(); err != nil {
			t.RootCAs = x509.NewCertPool()
		}
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: no PEM certificate in %s", s.CAFile)
		}
	}
	if s.ClientCert != "" {
		load := func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(s.ClientCert, s.ClientKey)
			return &pair, err
		}
		if _, err := load(); err != nil {
			return nil, fmt.Errorf("client_cert: %w", err)
		}
		t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return t, nil
}

// Transport sends requests to one origin: scheme, host and port. It refuses every other, so credentials that a caller adds go
// nowhere else.
type Transport struct {
	base *url.URL
	http *http.Transport
}

// New returns a Transport for the origin of base. Its errors begin with the setting at fault.
func New(base *url.URL, s Settings) (*Transport, error) {
	proxy, err := s.proxy()
	if err != nil {
		return nil, err
	}
	security, err := s.tls()
	if err != nil {
		return nil, err
	}
	t := &http.Transport{
		Proxy:                 proxy,
		DialContext:           (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       security,
		TLSHandshakeTimeout:   dialTimeout,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          max(s.Conns, 1),
		MaxIdleConnsPerHost:   max(s.Conns, 1),
		IdleConnTimeout:       s.Idle,
		ExpectContinueTimeout: time.Second,
		// A connection that died unnoticed would otherwise hold every request for its whole timeout.
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
		OnProxyConnectResponse: connected,
	}
	if s.Dial != nil {
		t.DialContext, t.Proxy = s.Dial, nil
	}
	return &Transport{base, t}, nil
}

// Client returns an http.Client over t, or over what wraps t, that follows no redirect: net/http would carry headers along.
// timeout bounds one request, its answer included; 0: nothing does.
func Client(t http.RoundTripper, timeout time.Duration) *http.Client {
	return &http.Client{
		Transport:     t,
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	err := lease.Allows(r.Context())
	if err == nil {
		err = t.Allow(r.URL)
	}
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	return t.http.RoundTrip(r)
}

// CloseIdleConnections closes the connections that no request uses.
func (t *Transport) CloseIdleConnections() { t.http.CloseIdleConnections() }

// Allow returns an error if u has another origin than the transport.
func (t *Transport) Allow(u *url.URL) error {
	if u.Scheme == t.base.Scheme && strings.EqualFold(hostPort(u), hostPort(t.base)) {
		return nil
	}
	return fmt.Errorf("%s is another origin than %s: what is configured for one is not sent to the other", u.Host, t.base.Host)
}

// Secrets returns what must not be shown of the base URL and of the proxy's, in the forms in which a server may repeat it.
func (t *Transport) Secrets() []string {
	out := urlSecrets(t.base)
	if proxy, err := t.proxy(); err == nil && proxy != nil {
		out = append(out, urlSecrets(proxy)...)
	}
	return out
}

// proxy returns the proxy on the way to the origin; nil: there is none.
func (t *Transport) proxy() (*url.URL, error) {
	if t.http.Proxy == nil {
		return nil, nil
	}
	return t.http.Proxy(&http.Request{URL: t.base})
}

// urlSecrets returns what a URL may hide in its password, its path and its query: many receivers put a token there.
func urlSecrets(u *url.URL) (out []string) {
	if password, ok := u.User.Password(); ok {
		out = append(out, password, basic(u))
	}
	for _, values := range u.Query() {
		out = append(out, values...)
	}
	for part := range strings.SplitSeq(u.Path, "/") {
		// Tokens are long and have digits in them; words of a path may be shown.
		if len(part) >= 16 && strings.ContainsAny(part, "0123456789") {
			out = append(out, part)
		}
	}
	return out
}

// basic returns the user and password of a URL as HTTP's Basic scheme writes them.
func basic(u *url.URL) string {
	password, _ := u.User.Password()
	return base64.StdEncoding.EncodeToString([]byte(u.User.Username() + ":" + password))
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		if port == "" {
			port = "1080"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}
