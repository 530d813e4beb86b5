// Package dynamics writes calls to Microsoft Dynamics 365 and other Dataverse environments through the Web API: leads and contacts, phone calls,
// tasks and notes.
//
// Each record has an id of our own choosing, a UUID made of the call's id, and is created by a PATCH with If-None-Match: *, which Dataverse refuses for an
// id that exists. So a repeat is recognised without a search.
//
// A phone call is created open and then completed: Dataverse refuses to create a completed one. It is reopened for an update, and completed again.
package dynamics

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// Config says which environment is written to, and as which application user.
type Config struct {
	URL          string      `yaml:"url"`       // of the environment, or of an organisation of a server of one's own
	Tenant       string      `yaml:"tenant"`    // of Microsoft Entra: its domain or id
	TokenURL     string      `yaml:"token_url"` // where tokens come from instead of the tenant: that of AD FS
	ClientID     string      `yaml:"client_id"`
	ClientSecret secret.Text `yaml:"client_secret"`
	Version      string      `yaml:"version"` // of the Web API; empty: v9.2
	Tables       []string    `yaml:"tables"`  // where people are looked for; a new one goes into the first; empty: leads, contacts
	httpx.Config `yaml:",inline"`
}

// The tables of people.
const (
	leads    = "leads"
	contacts = "contacts"
)

// tableOf are the logical names of the tables, by the names of their sets.
var tableOf = map[string]string{leads: "lead", contacts: "contact", phonecalls: "phonecall", tasks: "task", annotations: "annotation"}

// Our names of the fields that Extras does not have.
const (
	fieldStatus    = "status"
	fieldDoNotCall = "do_not_call"
	fieldPhone     = "phone"
	fieldCallID    = "call_id"
)

// Fields are our names of fields to the columns of Dataverse. Those of phone calls that begin with vinfer_ are written where they exist; setup creates them.
var Fields = map[string]string{
	fieldStatus: "statuscode", fieldDoNotCall: "donotphone", fieldPhone: "mobilephone",
	fieldCallID: "vinfer_callid", text.Disposition: "vinfer_disposition", text.Seconds: "vinfer_seconds", text.Language: "vinfer_language",
	text.Campaign: "vinfer_campaign", text.Sentiment: "vinfer_sentiment", text.QAScore: "vinfer_qascore", text.Transcript: "vinfer_transcripturl",
}

var versions = regexp.MustCompile(`^v\d+\.\d+$`)

// Validate checks the configuration without touching a file or the network. Each fault begins with its key.
func (c Config) Validate() error {
	var faults []error
	if _, err := httpx.Origin("url", c.URL); err != nil {
		faults = append(faults, err)
	}
	switch {
	case c.Tenant == "" && c.TokenURL == "":
		faults = append(faults, errors.New("tenant: missing: the domain or id of the Microsoft Entra tenant; for AD FS give token_url instead"))
	case c.Tenant != "" && c.TokenURL != "":
		faults = append(faults, errors.New("token_url: takes the place of tenant: give one of them"))
	case c.TokenURL != "":
		if _, err := httpx.Origin("token_url", c.TokenURL); err != nil {
			faults = append(faults, err)
		}
	}
	if c.ClientID == "" {
		faults = append(faults, errors.New("client_id: missing: the application (client) ID of the app registration"))
	}
	if c.ClientSecret.Empty() {
		faults = append(faults, errors.New("client_secret: missing: the value of a client secret of the app registration"))
	}
	if c.Version != "" && !versions.MatchString(c.Version) {
		faults = append(faults, fmt.Errorf("version: %q is none of the Web API: v9.2, or v9.1 for a server of one's own", c.Version))
	}
	for i, t := range c.Tables {
		if t != leads && t != contacts || slices.Contains(c.Tables[:i], t) {
			faults = append(faults, fmt.Errorf("tables: %q: leads, contacts or both, each once", t))
		}
	}
	return errors.Join(append(faults, c.Config.Validate())...)
}

// Open makes the writer, as New does.
func (c Config) Open(s crm.Settings) (crm.Writer, error) { return crm.Opened(New(c, s)) }

// Identity names what the access depends on besides the secrets.
func (c Config) Identity() string { return c.URL + " " + c.Tenant + c.TokenURL + " " + c.ClientID }

// FieldNames returns Fields.
func (Config) FieldNames() map[string]string { return Fields }
