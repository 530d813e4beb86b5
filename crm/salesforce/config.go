// Package salesforce writes calls to Salesforce through its REST API: the contact is a Lead or a Contact, the call and the
// follow-up are Tasks, the transcript is a note (ContentNote).
//
// The call's id stands in a custom field of Activity that is an external id, so that Tasks are upserted by it; what a call changes
// (the contact's status, both Tasks) goes in one composite request that is done as a whole or not at all. Contacts are looked for
// by SOQL, which reads the database, in all the spellings that people type, and only then by the search index, which lags. Facts
// come from Salesforce's REST, object and SOQL references; what only a live org can tell is asked of it (describe).
package salesforce

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// version is the version of the API that is spoken. Salesforce keeps one for years.
const version = "v66.0"

// Config says where the org is and who writes.
type Config struct {
	URL          string      `yaml:"url"`           // the org's My Domain: https://NAME.my.salesforce.com
	LoginURL     string      `yaml:"login_url"`     // where tokens are asked for; empty: url
	ClientID     string      `yaml:"client_id"`     // consumer key of the external client app
	ClientSecret secret.Text `yaml:"client_secret"` // consumer secret: the client credentials flow
	Username     string      `yaml:"username"`      // the JWT bearer flow: who writes
	PrivateKey   secret.Text `yaml:"private_key"`   // the JWT bearer flow: PEM of the key whose certificate the app has
	Audience     string      `yaml:"audience"`      // the JWT bearer flow: aud; empty: login_url
	Create       string      `yaml:"create"`        // what a new contact is: lead (default) or contact
	Search       string      `yaml:"search"`        // how contacts are looked for: database (default), or index where that has too many
	Company      string      `yaml:"company"`       // of new leads, which must have one; empty: [not provided]
	CallStatus   string      `yaml:"call_status"`   // Status of a call's Task; empty: Completed
	TaskStatus   string      `yaml:"task_status"`   // Status of a follow-up's Task; empty: Not Started
	KeepFree     int         `yaml:"keep_free"`     // requests of the day's limit that are left to others
	httpx.Config `yaml:",inline"`
}

// Names of our fields that fields can give others for.
const (
	fieldCall          = "call_id"
	fieldStarted       = "started_at"
	fieldStatus        = "status"
	fieldContactStatus = "contact_status"
	fieldDoNotCall     = "do_not_call"
	fieldPhone         = "phone"
)

// Fields are our names of fields to those of Salesforce. Where there is none, the value stands only in the Task's Description.
var Fields = map[string]string{
	fieldCall: "VInfer_Key__c", fieldStarted: "VInfer_Started_At__c", fieldStatus: "Status", fieldContactStatus: "", fieldDoNotCall: "DoNotCall",
	fieldPhone: "Phone", "disposition": "CallDisposition", "duration": "CallDurationInSeconds", "summary": "", "language": "", "campaign": "",
	"sentiment": "", "qa_score": "", "transcript_url": "",
}

const (
	lead    = "Lead"
	contact = "Contact"
)

// Validate checks the configuration without touching the network. Each fault begins with its key.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if u, err := origin("url", c.URL); err != nil {
		faults = append(faults, err)
	} else if h := u.Hostname(); h == "login.salesforce.com" || h == "test.salesforce.com" {
		fault("url: write the org's My Domain (Setup > My Domain), as https://NAME.my.salesforce.com; %s goes into login_url", h)
	}
	if c.LoginURL != "" {
		if _, err := origin("login_url", c.LoginURL); err != nil {
			faults = append(faults, err)
		}
	}
	if c.ClientID == "" {
		fault("client_id: missing; it is the consumer key of an external client app (Setup > External Client App Manager)")
	}
	switch secret, key := !c.ClientSecret.Empty(), !c.PrivateKey.Empty(); {
	case secret && key:
		fault("private_key: set it or client_secret, not both: they are two ways to get a token")
	case !secret && !key:
		fault("client_secret: missing; or set username and private_key for the JWT bearer flow")
	case key && c.Username == "":
		fault("username: missing; it names the user for whom private_key asks for a token")
	case key:
		if _, err := c.key(); err != nil {
			faults = append(faults, err)
		}
	case c.Username != "":
		fault("username: it goes with private_key; by client_secret the app's Run As user writes")
	}
	switch c.Create {
	case "", "lead", "contact":
	default:
		fault("create: %q is neither lead nor contact", c.Create)
	}
	switch c.Search {
	case "", "database", "index":
	default:
		fault("search: %q is neither database nor index", c.Search)
	}
	if c.KeepFree < 0 {
		fault("keep_free: %d is less than 0", c.KeepFree)
	}
	return errors.Join(append(faults, c.Config.Validate("Authorization"))...)
}

// Open makes the writer, as New does.
func (c Config) Open(s crm.Settings) (crm.Writer, error) { return crm.Opened(New(c, s)) }

// Identity names what the access depends on besides the secrets.
func (c Config) Identity() string { return c.URL + " " + c.ClientID + " " + c.Username }

// FieldNames returns Fields.
func (Config) FieldNames() map[string]string { return Fields }

// origin reads an address of which only scheme, host and port count.
func origin(key, raw string) (*url.URL, error) {
	u, err := httpx.Origin(key, raw)
	if err != nil {
		return nil, err
	}
	if u.RawQuery != "" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("%s: write it without what follows the host", key)
	}
	u.Path, u.RawPath = "", ""
	return u, nil
}

// key reads the private key.
func (c Config) key() (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(c.PrivateKey.Reveal()))
	if block == nil {
		return nil, errors.New("private_key: it is not PEM; it begins with -----BEGIN PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY-----")
	}
	if k, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return k, nil
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("private_key: it cannot be read; keys with a passphrase must be decrypted first (openssl pkey -in KEY -out KEY.plain)")
	}
	r, ok := k.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("private_key: it is not an RSA key, and Salesforce takes no other")
	}
	return r, nil
}
