// Package odoo writes calls to Odoo, from version 14 on: leads and opportunities (crm.lead), their activities and their
// chatter, over /json/2 where there is one (19) and over JSON-RPC elsewhere.
//
// Odoo has no record of a telephone call. A call becomes an activity of the type "Call" that is marked done, which leaves a message in the
// chatter; the message is what people read and what a later state of the call changes. Everything is recognised by the call's id, in
// a field of the activity where setup made one, and in any case in the text, which is read from the database and not from an index.
package odoo

import (
	"errors"
	"fmt"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// Choices of Config.API.
const (
	APIAuto    = "auto"    // by the version that the server tells
	APIJSON2   = "json2"   // POST /json/2/MODEL/METHOD, from version 19 on
	APIJSONRPC = "jsonrpc" // POST /jsonrpc, up to version 19
)

// Config says where Odoo is and who writes.
type Config struct {
	URL          string      `yaml:"url"`
	Database     string      `yaml:"database"` // may be empty with /json/2 where the server has only one
	User         string      `yaml:"user"`     // the login of the key's user; only JSON-RPC needs it
	APIKey       secret.Text `yaml:"api_key"`
	API          string      `yaml:"api"` // empty: APIAuto
	httpx.Config `yaml:",inline"`
}

// Fields are our names of fields that may be renamed, with what Odoo is asked for by default. The field is one of mail.activity.
var Fields = map[string]string{"call_id": "x_vinfer_call_id"}

// Validate checks the configuration without touching a file or the network. Each fault begins with its key.
func (c Config) Validate() error {
	var faults []error
	if _, err := httpx.Origin("url", c.URL); err != nil {
		faults = append(faults, err)
	}
	if c.APIKey.Empty() {
		faults = append(faults, errors.New("api_key: missing: make one in Odoo, Preferences > Account Security > New API Key"))
	}
	switch c.API {
	case "", APIAuto, APIJSON2:
	case APIJSONRPC:
		if c.Database == "" {
			faults = append(faults, errors.New("database: missing: JSON-RPC needs its name"))
		}
		if c.User == "" {
			faults = append(faults, errors.New("user: missing: JSON-RPC needs the login of the key's user"))
		}
	default:
		faults = append(faults, fmt.Errorf("api: %q is not known; use %s, %s or %s", c.API, APIAuto, APIJSON2, APIJSONRPC))
	}
	return errors.Join(append(faults, c.Config.Validate())...)
}

// Open makes the writer, as New does.
func (c Config) Open(s crm.Settings) (crm.Writer, error) { return crm.Opened(New(c, s)) }

// Identity names what the access depends on besides the secrets.
func (c Config) Identity() string { return c.URL }

// FieldNames returns Fields.
func (Config) FieldNames() map[string]string { return Fields }
