// Package hubspot writes calls to HubSpot through its CRM API, by a service key or a private app's token: the contact is a contact,
// the activity a call, the transcript a note, the follow-up a task. The transcript link stands in the call, which is on the
// contact's timeline; only where no call is wanted it is a note of its own.
//
// HubSpot's search is an index that lags behind, so it only ever finds people; what this program made is found by reads of the
// database. Calls, notes, tasks and contacts carry a key of ours in a property whose values are unique: a create with its
// associations is one request, HubSpot refuses a second one, and a read by the key tells what became of one that was not answered.
// Where a portal has no such property the contact's own activities are listed and our words in them looked for. The facts come from
// HubSpot's documentation and OpenAPI descriptions.
package hubspot

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// DefaultURL is where HubSpot's API is for all portals.
const DefaultURL = "https://api.hubapi.com"

// defaultSearches is how many searches HubSpot lets all apps of an account make in a second.
const defaultSearches = 5

// Config says where the API is and who writes.
type Config struct {
	AccessToken  secret.Text `yaml:"access_token"` // a service key, or the token of a private app
	BaseURL      string      `yaml:"base_url"`     // empty: DefaultURL
	SearchRate   int         `yaml:"search_rate"`  // searches a second, the account's other apps left out; 0: 5
	httpx.Config `yaml:",inline"`
}

// Names of our fields that fields can give others for.
const (
	fieldCall        = "call_id"
	fieldPhone       = "contact_key"
	fieldStatus      = "status"
	fieldDoNotCall   = "do_not_call"
	fieldDisposition = "disposition"
)

// Fields are our names of fields to the properties that they are written to. Where there is none, the value stands only in the
// body of the call.
var Fields = map[string]string{
	fieldCall: "vinfer_call_id", fieldPhone: "vinfer_phone", fieldStatus: "hs_lead_status", fieldDoNotCall: "vinfer_do_not_call",
	fieldDisposition: "hs_call_disposition",
	"summary":        "", "duration": "", "language": "", "campaign": "", "sentiment": "", "qa_score": "", "transcript_url": "",
}

// Validate checks the configuration without touching the network. Each fault begins with its key.
func (c Config) Validate() error {
	var faults []error
	if _, err := c.base(); err != nil {
		faults = append(faults, err)
	}
	if c.AccessToken.Empty() {
		faults = append(faults, errors.New("access_token: missing; make a service key under Settings > Integrations > Service Keys"))
	}
	if c.SearchRate < 0 || c.SearchRate > 1000 {
		faults = append(faults, fmt.Errorf("search_rate: %d: write 1 to 1000 searches a second, or none for %d", c.SearchRate, defaultSearches))
	}
	return errors.Join(append(faults, c.Config.Validate("Authorization"))...)
}

// Open makes the writer, as New does.
func (c Config) Open(s crm.Settings) (crm.Writer, error) { return crm.Opened(New(c, s)) }

// Identity names what the access depends on besides the secrets.
func (c Config) Identity() string { return c.BaseURL }

// FieldNames returns Fields.
func (Config) FieldNames() map[string]string { return Fields }

// base returns the root of the API.
func (c Config) base() (*url.URL, error) {
	return httpx.Base("base_url", cmp.Or(c.BaseURL, DefaultURL))
}
