package vinfer

import (
	"bytes"
	"errors"
	"io"
)

// stream splits a JSON document into values while the document arrives. Only one value is in memory at a time.
type stream struct {
	r         io.Reader
	buf       []byte
	i, end    int   // buf[i:end] has been read and not been taken
	at        int64 // where in the document buf[i] is
	err       error // of r: there is no more
	truncated bool  // the document ended inside a value
}

func newStream(r io.Reader) *stream { return &stream{r: r, buf: make([]byte, 32<<10)} }

// fill reads on and reports whether anything came. Bytes that have been read and not taken move to the beginning of the buffer.
func (s *stream) fill() bool {
	if s.err != nil {
		return false
	}
	if s.i > 0 {
		copy(s.buf, s.buf[s.i:s.end])
		s.i, s.end = 0, s.end-s.i
	}
	if s.end == len(s.buf) {
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
	for tries := 0; s.err == nil; tries++ {
		n, err := s.r.Read(s.buf[s.end:])
		s.end += n
		s.err = err
		if n > 0 {
			return true
		}
		if tries > 100 {
			s.err = io.ErrNoProgress
		}
	}
	return false
}

// advance takes n bytes.
func (s *stream) advance(n int) {
	s.i += n
	s.at += int64(n)
}

// peek returns the next byte that is not blank; 0 at the end.
func (s *stream) peek() byte {
	for {
		for ; s.i < s.end; s.advance(1) {
			switch c := s.buf[s.i]; c {
			case ' ', '\n', '\r', '\t':
			default:
				return c
			}
		}
		if !s.fill() {
			return 0
		}
	}
}

// accept takes the next byte that is not blank if that byte is c.
func (s *stream) accept(c byte) bool {
	if s.peek() != c || s.i == s.end {
		return false
	}
	s.advance(1)
	return true
}

// ended reports whether the document ended, as opposed to the connection.
func (s *stream) ended() bool { return errors.Is(s.err, io.EOF) }

// value takes the next value by its brackets and quotes, without a check that it is JSON inside. Of a value longer than most only the
// beginning is returned, and whole is false. The value is valid until the next call. ok is false if there is none.
func (s *stream) value(most int) (raw []byte, whole, ok bool) {
	s.peek()
	var b valueScanner
	n := 0
	var head []byte
	for {
		k, done := b.feed(s.buf[s.i+n : s.end])
		n += k
		if head == nil && n > most {
			head = bytes.Clone(s.buf[s.i : s.i+most])
		}
		if head != nil {
			s.advance(n)
			n = 0
		}
		if done {
			break
		}
		if !s.fill() {
			if !b.scalar { // a number ends with the document, nothing else does
				s.truncated = true
				return nil, false, false
			}
			break
		}
	}
	if head != nil {
		return head, false, true
	}
	raw = s.buf[s.i : s.i+n]
	s.advance(n)
	return raw, true, n > 0
}

// valueScanner finds the end of a value that comes in pieces.
type valueScanner struct {
	depth               int
	quoted, esc, scalar bool
}

// feed scans the next piece and returns how many of its bytes belong to the value, and whether the value ends there.
func (b *valueScanner) feed(p []byte) (n int, done bool) {
	for i := 0; i < len(p); i++ {
		c := p[i]
		switch {
		case b.esc:
			b.esc = false
		case b.quoted:
			for c != '"' && c != '\\' {
				if i++; i == len(p) {
					return i, false
				}
				c = p[i]
			}
			if c == '\\' {
				b.esc = true
			} else if b.quoted = false; b.depth == 0 {
				return i + 1, true
			}
		case b.scalar:
			if delimits(c) {
				return i, true
			}
		case c == '"':
			b.quoted = true
		case c == '{', c == '[':
			b.depth++
		case c == '}', c == ']':
			if b.depth == 0 {
				return i, true
			}
			if b.depth--; b.depth == 0 {
				return i + 1, true
			}
		case b.depth == 0:
			if delimits(c) {
				return i, true
			}
			b.scalar = true
		}
	}
	return len(p), false
}

// delimits reports whether a byte ends a number or a word.
func delimits(c byte) bool {
	switch c {
	case ',', ']', '}', ':', ' ', '\t', '\r', '\n':
		return true
	}
	return false
}
