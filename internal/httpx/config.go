// Package httpx is what all destinations over HTTP share: their settings, a client for one origin, and one way to turn an
// answer into a verdict of package crm.
//
// The client follows no redirect and limits what it reads. It repeats a write only if the write has a key and its connection had gone
// stale. No error shows a secret, a query or a full phone number.
package httpx

import (
	"errors"
	"fmt"
	"maps"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/internal/outbound"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// DefaultTimeout is how long a request may take, answer included, where the configuration says nothing.
const DefaultTimeout = 30 * time.Second

// Direct is the value of Config.Proxy that uses no proxy, whatever the environment says.
const Direct = outbound.Direct

// Config holds the settings that all HTTP destinations have. It is embedded in the configuration of each kind.
type Config struct {
	CAFile     string                 `yaml:"ca_file"`     // PEM file with roots to trust besides the system's
	ClientCert string                 `yaml:"client_cert"` // PEM file; read again at each handshake, so it may be renewed
	ClientKey  string                 `yaml:"client_key"`  // PEM file
	Headers    map[string]secret.Text `yaml:"headers"`     // sent with every request
	Proxy      secret.Text            `yaml:"proxy"`       // URL, may hold a password; empty: the environment decides; "direct": none
	Timeout    time.Duration          `yaml:"timeout"`     // of one request, answer included
}

// Or returns c with missing settings taken from base. The headers of both are joined; those of c win.
func (c Config) Or(base Config) Config {
	if c.CAFile == "" {
		c.CAFile = base.CAFile
	}
	if c.ClientCert == "" && c.ClientKey == "" {
		c.ClientCert, c.ClientKey = base.ClientCert, base.ClientKey
	}
	if c.Proxy.Empty() {
		c.Proxy = base.Proxy
	}
	if c.Timeout == 0 {
		c.Timeout = base.Timeout
	}
	if len(base.Headers) > 0 {
		all := maps.Clone(base.Headers)
		for name, value := range c.Headers {
			for other := range all {
				if strings.EqualFold(name, other) {
					delete(all, other)
				}
			}
			all[name] = value
		}
		c.Headers = all
	}
	return c
}

// forbidden headers are the client's own or describe the connection.
var forbidden = map[string]string{
	"Host": "set the url instead", "Content-Length": "it follows from the body", "Content-Type": "the destination sets it",
	"Transfer-Encoding": "it follows from the body", "Connection": "the client sets it", "Idempotency-Key": "the destination sets it",
	"Accept-Encoding": "the client sets it",
}

// HTTP returns the settings themselves, for kinds that embed them.
func (c *Config) HTTP() *Config { return c }

// Validate checks the settings without touching a file or the network. Each fault begins with its key. own are the headers that the kind sets itself.
func (c Config) Validate(own ...string) error {
	var faults []error
	if (c.ClientCert == "") != (c.ClientKey == "") {
		faults = append(faults, errors.New("client_cert and client_key: set both or neither"))
	}
	if c.Timeout < 0 {
		faults = append(faults, fmt.Errorf("timeout: %s is negative: write 10s", c.Timeout))
	}
	if err := c.outbound().CheckProxy(); err != nil {
		faults = append(faults, err)
	}
	for name, value := range c.Headers {
		if why, bad := forbidden[textproto.CanonicalMIMEHeaderKey(name)]; bad {
			faults = append(faults, fmt.Errorf("headers: %s cannot be set: %s", name, why))
		}
		if slices.ContainsFunc(own, func(o string) bool { return strings.EqualFold(o, name) }) {
			faults = append(faults, fmt.Errorf("headers: %s cannot be set: the destination sets it", name))
		}
		if !headerName(name) {
			faults = append(faults, fmt.Errorf("headers: %q is not a header name", name))
		}
		if strings.ContainsFunc(value.Reveal(), func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			faults = append(faults, fmt.Errorf("headers: the value of %s holds a line break or another control character", name))
		}
	}
	return errors.Join(faults...)
}

// Origin checks that raw is an http or https URL and returns the URL. Errors name the key and do not show the URL, which may hold a
// password.
func Origin(key, raw string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(raw))
	switch {
	case raw == "":
		return nil, fmt.Errorf("%s: missing: write it in full, as https://host/path", key)
	case err != nil:
		return nil, fmt.Errorf("%s: not a URL: write it in full, as https://host/path", key)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Hostname() == "":
		return nil, fmt.Errorf("%s: write it in full, as https://host/path", key)
	case !ValidPort(u):
		return nil, fmt.Errorf("%s: no port: write 1 to 65535, or none", key)
	case u.Fragment != "":
		return nil, fmt.Errorf("%s: a fragment (#…) is never sent; remove it", key)
	}
	return u, nil
}

// Base reads an address below which an API is, as people write it: with or without a slash at its end, or one of endings, which then are left off.
func Base(key, raw string, endings ...string) (*url.URL, error) {
	u, err := Origin(key, raw)
	if err != nil {
		return nil, err
	}
	if u.RawQuery != "" {
		return nil, fmt.Errorf("%s: write it without a question mark and what follows", key)
	}
	path := strings.TrimRight(u.Path, "/")
	for _, e := range endings {
		path = strings.TrimRight(strings.TrimSuffix(path, e), "/")
	}
	u.Path, u.RawPath = path, ""
	return u, nil
}

// ValidPort reports whether a URL names no port, or a port from 1 to 65535.
func ValidPort(u *url.URL) bool {
	if u.Port() == "" {
		return true
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0
}

// CheckFiles checks that the certificates can be read and that the key fits its certificate. Each fault begins with its key.
func (c Config) CheckFiles() error { return c.outbound().CheckFiles() }

func (c Config) outbound() outbound.Settings {
	return outbound.Settings{CAFile: c.CAFile, ClientCert: c.ClientCert, ClientKey: c.ClientKey, Proxy: c.Proxy.Reveal()}
}

func headerName(s string) bool {
	for _, r := range s {
		if r > 'z' || r < '!' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r) {
			return false
		}
	}
	return s != ""
}
