package httpx

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/mask"
)

// maxWait bounds Retry-After; the engine has a lower bound of its own.
const maxWait = 24 * time.Hour

// Verdict reads an answer as the error that a Write returns: nil for 2xx, a halt for a refused credential, a pause where the
// destination asks for one, a rejection for what no repetition can mend, and a plain error, which asks for a
// repetition, for the rest. shape describes the request without its values; a rejection carries it.
func Verdict(a *Answer, shape string) error {
	said := fmt.Sprintf("%s answers %d", a.host, a.Status)
	if text := http.StatusText(a.Status); text != "" {
		said += " " + text
	}
	if words := a.Words(a.Body); words != "" {
		said += ": " + words
	}
	err := errorText(said)
	wait, asked := a.RetryAfter()
	switch s := a.Status; {
	case s/100 == 2:
		return nil
	case s == http.StatusUnauthorized, s == http.StatusForbidden, s == http.StatusProxyAuthRequired:
		return crm.Halted(err)
	case s == http.StatusTooManyRequests:
		return crm.Throttled(err, wait)
	case s >= 500, s == http.StatusRequestTimeout, s == http.StatusTooEarly:
		if asked {
			return crm.Throttled(err, wait)
		}
		if s == http.StatusBadGateway || s == http.StatusGatewayTimeout {
			return &failed{said, errGateway}
		}
		return err
	case s/100 == 3:
		return errorText(fmt.Sprintf("%s answers %d and redirects to %s, which is not followed: set the final url", a.host, s, a.redirect()))
	case s/100 == 4:
		return crm.Rejected(err, shape)
	}
	return err
}

var errGateway = errors.New("an answer of a gateway")

type errorText string

func (e errorText) Error() string { return string(e) }

// RetryAfter returns how long the destination asks to wait, and whether it does. A date is taken by the
// destination's own clock where its answer has one.
func (a *Answer) RetryAfter() (time.Duration, bool) {
	v := strings.TrimSpace(a.Header.Get("Retry-After"))
	if v == "" {
		return 0, false
	}
	if seconds, err := strconv.ParseFloat(v, 64); err == nil {
		if !(seconds > 0) {
			return 0, true
		}
		return time.Duration(min(seconds, maxWait.Seconds()) * float64(time.Second)), true
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0, false
	}
	now, err := http.ParseTime(a.Header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return min(max(at.Sub(now), 0), maxWait), true
}

// redirect names where the answer leads to, without what may be a token in its path or query.
func (a *Answer) redirect() string {
	u, err := url.Parse(a.Header.Get("Location"))
	switch {
	case err != nil || a.Header.Get("Location") == "":
		return "nowhere"
	case u.Host == "":
		return "another path of the same host"
	}
	return mask.Text(u.Scheme+"://"+u.Host, a.secrets...)
}
