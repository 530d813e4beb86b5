// Package kinds is the one list of the kinds of destinations. A kind is a package below crm and a line here: the configuration file, the
// commands and the checks take it from there. docs/ADDING-A-CRM.md walks through the making of one.
package kinds

import (
	"reflect"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/dynamics"
	"github.com/vinfer-sync/vinfer-sync/crm/espocrm"
	"github.com/vinfer-sync/vinfer-sync/crm/exec"
	"github.com/vinfer-sync/vinfer-sync/crm/freshsales"
	"github.com/vinfer-sync/vinfer-sync/crm/hubspot"
	"github.com/vinfer-sync/vinfer-sync/crm/jsonl"
	"github.com/vinfer-sync/vinfer-sync/crm/leadsquared"
	"github.com/vinfer-sync/vinfer-sync/crm/mysql"
	"github.com/vinfer-sync/vinfer-sync/crm/odoo"
	"github.com/vinfer-sync/vinfer-sync/crm/postgres"
	"github.com/vinfer-sync/vinfer-sync/crm/rest"
	"github.com/vinfer-sync/vinfer-sync/crm/salesforce"
	"github.com/vinfer-sync/vinfer-sync/crm/sqlite"
	"github.com/vinfer-sync/vinfer-sync/crm/suitecrm"
	"github.com/vinfer-sync/vinfer-sync/crm/webhook"
	"github.com/vinfer-sync/vinfer-sync/crm/zoho"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// All has a place for the configuration of each kind, under the key by which a destination chooses it, in the order in which they are told of.
// Of one destination one is set.
type All struct {
	SQLite      *sqlite.Config      `yaml:"sqlite"`
	Postgres    *postgres.Config    `yaml:"postgres"`
	MySQL       *mysql.Config       `yaml:"mysql"`
	Webhook     *webhook.Config     `yaml:"webhook"`
	Exec        *exec.Config        `yaml:"exec"`
	JSONL       *jsonl.Config       `yaml:"jsonl"`
	Odoo        *odoo.Config        `yaml:"odoo"`
	SuiteCRM    *suitecrm.Config    `yaml:"suitecrm"`
	EspoCRM     *espocrm.Config     `yaml:"espocrm"`
	Salesforce  *salesforce.Config  `yaml:"salesforce"`
	Dynamics    *dynamics.Config    `yaml:"dynamics"`
	HubSpot     *hubspot.Config     `yaml:"hubspot"`
	Zoho        *zoho.Config        `yaml:"zoho"`
	LeadSquared *leadsquared.Config `yaml:"leadsquared"`
	Freshsales  *freshsales.Config  `yaml:"freshsales"`
	REST        *rest.Config        `yaml:"rest"`
}

// Config is what the configuration of every kind can do. What only some can do is said by the other interfaces of this package.
type Config interface {
	// Validate checks the configuration without touching a file or the network. Each fault begins with its key.
	Validate() error
	// Open makes the writer. It sends nothing.
	Open(s crm.Settings) (crm.Writer, error)
	// Identity names what the access depends on besides the secrets: where it is, and as whom.
	Identity() string
}

// Contacts is implemented by kinds whose CRM has contacts that others change.
type Contacts interface {
	// FieldNames returns our names of the fields that can be given others for, to the kind's defaults.
	FieldNames() map[string]string
}

// HTTP is implemented by kinds that speak HTTP: by those whose Config embeds httpx.Config.
type HTTP interface {
	HTTP() *httpx.Config
}

// File is implemented by kinds that write to a file.
type File interface {
	File() string
}

// Loader is implemented by kinds whose configuration names a file that says more.
type Loader interface {
	// Load reads the file, and looks whether it and the configuration fit.
	Load() error
}

// Keeper is implemented by kinds that keep something in a file of their own.
type Keeper interface {
	Keeps() string
}

// Completer is implemented by kinds that have defaults besides zero.
type Completer interface {
	// Complete fills in what the configuration leaves open. dir is that of the pipeline's state, name the destination's.
	Complete(dir, name string)
}

// TLS is implemented by kinds that do not speak HTTP and read the same files for TLS.
type TLS interface {
	TLS() httpx.Config
}

// Chosen returns the configuration that is set, and its key; nil: none is.
func (a *All) Chosen() (name string, c Config) {
	v := reflect.ValueOf(a).Elem()
	for i := range v.NumField() {
		if !v.Field(i).IsNil() {
			return key(v.Type().Field(i)), v.Field(i).Interface().(Config)
		}
	}
	return "", nil
}

// File returns the path of the file that the chosen kind writes to; empty: it writes to none.
func (a *All) File() string {
	if _, c := a.Chosen(); c != nil {
		if f, ok := c.(File); ok {
			return f.File()
		}
	}
	return ""
}

// Each calls f for each kind, with an empty configuration of it.
func Each(f func(name string, c Config)) {
	t := reflect.TypeFor[All]()
	for i := range t.NumField() {
		f(key(t.Field(i)), reflect.New(t.Field(i).Type.Elem()).Interface().(Config))
	}
}

// Of returns an empty configuration of the kind of a name; nil: there is none.
func Of(name string) (c Config) {
	Each(func(n string, k Config) {
		if n == name {
			c = k
		}
	})
	return c
}

func key(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return name
}
