package outbound

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
)

// ProxyRefusal is the error of a proxy that answered and opened no connection.
type ProxyRefusal struct{ Status int }

func (e *ProxyRefusal) Error() string {
	return fmt.Sprintf("the proxy answers %d %s", e.Status, http.StatusText(e.Status))
}

// connected is an http.Transport's OnProxyConnectResponse.
func connected(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
	if res.StatusCode == http.StatusOK {
		return nil
	}
	return &ProxyRefusal{res.StatusCode}
}

// WantsPassword reports whether err is the refusal of a proxy that wants another user or password.
func WantsPassword(err error) bool {
	var refusal *ProxyRefusal
	return errors.As(err, &refusal) && refusal.Status == http.StatusProxyAuthRequired
}

// Explain returns the error of a request without the URL that net/http puts into the text. To a fault that a setting cures, Explain
// adds the setting; prefix begins its name.
func Explain(err error, prefix string) error {
	var outer *url.Error
	for errors.As(err, &outer) {
		err = outer.Err
	}
	if WantsPassword(err) {
		return fmt.Errorf("%w: put the right user and password into %sproxy", err, prefix)
	}
	if errors.As(err, new(x509.UnknownAuthorityError)) {
		return fmt.Errorf("%w; if it is your own, or that of a proxy that opens TLS, put its PEM file into %sca_file", err, prefix)
	}
	return err
}

// IsAlert reports whether the other side of a TLS connection ended it with an alert.
func IsAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}
