// Package freshsales writes calls to Freshsales (Freshworks CRM): contacts, sales activities, tasks and notes.
//
// Freshsales has no key that it refuses twice, so a record is looked for among those of its contact before it is created. An account may send 1,000 to 5,000
// requests an hour, of all its users and apps together: the writer counts its own.
package freshsales

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// Config says which account is written to, and as whom.
type Config struct {
	URL          string      `yaml:"url"`
	APIKey       secret.Text `yaml:"api_key"`
	PerHour      int         `yaml:"per_hour"`      // requests; 0: 900
	Phones       []string    `yaml:"phones"`        // fields in which a contact's number is looked for; none: mobile_number, work_number
	ActivityType string      `yaml:"activity_type"` // name of the sales activity's type; empty: the one that Freshsales has for calls
	httpx.Config `yaml:",inline"`
}

// Our names of the fields that record.Extras does not have.
const (
	fieldStatus    = "status"
	fieldDoNotCall = "do_not_call"
	fieldCallID    = "call_id"
)

// The fields that can hold the lead status.
const (
	contactStatus  = "contact_status_id"
	lifecycleStage = "lifecycle_stage_id"
)

// Fields are our names of fields to those of Freshsales, where there is a default. The others are custom fields of sales activities, and of contacts
// for do_not_call.
var Fields = map[string]string{
	fieldStatus: contactStatus, fieldDoNotCall: "", fieldCallID: "cf_vinfer_call_id",
	"disposition": "", "duration": "", "language": "", "campaign": "", "sentiment": "", "qa_score": "", "transcript_url": "",
}

// Validate checks the configuration without touching a file or the network. Each fault begins with its key.
func (c Config) Validate() error {
	var faults []error
	switch base, err := httpx.Origin("url", c.URL); {
	case err != nil:
		faults = append(faults, err)
	case strings.HasSuffix(base.Hostname(), ".freshsales.io"):
		faults = append(faults, errors.New("url: Freshsales Classic (freshsales.io) is not supported: give the address of Freshsales Suite, as https://NAME.myfreshworks.com"))
	}
	if c.APIKey.Empty() {
		faults = append(faults, errors.New("api_key: missing; copy it from Profile settings > API settings"))
	}
	if c.PerHour < 0 {
		faults = append(faults, errors.New("per_hour: below 0"))
	}
	for i, f := range c.Phones {
		if f == "" || slices.Contains(c.Phones[:i], f) {
			faults = append(faults, fmt.Errorf("phones: %q: names of fields, each once", f))
		}
	}
	return errors.Join(append(faults, c.Config.Validate())...)
}

// base returns the URL above crm/sales, which the API settings show with and without that.
func (c Config) base() (*url.URL, error) {
	u, err := httpx.Origin("url", c.URL)
	if err != nil {
		return nil, err
	}
	u.Path = strings.TrimSuffix(strings.TrimSuffix(strings.Trim(u.Path, "/"), "/api"), "crm/sales")
	return u, nil
}

// Open makes the writer, as New does.
func (c Config) Open(s crm.Settings) (crm.Writer, error) { return crm.Opened(New(c, s)) }

// Identity names what the access depends on besides the secrets.
func (c Config) Identity() string { return c.URL }

// FieldNames returns Fields.
func (Config) FieldNames() map[string]string { return Fields }
