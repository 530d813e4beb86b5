package rest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/pace"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/token"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// api sends the requests of a recipe. It is safe for concurrent use.
type api struct {
	w      *Writer
	client *httpx.Client
	tokens *token.Source // nil: the recipe has none
	pace   *pace.Limiter // nil: as fast as the workers are
}

// rendered is a request as it is sent.
type rendered struct {
	httpx.Request
	Text string // of the path, without what identifies us
}

// render makes a request of its description.
func (w *Writer) render(q *request, s *scope) (rendered, error) {
	out := rendered{Request: httpx.Request{Method: q.method, Header: http.Header{}}}
	var err error
	if out.Text, err = pathOfLeaf(q.path, s); err != nil {
		return out, err
	}
	out.Path = out.Text
	if w.recipe.Auth.Path.source != "" {
		front, err := pathOfLeaf(w.recipe.Auth.Path, s)
		if err != nil {
			return out, err
		}
		out.Path = front + out.Path
	}
	out.Query = url.Values{}
	for _, from := range []map[string]leaf{w.recipe.Auth.Query, q.Query} {
		for name, l := range from {
			v, err := l.strict(s, func(v string) string { return v })
			if err != nil {
				return out, err
			}
			out.Query.Set(name, v)
		}
	}
	names := map[string]any{}
	switch {
	case q.JSON != nil:
		body := q.JSON.render(s)
		if body == nil {
			body = map[string]any{}
		}
		out.Body = body
		names, _ = body.(map[string]any)
	case q.Form != nil:
		form := url.Values{}
		for name, t := range q.Form {
			switch v := t.render(s).(type) {
			case nil:
				continue
			case map[string]any, []any:
				b, err := json.Marshal(v)
				if err != nil {
					return out, err
				}
				form.Set(name, string(b))
			default:
				form.Set(name, s.text(v))
			}
			names[name] = true
		}
		out.Body = form
	case len(s.fields) > 0:
		out.Body, names = map[string]any(s.fields), s.fields
	}
	out.Shape = q.shape() + httpx.Names(names)
	for name, l := range w.recipe.Headers {
		if v, err := l.strict(s, func(v string) string { return v }); err == nil {
			out.Header.Set(name, v)
		}
	}
	if b := w.recipe.Auth.Basic; b != nil {
		out.Header.Set("Authorization", b.header(s))
	}
	return out, nil
}

// pathOfLeaf renders a path. No value adds a segment to it, or takes one away.
func pathOfLeaf(l leaf, s *scope) (string, error) {
	var odd error
	out, err := l.strict(s, func(v string) string {
		if strings.Trim(v, ".") == "" {
			odd = fmt.Errorf("%w an id that a path can hold: %q", errAbsent, v)
		}
		return url.PathEscape(v)
	})
	if err = errors.Join(odd, err); err != nil {
		return "", err
	}
	return strings.ReplaceAll(out, " ", "%20"), nil
}

// shape says for operators which request it is: without values.
func (q *request) shape() string {
	var out strings.Builder
	out.WriteString(q.method + " ")
	for _, p := range q.path.parts {
		if text, ok := p.(string); ok {
			out.WriteString(text)
		} else {
			out.WriteString("…")
		}
	}
	return out.String()
}

func (b *basic) header(s *scope) string {
	pair := s.text(b.User.render(s)) + ":" + s.text(b.Password.render(s))
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
}

// send sends a request and returns what the answer says; nil: nothing. Where there is no such record, the error is errNothing; where there is one
// already, it is errExists.
func (a *api) send(ctx context.Context, q *request, s *scope, header http.Header) (any, error) {
	bearer := ""
	var sent rendered
	attempt := func(given string) (*httpx.Answer, error) {
		bearer = given
		with := *s
		with.token = bearer
		var err error
		if sent, err = a.w.render(q, &with); err != nil {
			return nil, crm.Rejected(err, q.shape())
		}
		if bearer != "" && !a.w.namesToken {
			sent.Header.Set("Authorization", "Bearer "+bearer)
		}
		for name, v := range header {
			sent.Header[name] = v
		}
		return a.exchange(ctx, sent.Request)
	}
	var answer *httpx.Answer
	var err error
	if a.tokens != nil {
		answer, err = a.tokens.Do(ctx, nil, attempt)
	} else {
		answer, err = attempt("")
	}
	if err != nil {
		return nil, err
	}
	return a.read(answer, sent.Shape)
}

// exchange sends a request when the rate allows it.
func (a *api) exchange(ctx context.Context, r httpx.Request) (*httpx.Answer, error) {
	if a.pace != nil {
		if err := a.pace.Take(ctx); err != nil {
			return nil, err
		}
		defer a.pace.Done()
	}
	return a.client.Send(ctx, r)
}

// login fetches a token.
func (a *api) login(ctx context.Context) (string, time.Duration, error) {
	t := a.w.recipe.Auth.Token
	s := &scope{w: a.w}
	q := t.request()
	q.method, q.path = http.MethodPost, t.Post
	sent, err := a.w.render(q, s)
	if err != nil {
		return "", 0, crm.Halted(err)
	}
	if t.Basic != nil {
		sent.Header.Set("Authorization", t.Basic.header(s))
	}
	answer, err := a.exchange(ctx, sent.Request)
	if err != nil {
		return "", 0, err
	}
	said, _ := decode(answer.Body)
	value := t.Value.text(said)
	if answer.Status/100 != 2 || value == "" {
		if answer.Status/100 == 2 {
			answer.Body = []byte("no token is at " + strings.Join(t.Value.steps, ".")) // what else it holds may be one
		}
		err := a.refusal(answer, said, sent.Shape)
		if crm.VerdictOf(err) == crm.Reject {
			err = crm.Halted(fmt.Errorf("no access token: %w: look at url and secrets", err))
		}
		return "", 0, err
	}
	var lasts time.Duration
	if seconds, err := json.Number(t.Lasts.text(said)).Float64(); err == nil && t.Lasts.set && seconds > 0 {
		lasts = time.Duration(min(seconds, 1e6) * float64(time.Second))
	}
	return value, lasts, nil
}

// decode reads an answer. Numbers stay as they are written.
func decode(body []byte) (v any, err error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err = dec.Decode(&v); err == nil && !errors.Is(dec.Decode(new(any)), io.EOF) {
		err = errors.New("more than one value")
	}
	return v, err
}

// records returns the records of an answer.
func records(p path, said any) []any {
	switch found := p.in(said).(type) {
	case []any:
		return found
	case map[string]any:
		return []any{found}
	case nil:
		return nil
	default:
		return []any{found}
	}
}

// look sends a request that finds records, and returns them; those without a record behind them are no error.
func (a *api) look(ctx context.Context, q *request, s *scope) ([]any, error) {
	said, err := a.send(ctx, q, s, nil)
	if errors.Is(err, errNothing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found := records(q.List, said)
	return slices.DeleteFunc(found, func(r any) bool { return q.Where.set && !holdsKey(q.Where.texts(r), s) }), nil
}

// holdsKey tells whether the key of the record that is looked for is in one of the texts, as a word.
func holdsKey(texts []string, s *scope) bool {
	key := s.text(values["Key"].of(s))
	return slices.ContainsFunc(texts, func(t string) bool {
		for {
			_, after, found := strings.Cut(t, key)
			if !found {
				return false
			}
			if after == "" || strings.IndexByte("abcdefghijklmnopqrstuvwxyz0123456789-", after[0]) < 0 {
				return true
			}
			t = after
		}
	})
}
