package vinfer

import (
	"bytes"
	"errors"
	"io"
)

// stream takes a JSON document apart while it arrives: no more of it is in memory than one value.
type stream struct {
	r      io.Reader
	buf    []byte
	i, end int   // buf[i:end] has been read and not been taken
	at     int64 // where in the document buf[i] is
	err    error // of r: there is no more
	cut    bool  // the document ended inside a value
}

func newStream(r io.Reader) *stream { return &stream{r: r, buf: make([]byte, 32<<10)} }

// more reads on and tells whether anything came. What has been read and not been taken stays, at the buffer's beginning.
func (s *stream) more() bool {
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

// take passes over n bytes.
func (s *stream) take(n int) {
	s.i += n
	s.at += int64(n)
}

// peek returns the next byte that is no blank; 0 at the end.
func (s *stream) peek() byte {
	for {
		for ; s.i < s.end; s.take(1) {
			switch c := s.buf[s.i]; c {
			case ' ', '\n', '\r', '\t':
			default:
				return c
			}
		}
		if !s.more() {
			return 0
		}
	}
}

// skip passes over the next byte that is no blank, if it is c.
func (s *stream) skip(c byte) bool {
	if s.peek() != c || s.i == s.end {
		return false
	}
	s.take(1)
	return true
}

// ended tells whether the document ended, as opposed to the connection.
func (s *stream) ended() bool { return errors.Is(s.err, io.EOF) }

// value takes the next value by its brackets and quotes; whether it is JSON inside is not looked at. Of a value longer than
// most only the beginning is returned, and whole is false. It is valid until the next call. ok is false where there is none.
func (s *stream) value(most int) (raw []byte, whole, ok bool) {
	s.peek()
	var b brackets
	n := 0
	var head []byte
	for {
		k, done := b.feed(s.buf[s.i+n : s.end])
		n += k
		if head == nil && n > most {
			head = bytes.Clone(s.buf[s.i : s.i+most])
		}
		if head != nil {
			s.take(n)
			n = 0
		}
		if done {
			break
		}
		if !s.more() {
			if !b.scalar { // a number ends with the document, nothing else does
				s.cut = true
				return nil, false, false
			}
			break
		}
	}
	if head != nil {
		return head, false, true
	}
	raw = s.buf[s.i : s.i+n]
	s.take(n)
	return raw, true, n > 0
}

// brackets finds the end of a value that comes in pieces.
type brackets struct {
	depth               int
	quoted, esc, scalar bool
}

// feed looks at the next piece and returns how much of it belongs to the value, and whether the value ends there.
func (b *brackets) feed(p []byte) (n int, done bool) {
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

// delimits tells whether a byte ends a number or a word.
func delimits(c byte) bool {
	switch c {
	case ',', ']', '}', ':', ' ', '\t', '\r', '\n':
		return true
	}
	return false
}
