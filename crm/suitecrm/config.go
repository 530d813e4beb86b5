// Package suitecrm writes calls to SuiteCRM 7.10 and later and 8 through the V8 API: leads and contacts, calls, tasks and notes.
//
// Every record that it makes has an id of our own choosing, a UUID made of the call's id: a repeat meets "already exist", and no
// index has to be asked. What SuiteCRM does not check (values of drop-downs, dates in ISO 8601) is not sent.
package suitecrm

import (
	"errors"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// Config says where SuiteCRM is and who writes.
type Config struct {
	URL          string      `yaml:"url"` // of the installation; of SuiteCRM 8 with /legacy at its end
	ClientID     string      `yaml:"client_id"`
	ClientSecret secret.Text `yaml:"client_secret"`
	httpx.Config `yaml:",inline"`
}

// Fields are our names of fields of a call that SuiteCRM has no place for, with the custom fields of Calls that are written
// if somebody has made them.
var Fields = map[string]string{
	"call_id": "vinfer_call_id_c", "disposition": "vinfer_disposition_c", "duration": "vinfer_seconds_c", "language": "vinfer_language_c",
	"campaign": "vinfer_campaign_c", "sentiment": "vinfer_sentiment_c", "qa_score": "vinfer_qa_score_c", "transcript_url": "vinfer_transcript_c",
}

// Validate checks the configuration without touching a file or the network. Each fault begins with its key.
func (c Config) Validate() error {
	var faults []error
	if _, err := httpx.Origin("url", c.URL); err != nil {
		faults = append(faults, err)
	}
	if c.ClientID == "" {
		faults = append(faults, errors.New("client_id: missing: make a client of the kind Client Credentials in SuiteCRM, Admin > OAuth2 Clients and Tokens"))
	}
	if c.ClientSecret.Empty() {
		faults = append(faults, errors.New("client_secret: missing"))
	}
	return errors.Join(append(faults, c.Config.Validate())...)
}

// Open makes the writer, as New does.
func (c Config) Open(s crm.Settings) (crm.Writer, error) { return crm.Opened(New(c, s)) }

// Identity names what the access depends on besides the secrets.
func (c Config) Identity() string { return c.URL + " " + c.ClientID }

// FieldNames returns Fields.
func (Config) FieldNames() map[string]string { return Fields }
