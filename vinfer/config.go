package vinfer

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"time"

	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// Config says how to reach the API. Every way of printing a Config shows the base URL only.
type Config struct {
	BaseURL   string                      // with the version: https://api.vinfer.ai/v1
	Key       func() (secret.Text, error) // called for every request, so a rotated key is used at once
	Timeout   time.Duration               // of one try, its body included; 0: 30 s
	Reserve   float64                     // share of the limit that is left to others: 0.1 keeps 10 % free
	CAFile    string                      // PEM file of roots besides the system's
	Proxy     string                      // URL; empty: the environment decides (HTTPS_PROXY, NO_PROXY); "direct": none
	UserAgent string                      // empty: "vinfer-sync"
	RetryWait time.Duration               // before the second try of an unreadable page or a 5xx, then doubling; 0: 1 s
	Logger    *slog.Logger                // requests at debug level; may be nil

	// Dial opens connections in place of a net.Dialer and of a proxy, if it is set.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Format prints the configuration without what may hold credentials, for every verb.
func (c Config) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "vinfer.Config{"+redactURL(c.BaseURL)+"}")
}

// LogValue is what slog shows of a Config.
func (c Config) LogValue() slog.Value { return slog.StringValue(redactURL(c.BaseURL)) }

// Format prints the base URL of the client only, for every verb.
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
