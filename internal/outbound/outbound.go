// Package outbound holds what every way out over HTTP has in common, to VInfer and to the destinations: which proxy, which
// roots are trusted, and what a proxy's refusal is. No error shows a proxy's URL: it may hold a password.
package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
)

// Direct is the setting of a proxy that uses none, whatever the environment says.
const Direct = "direct"

// Proxy returns what an http.Transport takes for a setting: a URL, Direct, or nothing, and then the environment decides.
func Proxy(setting string) (func(*http.Request) (*url.URL, error), error) {
	switch setting {
	case "":
		return environment, nil
	case Direct:
		return nil, nil
	}
	u, err := url.Parse(setting)
	if err != nil || u.Host == "" {
		return nil, errors.New("proxy: write it in full, as http://host:port, or \"direct\"")
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
		return http.ProxyURL(u), nil
	}
	return nil, fmt.Errorf("proxy: %s is not supported: only http, https and socks5 are", u.Scheme)
}

// environment hides a faulty setting's value: net/http would print it, password and all.
func environment(r *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(r)
	if err != nil {
		return nil, errors.New("the proxy that is set in the environment (HTTPS_PROXY, HTTP_PROXY) is not a URL")
	}
	return u, nil
}

// TLS returns the settings of a connection that trusts the roots of a PEM file, where one is named, besides the system's.
func TLS(caFile string) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	// Without system roots (a bare container) the file's are the only ones.
	if t.RootCAs, err = x509.SystemCertPool(); err != nil {
		t.RootCAs = x509.NewCertPool()
	}
	if !t.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_file: no PEM certificate in %s", caFile)
	}
	return t, nil
}

// ProxyRefusal is what a proxy answers in place of a connection.
type ProxyRefusal struct{ Status int }

func (e *ProxyRefusal) Error() string {
	return fmt.Sprintf("the proxy answers %d %s", e.Status, http.StatusText(e.Status))
}

// Connected is an http.Transport's OnProxyConnectResponse: it makes a ProxyRefusal of what is no connection.
func Connected(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
	if res.StatusCode == http.StatusOK {
		return nil
	}
	return &ProxyRefusal{res.StatusCode}
}
