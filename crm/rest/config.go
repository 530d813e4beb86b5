// Package rest writes calls to any system with a REST API that a recipe describes: a file in YAML that says how contacts are found, created and
// updated, and what becomes of a call, its follow-up and its transcript. docs/recipes.md tells how to write one.
//
// A recipe is data. Its templates name values and eight functions; there is no loop, no condition and no code in them. A value never becomes a part of
// the syntax around it: bodies are trees that are encoded afterwards, values in paths and queries are escaped, and what people wrote is refused inside of a filter.
package rest

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// Config says which recipe is used, and where the system is.
type Config struct {
	File    string                 `yaml:"file"` // of the recipe
	Use     string                 `yaml:"use"`  // name of an embedded one, instead
	URL     string                 `yaml:"url"`
	Secrets map[string]secret.Text `yaml:"secrets"`
	Vars    map[string]string      `yaml:"vars"`

	httpx.Config `yaml:",inline"`
}

// Validate checks the configuration without touching a file or the network. Each fault begins with its key.
func (c Config) Validate() error {
	var faults []error
	switch {
	case (c.File == "") == (c.Use == ""):
		faults = append(faults, errors.New("use: name a recipe by use, one of "+strings.Join(Embedded(), ", ")+", or by file"))
	case c.Use != "" && !slices.Contains(Embedded(), c.Use):
		faults = append(faults, fmt.Errorf("use: there is no recipe %q: there are %s; a file of your own is named by file", c.Use, strings.Join(Embedded(), ", ")))
	}
	if _, err := httpx.Origin("url", c.URL); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(append(faults, c.Config.Validate())...)
}

// Load reads the recipe, and looks whether the configuration gives it all that it needs. The faults of a recipe are Faults.
func (c Config) Load() error {
	r, err := c.Recipe()
	if err != nil {
		return err
	}
	return r.Missing(c)
}

// Open makes the writer, as New does.
func (c Config) Open(s crm.Settings) (crm.Writer, error) { return crm.Opened(New(c, s)) }

// Identity names what the access depends on besides the secrets.
func (c Config) Identity() string { return c.URL + " " + c.Use + c.File }

// FieldNames returns none: the recipe has the names of fields.
func (Config) FieldNames() map[string]string { return nil }

//go:embed recipes/*.yaml
var embedded embed.FS

// Embedded returns the names of the recipes that are a part of the program.
func Embedded() (names []string) {
	files, err := embedded.ReadDir("recipes")
	if err != nil {
		panic(err) // they are a part of the program
	}
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".yaml"))
	}
	return names
}

// Source returns the text of a recipe, and how its file is called: of an embedded one by its name, or of a file.
func Source(name string) (file string, text []byte, err error) {
	if slices.Contains(Embedded(), name) {
		file = name + ".yaml"
		text, err = embedded.ReadFile("recipes/" + file)
		return file, text, err
	}
	fi, err := os.Stat(name)
	switch {
	case err != nil:
		return name, nil, Faults{{File: name, Problem: "the recipe cannot be read: " + errors.Unwrap(err).Error(), Remedy: "check the path; embedded ones are " + strings.Join(Embedded(), ", ")}}
	case fi.Size() > maxRecipe:
		return name, nil, Faults{{File: name, Problem: "the file is too large to be a recipe"}}
	}
	text, err = os.ReadFile(name)
	return name, text, err
}

// maxRecipe is far more bytes than a recipe needs.
const maxRecipe = 256 << 10

// Recipe reads the recipe that the configuration names.
func (c Config) Recipe() (*Recipe, error) {
	name := c.File
	if c.Use != "" {
		name = c.Use
	}
	file, text, err := Source(name)
	if err != nil {
		return nil, err
	}
	return Parse(file, text, c.Vars)
}
