package httpx

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/mask"
)

// maxWait bounds Retry-After; the engine has a lower bound of its own.
const maxWait = 24 * time.Hour

// Verdict turns an answer into the error that a Write returns: nil for 2xx, a halt for a refused credential, a pause if the
// destination asks for one, a rejection for what no repetition can fix, and a plain error, which asks for a repetition, for the
// rest. shape describes the request without its values; a rejection carries it.
func Verdict(a *Answer, shape string) error {
	said := fmt.Sprintf("%s answers %d", a.host, a.Status)
	if text := http.StatusText(a.Status); text != "" {
		said += " " + text
	}
	words := a.Words(a.Body)
	if refused(a.Status) {
		words = a.Words([]byte(complaint(a.Body)))
	}
	if words != "" {
		said += ": " + words
	}
	err := errorText(said)
	wait, asked := a.RetryAfter()
	switch s := a.Status; {
	case s/100 == 2:
		return nil
	case refused(s):
		return crm.Halted(err)
	case s == http.StatusTooManyRequests:
		return crm.Throttled(err, wait)
	case s >= 500, s == http.StatusRequestTimeout, s == http.StatusTooEarly:
		if asked {
			return crm.Throttled(err, wait)
		}
		if s == http.StatusBadGateway || s == http.StatusGatewayTimeout {
			return &requestError{said, errGateway}
		}
		return err
	case s/100 == 3:
		return errorText(fmt.Sprintf("%s answers %d and redirects to %s, which is not followed: set the final url", a.host, s, a.redirect()))
	case s/100 == 4:
		return crm.Rejected(err, shape)
	}
	return err
}

// refused tells whether a status refuses the credentials: who reads it is to change a key, and needs no request to look at.
func refused(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusProxyAuthRequired
}

// complaint returns the words of an error that is written in JSON as most APIs do; else the text as it is.
func complaint(body []byte) string {
	var o map[string]any
	if json.Unmarshal(body, &o) != nil {
		return string(body)
	}
	if inner, ok := o["error"].(map[string]any); ok {
		o = inner
	}
	var words []string
	for _, key := range []string{"code", "error", "message", "error_description", "detail"} {
		if s, ok := o[key].(string); ok && s != "" && !slices.Contains(words, s) {
			words = append(words, s)
		}
	}
	if len(words) == 0 {
		return string(body)
	}
	return strings.Join(words, ": ")
}

var errGateway = errors.New("an answer of a gateway")

type errorText string

func (e errorText) Error() string { return string(e) }

// RetryAfter returns how long the destination asks to wait, and whether it asks. A date is read by the destination's own clock if the
// answer has one.
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

// redirect returns where the answer leads, without path and query, which may hold a token.
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
