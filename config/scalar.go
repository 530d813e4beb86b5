package config

import (
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// Share is a part of a whole: 0.1 is 10 %.
type Share float64

// Start is the first cursor of an empty store: a time, or a time span before now. The zero Start is now.
type Start struct {
	At  time.Time     // zero: relative to now
	Ago time.Duration // before now
}

// Time returns the moment, given what now is.
func (s Start) Time(now time.Time) time.Time {
	if !s.At.IsZero() {
		return s.At
	}
	return now.Add(-s.Ago)
}

var errLong = errors.New("it is longer than can be counted")

// ParseDuration reads a duration as Go writes it, and also with days and weeks: 90s, 1h30m, 90d, 1w, 1d12h.
func ParseDuration(s string) (time.Duration, error) {
	if d, err := time.ParseDuration(s); err == nil {
		return d, nil
	}
	rest, sign := s, 1.0
	switch {
	case strings.HasPrefix(rest, "-"):
		rest, sign = rest[1:], -1
	case strings.HasPrefix(rest, "+"):
		rest = rest[1:]
	}
	parts := durationPart.FindAllStringSubmatchIndex(rest, -1)
	total, end := 0.0, 0
	for _, p := range parts {
		unit, ok := durationUnits[rest[p[4]:p[5]]]
		n, err := strconv.ParseFloat(rest[p[2]:p[3]], 64)
		if p[0] != end || !ok || err != nil {
			break
		}
		total += n * float64(unit)
		end = p[1]
	}
	if len(parts) == 0 || end != len(rest) {
		return 0, fmt.Errorf("%s is not a duration", quote(s))
	}
	if total >= math.MaxInt64 {
		return 0, fmt.Errorf("%s: %w", quote(s), errLong)
	}
	return time.Duration(sign * total), nil
}

var (
	durationPart  = regexp.MustCompile(`(\d+(?:\.\d+)?)([a-zµ]+)`)
	durationUnits = map[string]time.Duration{
		"ns": 1, "us": time.Microsecond, "µs": time.Microsecond, "ms": time.Millisecond, "s": time.Second,
		"m": time.Minute, "h": time.Hour, "d": day, "w": 7 * day,
	}
)

// problem is a value that cannot be taken, and the way out.
type problem struct{ what, remedy string }

func (p *problem) Error() string { return p.what }

// scalar decodes a single value.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, key string) {
	hidden := holdsSecret(v.Type())
	if n.Kind != yaml.ScalarNode {
		d.fault(n, key, "", "a single value is expected here, not "+kindName(n), "write it after the colon")
		return
	}
	if isNull(n) {
		if v.Kind() == reflect.String { // nothing after the colon empties a text, and leaves anything else at its default
			v.SetString("")
		}
		return
	}
	text, err := d.expand(n.Value)
	if err == nil {
		err = d.convert(text, v, key)
	}
	if err == nil {
		if !hidden {
			return
		}
		if ref := d.secrets[key]; strings.HasPrefix(n.Value, "${") && strings.HasSuffix(n.Value, "}") {
			ref.Variable = n.Value[2 : len(n.Value)-1]
			d.putSecret(v, key, ref)
		}
		d.inline = d.inline || !strings.Contains(n.Value, "${")
		return
	}
	value := n.Value
	if hidden {
		value = ""
	}
	var p *problem
	if !errors.As(err, &p) {
		p = &problem{what: err.Error()}
	}
	d.fault(n, key, value, p.what, p.remedy)
}

// convert puts text into v.
func (d *decoder) convert(text string, v reflect.Value, key string) error {
	switch v.Type() {
	case typeSecret, typeRef:
		if strings.TrimSpace(text) == "" {
			return &problem{"it is empty", "set it, or name a file by " + lastKey(twin(key))}
		}
		d.putSecret(v, key, SecretRef{Value: secret.New(text)})
		return nil
	case typeDuration:
		x, err := ParseDuration(text)
		if errors.Is(err, errLong) {
			return &problem{"too long a duration", "write 30s, 15m, 4h or 90d"}
		}
		if err != nil {
			return &problem{"no duration", "write 30s, 15m, 4h or 90d"}
		}
		v.SetInt(int64(x))
		return nil
	case typeShare:
		return setShare(text, v)
	case typeStart:
		s, err := parseStart(text)
		if err != nil {
			return err
		}
		v.Set(reflect.ValueOf(s))
		return nil
	}
	switch v.Kind() { //nolint:exhaustive // the kinds that configuration structs are made of
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return &problem{"neither true nor false", "write true or false"}
		}
		v.SetBool(text == "true")
	case reflect.Int, reflect.Int64:
		x, err := strconv.Atoi(text)
		if errors.Is(err, strconv.ErrRange) {
			return &problem{"too large a number", "write a smaller one"}
		}
		if err != nil {
			return &problem{"no whole number", "write digits only"}
		}
		v.SetInt(int64(x))
	case reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return &problem{"no number", "write it like 0.5"}
		}
		v.SetFloat(x)
	default:
		return &problem{"this kind of value cannot be configured", ""}
	}
	return nil
}

