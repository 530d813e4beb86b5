package httpx

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/mask"
)

// Request is one request of a REST API, whose body is JSON or a form.
type Request struct {
	Method string
	Path   string // below the client's base; escaped
	Query  url.Values
	Header http.Header // besides Accept and Content-Type, which are JSON unless they are given here
	Body   any         // nil: none; url.Values: a form; else JSON
	Shape  string      // what is sent, for operators: method, path without ids, names of fields, and no values
}

// Send sends a request and returns the answer, whatever its status. Its errors are those of a Write.
func (c *Client) Send(ctx context.Context, r Request) (*Answer, error) {
	u := c.base.JoinPath(r.Path)
	u.RawQuery = r.Query.Encode() // a + must travel as %2B: raw it would be a space
	var content io.Reader
	format := "application/json"
	if form, ok := r.Body.(url.Values); ok {
		content, format = strings.NewReader(form.Encode()), "application/x-www-form-urlencoded"
	} else if r.Body != nil {
		b, err := json.Marshal(r.Body)
		if err != nil {
			return nil, crm.Rejected(fmt.Errorf("encode %s: %w", r.Shape, err), r.Shape)
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, u.String(), content)
	if err != nil {
		return nil, crm.Halted(fmt.Errorf("make a request: %s", mask.Text(err.Error(), append(c.secrets[:len(c.secrets):len(c.secrets)], u.String())...)))
	}
	req.Header.Set("Accept", "application/json")
	if r.Body != nil {
		req.Header.Set("Content-Type", format)
	}
	maps.Copy(req.Header, r.Header)
	return c.Do(req)
}

// Refused is the error of an answer that is no success. It unwraps to the verdict.
type Refused struct {
	Err     error
	Status  int
	Code    string // what the CRM calls the fault, where it has names for faults
	Message string // the CRM's words, where they stand in a place of their own
	Part    string // the part of a request of several that it is about
	Body    []byte // the answer, or the part of it that is about the fault
}

func (r *Refused) Error() string { return r.Err.Error() }

// Unwrap returns the verdict.
func (r *Refused) Unwrap() error { return r.Err }

// RefusedBy returns the refusal that an error is about; an empty one if there is none.
func RefusedBy(err error) *Refused {
	var r *Refused
	if errors.As(err, &r) {
		return r
	}
	return &Refused{}
}

// StatusOf returns the status of the refusal that an error is about; 0: it is about none.
func StatusOf(err error) int { return RefusedBy(err).Status }

// Explain adds to a refusal what an operator should know besides.
func Explain(err error, more string) error {
	var r *Refused
	if !errors.As(err, &r) {
		return fmt.Errorf("%w; %s", err, more)
	}
	explained := *r
	explained.Err = fmt.Errorf("%w; %s", r.Err, more)
	return &explained
}

// Names lists the names of fields for a Request's Shape: " {a, b}"; nothing where there are none.
func Names[V any](fields map[string]V) string {
	if len(fields) == 0 {
		return ""
	}
	return " {" + strings.Join(slices.Sorted(maps.Keys(fields)), ", ") + "}"
}
