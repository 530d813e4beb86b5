// Package secret holds credentials so that they cannot be printed by accident.
package secret

import (
	"fmt"
	"io"
)

const mask = "[redacted]"

// Text is a credential. Whatever prints, formats, logs or marshals it sees only a mask; Reveal is the one way to
// the value. The zero Text is empty. A Text may be copied and used concurrently.
type Text struct{ v *string }

// New wraps a credential.
func New(s string) Text {
	if s == "" {
		return Text{}
	}
	return Text{&s}
}

// Reveal returns the credential itself, for the one place that sends it.
func (t Text) Reveal() string {
	if t.v == nil {
		return ""
	}
	return *t.v
}

// Empty tells whether there is no credential.
func (t Text) Empty() bool { return t.v == nil }

// String returns a mask, or nothing when the Text is empty.
func (t Text) String() string {
	if t.v == nil {
		return ""
	}
	return mask
}

// GoString returns the mask, for %#v.
func (t Text) GoString() string { return t.String() }

// Format writes the mask for every verb, so that no format can reach the pointer or what it points to.
func (t Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// MarshalText returns the mask: JSON, YAML and slog use it.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