func setShare(text string, v reflect.Value) error {
	number, percent := strings.CutSuffix(text, "%")
	x, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if percent {
		x /= 100
	}
	if err != nil || math.IsNaN(x) || x < 0 || x >= 1 {
		return &problem{"no share below the whole", "write 10% or 0.1"}
	}
	v.SetFloat(x)
	return nil
}

func parseStart(text string) (Start, error) {
	if text == "now" {
		return Start{}, nil
	}
	if ago, ok := strings.CutPrefix(text, "-"); ok {
		if x, err := ParseDuration(ago); err == nil && x >= 0 {
			return Start{Ago: x}, nil
		}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.IsZero() {
		return Start{}, &problem{"no time", "write now, -24h, or 2026-01-31T09:00:00Z"}
	}
	return Start{At: t.UTC()}, nil
}

// isPath tells whether a struct's key names a file, so that its value is relative to the configuration.
func isPath(f field) bool {
	switch f.key {
	case "path", "file", "socket", "client_cert", "client_key":
		return f.typ.Kind() == reflect.String
	default:
		return f.typ.Kind() == reflect.String && strings.HasSuffix(f.key, "_file")
	}
}

// resolve makes a path that was just decoded absolute.
func (d *decoder) resolve(n *yaml.Node, v reflect.Value, key string) {
	path := v.String()
	if path == "~" || strings.HasPrefix(path, "~/") {
		d.fault(target(n), key, path, "~ is not the home directory here", "write the whole path, or ${HOME}")
		return
	}
	if path != ":memory:" { // no file; the kind has its own word on that
		v.SetString(d.abs(path))
	}
}

// putSecret stores a secret in either of its types.
func (d *decoder) putSecret(v reflect.Value, key string, s SecretRef) {
	d.secrets[key] = s
	if v.Type() == typeRef {
		v.Set(reflect.ValueOf(s))
	} else {
		v.Set(reflect.ValueOf(s.Value))
	}
}

// secretFile reads the file that a *_file key names; key is that one, of the secret it stands for. It returns the
// file's path, or nothing when there is no such secret.
func (d *decoder) secretFile(n *yaml.Node, v reflect.Value, key, of string) string {
	n = target(n)
	if n.Kind != yaml.ScalarNode {
		d.fault(n, key, "", "a file's name is expected here, not "+kindName(n), "write it after the colon")
		return ""
	}
	if isNull(n) {
		return ""
	}
	name, err := d.expand(n.Value)
	if err != nil || name == "" {
		p := &problem{"it names no file", "name one, or remove the key"}
		_ = errors.As(err, &p)
		d.fault(n, key, "", p.what, p.remedy)
		return ""
	}
	path := d.secretPath(name)
	s, err := readSecret(path)
	if err != nil && d.operator {
		d.putSecret(v, of, SecretRef{Value: outOfReach, File: path})
		return path
	}
	if err != nil {
		what, remedy := unreadable(name, path, err)
		d.fault(n, key, "", what, remedy)
		return ""
	}
	if fi, err := os.Stat(path); err == nil && fi.Mode().Perm()&0o007 != 0 {
		d.warn("%s: %s can be read by everybody on this machine; run: chmod o= %s", key, path, path)
	}
	d.putSecret(v, of, SecretRef{Value: s, File: path})
	return path
}

// unreadable says why a secret's file was not taken.
func unreadable(name, path string, err error) (what, remedy string) {
	if likeKey(name) {
		return "there is no such file", "this key takes the name of a file; this value looks like the secret itself"
	}
	what, remedy = "cannot read "+quote(path), "put the secret there"
	var pe *os.PathError
	if errors.As(err, &pe) {
		what += ": " + pe.Err.Error()
	}
	if errors.Is(err, os.ErrPermission) {
		remedy = "let the service's user read it"
	}
	return what, remedy
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand puts environment variables in for ${NAME}; $$ is a dollar sign, any other $ stands for itself.
func (d *decoder) expand(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", &problem{"no UTF-8", "save the file as UTF-8"}
	}
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 || i+1 >= len(s) {
			b.WriteString(s)
			return b.String(), nil
		}
		b.WriteString(s[:i])
		if s[i+1] != '{' {
			b.WriteByte('$')
			s = strings.TrimPrefix(s[i+1:], "$")
			continue
		}
		name, rest, ok := strings.Cut(s[i+2:], "}")
		if !ok || !envName.MatchString(name) {
			return "", &problem{"what follows ${ is not an environment variable's name", "write ${NAME}, or $${ for the characters themselves"}
		}
		value, set := d.env(name)
		if !set {
			return "", &problem{"the environment variable " + name + " is not set", "set it, in /etc/vinfer-sync/env for the service"}
		}
		b.WriteString(value)
		s = rest
	}
}
