package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

var errNoName = errors.New("letters, digits and _ make a name of it")

// secret asks where a secret is, or for the secret itself. file is what its own file beside the configuration would be called,
// variable what a variable would. set takes the end of the key, and its value.
func (r *first) secret(file, variable string, set func(suffix, value string) error) error {
	path := filepath.Join(r.dir(), file)
	there := isFile(path)
	first := "type it now: it goes into " + path + ", for the service alone"
	if there {
		first = "keep it in " + path + ", which is there already"
	}
	for i, s := range []string{first, "in another file that is there", "in a variable of the environment", "in a credential of systemd"} {
		r.ask.say("  %d  %s", i+1, s)
	}
	for {
		which, err := r.ask.choose("Where is it", []string{"1", "2", "3", "4"}, "1")
		if err != nil {
			return err
		}
		switch which {
		case "1":
			if there {
				return set("_file", file)
			}
			text, err := r.ask.hidden("Type or paste it, unseen")
			if err != nil {
				return err
			}
			if text == "" {
				r.ask.say("  nothing was typed")
				continue
			}
			return r.keep(file, text, set)
		case "2":
			name, err := r.ask.line("File", "")
			if err != nil {
				return err
			}
			if name == "" || !isFile(r.nameOf(name)) && !isFile(filepath.Join(r.dir(), name)) {
				r.ask.say("  there is no file %q", name)
				continue
			}
			return set("_file", r.nameOf(name))
		case "3":
			name, err := r.ask.line("Variable", variable)
			if err != nil {
				return err
			}
			if err := r.variable(name, set); err == nil {
				return nil
			}
			r.ask.say("  %q: %v", name, errNoName)
		default:
			name, err := r.ask.line("Credential", file)
			if err != nil {
				return err
			}
			if err := r.credential(name, set); err == nil {
				return nil
			}
			r.ask.say("  %q: %v", name, errNoName)
		}
	}
}

// keep notes a secret that is to be written into a file of its own beside the configuration.
func (r *first) keep(file, text string, set func(suffix, value string) error) error {
	path := filepath.Join(r.dir(), file)
	if !r.force {
		if _, err := os.Lstat(path); err == nil {
			return usageError("%s is there already and stays as it is: name it as the file of the key, or say --force to replace it", path)
		}
	}
	r.secrets[path] = text + "\n"
	return set("_file", file)
}

// variable names the variable that holds a secret.
func (r *first) variable(name string, set func(suffix, value string) error) error {
	if !variableName.MatchString(name) {
		return usageError("the variable %q: %w", name, errNoName)
	}
	r.variables = append(r.variables, name)
	return set("", "${"+name+"}")
}

// credential names the credential that holds a secret.
func (r *first) credential(name string, set func(suffix, value string) error) error {
	if name == "" || strings.ContainsAny(name, "/ :") {
		return usageError("the credential %q: %w", name, errNoName)
	}
	r.credentials = append(r.credentials, name)
	return set("_file", name)
}

// nameOf returns how the configuration names a file that the command line names: from its own directory, or whole.
func (r *first) nameOf(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if filepath.Dir(abs) == r.dir() {
		return filepath.Base(abs)
	}
	if !strings.Contains(path, "/") && !isFile(abs) {
		return path // a credential, or a file still to come beside the configuration
	}
	return abs
}

func isFile(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().IsRegular()
}

// needs says what the service must still be given, one line each.
func (r *first) needs() []string {
	var lines []string
	systemd := r.path == serviceConfig
	for _, name := range r.variables {
		switch {
		case systemd:
			lines = append(lines, fmt.Sprintf("put a line %s=… into %s (chmod 600), and set it where you run check: export %s", name, serviceEnv, name))
		case os.Getenv(name) == "":
			lines = append(lines, "set the variable: export "+name)
		}
	}
	for _, name := range r.credentials {
		lines = append(lines, fmt.Sprintf("give the unit the credential: systemctl edit vinfer-sync, and below [Service]: LoadCredential=%s:%s/%s", name, serviceCredentials, name))
	}
	return lines
}
