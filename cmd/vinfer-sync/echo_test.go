package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// echo is a server that repeats all that it was sent. Until it is told how it hands over to next, if there is one.
type echo struct {
	next http.Handler

	mu     sync.Mutex
	status int
	form   string // html, text, object, list, nested
	grants bool   // tokens are given, whatever else
}

func (e *echo) says(status int, form string, grants bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status, e.form, e.grants = status, form, grants
}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	status, form, grants := e.status, e.form, e.grants
	e.mu.Unlock()
	if status == 0 && e.next != nil {
		e.next.ServeHTTP(w, r)
		return
	}
	if grants && strings.Contains(r.URL.Path, "token") {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token": "token-%s", "token_type": "Bearer", "expires_in": 3600, "api_domain": "http://%s", "instance_url": "http://%s"}`, secretMark, r.Host, r.Host)
		return
	}
	dump, err := httputil.DumpRequest(r, true)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	text := string(dump)
	if plain, err := url.QueryUnescape(text); err == nil {
		text += "\n" + plain
	}
	// As a careless proxy or server shows whom it did not let in.
	for _, name := range []string{"Authorization", "Proxy-Authorization"} {
		if user, password, ok := (&http.Request{Header: http.Header{"Authorization": r.Header[name]}}).BasicAuth(); ok {
			text = fmt.Sprintf("%s of %s with %s\n%s", name, user, password, text)
		}
	}
	if key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); key != "" {
		text = key + " is no key, " + text
	}
	h := w.Header()
	h.Set("Location", "http://"+secretMark+"@elsewhere.invalid/?"+secretMark)
	h.Set("Proxy-Authenticate", `Basic realm="`+secretMark+`"`)
	h.Set("X-Status-Reason", strings.Join(strings.Fields(text), " ")) // EspoCRM's words
	switch form {
	case "html":
		h.Set("Content-Type", "text/html")
		text = "<html><head><title>No</title></head><body><p>" + html.EscapeString(text) + "</p></body></html>"
	case "text":
		h.Set("Content-Type", "text/plain")
	default:
		h.Set("Content-Type", "application/json")
		text = shaped(form, text)
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

// shaped is a refusal in JSON with a text wherever one of the kinds looks for the words why.
func shaped(form, text string) string {
	o := map[string]any{
		"message": text, "error_description": text, "code": "INVALID_DATA", "errorCode": "X", "status": "error", "Status": "Error", "name": "odoo.exceptions.UserError",
		"ExceptionMessage": text, "ExceptionType": "MXInvalidInputException", "category": text, "debug": text, "details": map[string]any{"api_name": text},
		"errors": []any{map[string]any{"title": text, "detail": text, "message": text}}, "error": text, "arguments": []any{text},
	}
	var doc any = o
	switch form {
	case "nested":
		o["error"] = map[string]any{"code": 200, "message": text, "data": map[string]any{"name": "odoo.exceptions.AccessError", "message": text, "debug": text, "arguments": []any{text}}}
		o["data"] = []any{map[string]any{"code": "INVALID_TOKEN", "status": "error", "message": text, "details": map[string]any{"x": text}}}
	case "list":
		doc = []any{o}
	}
	b, _ := json.Marshal(doc) // it is text
	return string(b)
}

// echoDatabase is a PostgreSQL that asks for the password in plain text and repeats it in its refusal. It returns where it listens.
func echoDatabase(t *testing.T) string {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	t.Cleanup(open.Wait)
	t.Cleanup(func() { _ = ln.Close() })
	open.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				defer func() { _ = c.Close() }()
				_, start, err := message(c, false)
				if err != nil {
					return
				}
				_, _ = c.Write([]byte{'R', 0, 0, 0, 8, 0, 0, 0, 3})
				_, password, err := message(c, true)
				if err != nil {
					return
				}
				said := fmt.Sprintf("SFATAL\x00C28P01\x00Mno password of ours: %s of %s\x00D%s\x00\x00", password, strings.ReplaceAll(start, "\x00", " "), password)
				_, _ = c.Write(append(binary.BigEndian.AppendUint32([]byte{'E'}, uint32(len(said)+4)), said...))
			})
		}
	})
	return ln.Addr().String()
}

// message reads one message of PostgreSQL's protocol, the first of which has no kind.
func message(r io.Reader, kinded bool) (kind byte, text string, err error) {
	head := make([]byte, 5)
	if !kinded {
		head = head[1:]
	}
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, "", err
	}
	b := make([]byte, min(binary.BigEndian.Uint32(head[len(head)-4:])-4, 1<<16))
	_, err = io.ReadFull(r, b)
	return head[0], strings.Trim(string(b), "\x00"), err
}
