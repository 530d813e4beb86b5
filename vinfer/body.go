package vinfer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of an answer, after decompression: 200 KB of gzip can be 200 MB.
const (
	maxPage      = 64 << 20
	maxDetails   = 1 << 20
	maxErrorBody = 64 << 10
	maxHead      = 1 << 10 // of what is kept to describe an answer
)

// errTooLong reports an answer of more bytes than are read.
var errTooLong = errors.New("it is too long")

// body is the body of an answer while it is read. It counts the bytes, ends with an error past a limit, and keeps the beginning.
type body struct {
	r     io.Reader
	max   int64
	keep  int // bytes of the beginning
	n     int64
	head  []byte
	fault error // of the connection, or errTooLong
}

func (b *body) Read(p []byte) (int, error) {
	if b.fault != nil {
		return 0, b.fault
	}
	n, err := b.r.Read(p)
	if b.n+int64(n) > b.max {
		n, err = int(b.max-b.n), fmt.Errorf("%w: more than %d MiB", errTooLong, b.max>>20)
	}
	b.n += int64(n)
	b.head = append(b.head, p[:min(n, b.keep-len(b.head))]...)
	if err != nil && !errors.Is(err, io.EOF) {
		b.fault = err
	}
	return n, err
}

// plainName matches the name of a field, and nothing that a person may have said.
var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z_-]{0,31}$`)

// describe returns what the body looks like, without its content, which may be what people said.
func (b *body) describe() string {
	head := bytes.TrimSpace(bytes.TrimPrefix(b.head, []byte(utf8BOM)))
	size := fmt.Sprintf("%d bytes", b.n)
	switch {
	case len(head) == 0:
		return size + " without a character"
	case head[0] == '<':
		return size + " of HTML or XML"
	case head[0] == '[':
		return size + ", a list"
	case head[0] == '{':
		i := skipBlank(head, 1)
		if end := skipValue(head, i); end > i+1 && head[i] == '"' && plainName.Match(head[i+1:end-1]) {
			return fmt.Sprintf("%s, an object that begins with %s", size, head[i:end])
		}
		return size + ", an object"
	case strings.ContainsFunc(string(head), func(r rune) bool { return r == utf8.RuneError || unicode.IsControl(r) && !unicode.IsSpace(r) }):
		return size + ", no text"
	default:
		return size + " of text"
	}
}

// errorText returns the error message in an answer that is an error; empty if the message cannot be told from other content.
func (b *body) errorText() string {
	head := bytes.TrimSpace(b.head)
	if len(head) == 0 || head[0] == '<' || b.n > int64(len(b.head)) {
		return ""
	}
	if raw, err := document(head); err == nil {
		return errorTextIn(raw, 0)
	}
	if head[0] == '{' || head[0] == '[' || !utf8.Valid(head) {
		return ""
	}
	return string(head)
}

// errorTextIn finds the error message in a JSON answer.
func errorTextIn(raw []byte, depth int) string {
	if s := text(raw); s != "" || depth > 3 {
		return s
	}
	for e := range elements(raw) {
		return errorTextIn(e, depth+1)
	}
	o, _ := asObject(raw)
	for _, n := range []string{"error", "errors", "fault"} {
		if v := o.get(n); truthy(v) && kind(v) != 't' {
			if s := errorTextIn(v, depth+1); s != "" {
				return s
			}
		}
	}
	return o.text("message", "errorMessage", "error_message", "error_description", "detail", "description", "title", "reason", "msg", "code", "statusCode", "status_code", "status")
}
