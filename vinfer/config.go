package vinfer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// direct is the value of Config.Proxy that uses no proxy, whatever the environment says.
const direct = "direct"

// Config says how to reach the API. However it is printed it shows the base URL only.
type Config struct {
	BaseURL   string                      // with the version: https://api.vinfer.ai/v1
	Key       func() (secret.Text, error) // asked at every request, so that a rotated key is taken up
	Timeout   time.Duration               // of one try, its body included; 0: 30 s
	Reserve   float64                     // share of the limit that is left to others: 0.1 keeps 10 % free
	CAFile    string                      // PEM file of roots besides the system's
	Proxy     string                      // URL; empty: HTTPS_PROXY and its kin from the environment; "direct": none
	UserAgent string                      // empty: "vinfer-sync"
	RetryWait time.Duration               // before the second try of an unreadable page or a 5xx, then doubling; 0: 1 s
	Logger    *slog.Logger                // requests at debug level; may be nil

	// Dial opens connections in place of a net.Dialer; nil: a net.Dialer does. Proxies are passed over when it is set.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Format prints the configuration without what may hold credentials, for every verb.
func (c Config) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "vinfer.Config{"+redactURL(c.BaseURL)+"}")
}

// LogValue is what slog shows of it.
func (c Config) LogValue() slog.Value { return slog.StringValue(redactURL(c.BaseURL)) }

// Format prints the client without what it holds, for every verb.
func (c *Client) Format(f fmt.State, _ rune) {
	if c == nil {
		_, _ = io.WriteString(f, "<nil>")
		return
	}
	_, _ = io.WriteString(f, "vinfer.Client{"+c.base.String()+"}")
}

func redactURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "[not a URL]"
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

func newTransport(c Config) (*http.Transport, error) {
	tr := &http.Transport{
		Proxy:                 environmentProxy,
		DialContext:           (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   15 * time.Second,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConns:          16,
		MaxIdleConnsPerHost:   16,
		ForceAttemptHTTP2:     true,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
			if res.StatusCode == http.StatusOK {
				return nil
			}
			return &proxyRefusal{res.StatusCode}
		},
	}
	if c.Dial != nil {
		tr.DialContext, tr.Proxy = c.Dial, nil
	}
	if c.Proxy == direct {
		tr.Proxy = nil
	} else if c.Proxy != "" && c.Dial == nil {
		u, err := url.Parse(c.Proxy)
		if err != nil || u.Host == "" {
			return nil, errors.New("vinfer: the proxy is not a URL with a host") // it may hold a password
		}
		switch u.Scheme {
		case "http", "https", "socks5", "socks5h":
		default:
			return nil, fmt.Errorf("vinfer: a proxy of scheme %q is not supported: http, https, socks5 and socks5h are", u.Scheme)
		}
		tr.Proxy = http.ProxyURL(u)
	}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("vinfer: ca_file: %w", err)
		}
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("vinfer: ca_file: %s holds no PEM certificate", c.CAFile)
		}
		tr.TLSClientConfig.RootCAs = roots
	}
	return tr, nil
}

// proxyRefusal is what a proxy answers in place of a connection.
type proxyRefusal struct{ status int }

func (e *proxyRefusal) Error() string {
	return fmt.Sprintf("the proxy answers %d %s", e.status, http.StatusText(e.status))
}

// proxySecrets returns the password for the proxy on the way to base, as it is and as it travels.
func proxySecrets(tr *http.Transport, base *url.URL) []string {
	if tr.Proxy == nil {
		return nil
	}
	u, err := tr.Proxy(&http.Request{URL: base})
	if err != nil || u == nil {
		return nil
	}
	password, ok := u.User.Password()
	if !ok {
		return nil
	}
	return []string{password, base64.StdEncoding.EncodeToString([]byte(u.User.Username() + ":" + password))}
}

// environmentProxy hides a faulty proxy setting's value: net/http would print it, password and all.
func environmentProxy(r *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(r)
	if err != nil {
		return nil, errors.New("the proxy set in the environment is not a URL")
	}
	return u, nil
}
