// Package espocrm writes calls to EspoCRM 8 and later through its REST API, as an API user: the contact is a Lead or a Contact, the
// activity a Call, the transcript link and the transcript are posts in the contact's stream, the follow-up is a Task.
//
// EspoCRM ignores an id that the client chooses and drops unknown attributes with a 200. So the call's id is in a custom field of
// Call and Task, which Provision makes, Check and the first Write look for, and every create is preceded by a look for it. The
// facts come from a running 8.4 and from EspoCRM's source.
package espocrm

import (
	"errors"
	"net/url"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// Config says where the site is and who writes.
type Config struct {
	URL           string      `yaml:"url"`            // of the site, as its users open it
	APIKey        secret.Text `yaml:"api_key"`        // of an API user
	SecretKey     secret.Text `yaml:"secret_key"`     // of an API user whose authentication is HMAC; empty: by API key
	AdminUser     string      `yaml:"admin_user"`     // only for setup: an API user is never an administrator
	AdminPassword secret.Text `yaml:"admin_password"` // of the administrator; empty: setup prints what is to be done by hand
	httpx.Config  `yaml:",inline"`
}

// Names of our fields that fields can give others for.
const (
	fieldCall          = "call_id"
	fieldStatus        = "status"
	fieldContactStatus = "contact_status"
	fieldDoNotCall     = "do_not_call"
)

// Fields are our names of fields to the attributes that they are written to. Where there is none, the value stands only in the
// description of the Call.
var Fields = map[string]string{
	fieldCall: "cVinferCallId", fieldStatus: "status", fieldContactStatus: "", fieldDoNotCall: "doNotCall",
	"disposition": "", "summary": "", "duration": "", "language": "", "campaign": "", "sentiment": "", "qa_score": "", "transcript_url": "",
}

// Validate checks the configuration without touching the network. Each fault begins with its key.
func (c Config) Validate() error {
	var faults []error
	if _, err := c.base(); err != nil {
		faults = append(faults, err)
	}
	if c.APIKey.Empty() {
		faults = append(faults, errors.New("api_key: missing; make an API user under Administration > API Users"))
	}
	if (c.AdminUser == "") != c.AdminPassword.Empty() {
		faults = append(faults, errors.New("admin_user: set it together with admin_password, or neither"))
	}
	return errors.Join(append(faults, c.Config.Validate("X-Api-Key", "X-Hmac-Authorization", "Authorization", "Espo-Authorization"))...)
}

// Open makes the writer, as New does.
func (c Config) Open(s crm.Settings) (crm.Writer, error) { return crm.Opened(New(c, s)) }

// Identity names what the access depends on besides the secrets.
func (c Config) Identity() string { return c.URL }

// FieldNames returns Fields.
func (Config) FieldNames() map[string]string { return Fields }

// base returns the root of the API: the site's with api/v1, whether or not that was written.
func (c Config) base() (*url.URL, error) {
	u, err := httpx.Base("url", c.URL, "/index.php", "/api/v1")
	if err != nil {
		return nil, err
	}
	return u.JoinPath("/api/v1/"), nil
}
