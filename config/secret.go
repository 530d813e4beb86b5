package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// SecretRef is a secret and where it came from. However it is printed, it shows neither.
type SecretRef struct {
	Value    secret.Text // as it was when the configuration was read
	File     string      // the file that holds it; empty: it came from elsewhere
	Variable string      // the environment variable that holds it; empty: it came from elsewhere
}

// Source says in words where the secret came from.
func (s SecretRef) Source() string {
	switch {
	case s.File != "":
		return s.File
	case s.Variable != "":
		return "the environment variable " + s.Variable
	}
	return "the configuration"
}

// Read returns the secret as it is now: from its file, if it has one, so that a rotated key is taken up without a restart.
func (s SecretRef) Read() (secret.Text, error) {
	if s.File == "" {
		return s.Value, nil
	}
	return readSecret(s.File)
}

// Rotated tells whether a file of a destination's secrets holds another one than when the configuration was read. A file that cannot be
// read now, perhaps because it is just being written, has not changed yet.
func (c *Config) Rotated() bool {
	for _, d := range c.CRM {
		for _, ref := range d.Secrets {
			if ref.File == "" {
				continue
			}
			if now, err := readSecret(ref.File); err == nil && now.Reveal() != ref.Value.Reveal() {
				return true
			}
		}
	}
	return false
}

// Again returns the same configuration with its secrets' files read again; changes of the configuration's own file since are left alone.
func (c *Config) Again() (*Config, error) { return c.again() }

// Format writes a mask for every verb.
func (s SecretRef) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.Value.String()) }

// maxSecret is more than any key or certificate has; what is larger is the wrong file.
const maxSecret = 64 << 10

var (
	errSecretEmpty = errors.New("the file is empty")
	errSecretLarge = errors.New("the file is too large to be a secret")
	errSecretText  = errors.New("the file is not text")
	errSecretName  = errors.New("the file holds NAME=value: write the value alone")
	errSecretQuote = errors.New("the file holds quotes around the value: write the value alone")
)

// secretName is the beginning of a line for an environment file. The underscore tells it from a secret that has a = in it.
var secretName = regexp.MustCompile(`^(?:export )?[A-Z][A-Z0-9]*_[A-Z0-9_]*=`)

// readSecret reads a secret's file. What it returns as an error names the path and no content.
func readSecret(path string) (secret.Text, error) {
	f, err := os.Open(path)
	if err != nil {
		return secret.Text{}, err
	}
	defer func() { _ = f.Close() }()
	if fi, err := f.Stat(); err != nil {
		return secret.Text{}, err
	} else if fi.IsDir() {
		return secret.Text{}, &os.PathError{Op: "read", Path: path, Err: errors.New("it is a directory")}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return secret.Text{}, err
	}
	text := strings.TrimRight(string(data), "\r\n")
	switch {
	case len(data) > maxSecret:
		err = errSecretLarge
	case strings.TrimSpace(text) == "":
		err = errSecretEmpty
	case strings.ContainsRune(text, 0):
		err = errSecretText
	case secretName.MatchString(text):
		err = errSecretName
	case len(text) > 2 && (text[0] == '"' || text[0] == '\'') && text[0] == text[len(text)-1]:
		err = errSecretQuote
	default:
		return secret.New(text), nil
	}
	return secret.Text{}, &os.PathError{Op: "read", Path: path, Err: err}
}

// secretPath finds the file that a *_file key names: a name without a slash first among systemd's credentials, then
// beside the configuration.
func (d *decoder) secretPath(name string) string {
	if dir, ok := d.env("CREDENTIALS_DIRECTORY"); ok && dir != "" && !strings.Contains(name, "/") {
		if p := filepath.Join(dir, name); exists(p) {
			return p
		}
	}
	return d.abs(name)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// abs resolves a path against the configuration's directory.
func (d *decoder) abs(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(d.dir, path)
}

// likeKey tells whether what should be a file's name looks like the secret itself, put under the wrong key: it is not to be shown then.
func likeKey(name string) bool {
	return len(name) >= 20 && !strings.ContainsAny(name, "/. ") && strings.ContainsAny(name, "0123456789")
}
