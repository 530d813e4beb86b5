// Package exec gives every delivery to a program, as one line of JSON on its standard input, and takes one line of JSON from
// its standard output as the answer. It is the way to what no other kind knows: docs/crm/exec.md tells the protocol.
//
// There is no shell: the program and its arguments are a list. The program has an environment of its own and a process
// group of its own, which is killed when it takes too long.
package exec

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// DefaultTimeout is how long a program may take for one entry.
const DefaultTimeout = 30 * time.Second

// Config says which program it is.
type Config struct {
	Command     []string               `yaml:"command"`      // the program's whole path, then its arguments
	Env         map[string]secret.Text `yaml:"env"`          // besides PATH and LANG
	Timeout     time.Duration          `yaml:"timeout"`      // of one entry; 0: DefaultTimeout
	KeepRunning bool                   `yaml:"keep_running"` // one process takes line after line, instead of a process for each
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Validate checks the configuration without touching a file. Each fault begins with its key.
func (c Config) Validate() error {
	var faults []error
	switch {
	case len(c.Command) == 0 || c.Command[0] == "":
		faults = append(faults, errors.New("command: missing: write [/usr/bin/python3, /usr/local/lib/my-crm.py]"))
	case !filepath.IsAbs(c.Command[0]):
		faults = append(faults, fmt.Errorf("command: %q is not a whole path: a service has another directory and PATH; write [/usr/bin/python3, /usr/local/lib/my-crm.py]", c.Command[0]))
	case slices.ContainsFunc(c.Command, func(s string) bool { return strings.ContainsRune(s, 0) }):
		faults = append(faults, errors.New("command: no argument can hold the character NUL"))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		if !variable.MatchString(name) {
			faults = append(faults, fmt.Errorf("env: %q is not an environment variable's name", name))
		}
	}
	if c.Timeout != 0 && (c.Timeout < time.Second || c.Timeout > time.Hour) {
		faults = append(faults, errors.New("timeout: write 1s to 1h"))
	}
	return errors.Join(faults...)
}

// Open makes the writer, as New does.
func (c Config) Open(s crm.Settings) (crm.Writer, error) { return crm.Opened(New(c, s.Workers)) }

// Identity names what the access depends on besides the secrets.
func (c Config) Identity() string { return strings.Join(c.Command, "\x00") }

// environ is all that the program finds in its environment.
func (c Config) environ() []string {
	env := map[string]string{"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
	for name, value := range c.Env {
		env[name] = value.Reveal()
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		all = append(all, name+"="+env[name])
	}
	return all
}

// secrets are the values of its environment: they are shown nowhere.
func (c Config) secrets() []string {
	var all []string
	for _, value := range c.Env {
		all = append(all, value.Reveal())
	}
	return all
}
