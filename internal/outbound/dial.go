package outbound

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Dial opens a connection to the origin, TLS included, and closes the connection again without a request. The connection goes through
// the proxy where there is one; behind a SOCKS proxy, or without TLS, Dial reaches the proxy only.
func (t *Transport) Dial(ctx context.Context) error {
	next := t.base
	proxy, err := t.proxy()
	if err != nil {
		return err
	}
	if proxy != nil {
		next = proxy
	}
	conn, err := t.http.DialContext(ctx, "tcp", hostPort(next))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	if next.Scheme == "https" {
		if conn, err = t.secure(ctx, conn, next.Hostname()); err != nil {
			return err
		}
	}
	if proxy == nil || t.base.Scheme != "https" || !strings.HasPrefix(proxy.Scheme, "http") {
		return nil
	}
	if err := tunnel(ctx, conn, proxy, hostPort(t.base)); err != nil {
		return err
	}
	_, err = t.secure(ctx, conn, t.base.Hostname())
	return err
}

// tunnel asks a proxy for a connection to target.
func tunnel(ctx context.Context, conn net.Conn, proxy *url.URL, target string) error {
	req := (&http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target, Header: http.Header{"User-Agent": {UserAgent}}}).WithContext(ctx)
	if proxy.User != nil {
		req.Header.Set("Proxy-Authorization", "Basic "+basic(proxy))
	}
	if err := req.Write(conn); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	return connected(ctx, nil, nil, res)
}

// secure makes the TLS handshake with a host.
func (t *Transport) secure(ctx context.Context, conn net.Conn, host string) (net.Conn, error) {
	config := t.http.TLSClientConfig.Clone()
	config.ServerName = host
	secure := tls.Client(conn, config)
	err := secure.HandshakeContext(ctx)
	if err == nil {
		err = readAlert(secure)
	}
	if deadline, ok := ctx.Deadline(); ok && err == nil {
		err = conn.SetReadDeadline(deadline) // readAlert has set a shorter one
	}
	return secure, err
}

// readAlert waits a moment for an alert after the handshake: by TLS 1.3 a server refuses a client's certificate, or the lack of one,
// only then.
func readAlert(conn *tls.Conn) error {
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Read(make([]byte, 1)); IsAlert(err) {
		return err
	}
	return nil // the server waits for a request, as it should, or has closed the connection, as it may
}
