// Package zoho writes calls to Zoho CRM through version 8 of its API: leads and contacts, calls, tasks and notes.
//
// Zoho has no upsert for calls, tasks and notes, its search reads an index that lags, and it grants ten access tokens in ten minutes.
// So every record of ours carries the call's id, in a custom field that is unique or external where the organisation has it, and is
// looked for by reads of the database (by external id, COQL or the contact's related list), never by the search. Of what an answer
// holds every row is judged by its own code: 200, 201, 202 and 207 prove nothing.
//
// Facts are taken from the documentation of the API (zoho.com/crm/developer/docs/api/v8) unless a comment says otherwise.
package zoho

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// Config says which organisation is written to, and by which self client.
type Config struct {
	DataCenter   string      `yaml:"data_center"`  // com, in, eu, com.au, …: where the organisation lives
	AccountsURL  string      `yaml:"accounts_url"` // instead of the data centre's; for sandboxes and tests
	APIURL       string      `yaml:"api_url"`      // instead of the data centre's
	ClientID     string      `yaml:"client_id"`
	ClientSecret secret.Text `yaml:"client_secret"`
	RefreshToken secret.Text `yaml:"refresh_token"`
	TokenFile    string      `yaml:"token_file"`  // keeps the access token across restarts; empty: beside the state file
	Trigger      bool        `yaml:"trigger"`     // what is written sets off the organisation's workflows, approvals and blueprints
	Concurrency  int         `yaml:"concurrency"` // requests at the same time; 0: 5, as many as every edition grants
	httpx.Config `yaml:",inline"`
}

// everybody is how many requests at the same time every edition of Zoho CRM grants.
const everybody = 5

// centers are the data centres: the accounts server of each, and its API.
var centers = map[string][2]string{
	"com":    {"https://accounts.zoho.com", "https://www.zohoapis.com"},
	"in":     {"https://accounts.zoho.in", "https://www.zohoapis.in"},
	"eu":     {"https://accounts.zoho.eu", "https://www.zohoapis.eu"},
	"com.au": {"https://accounts.zoho.com.au", "https://www.zohoapis.com.au"},
	"com.cn": {"https://accounts.zoho.com.cn", "https://www.zohoapis.com.cn"},
	"jp":     {"https://accounts.zoho.jp", "https://www.zohoapis.jp"},
	"ca":     {"https://accounts.zohocloud.ca", "https://www.zohoapis.ca"},
	"sa":     {"https://accounts.zoho.sa", "https://www.zohoapis.sa"},
	"ae":     {"https://accounts.zoho.ae", "https://www.zohoapis.ae"},
	"uk":     {"https://accounts.zoho.uk", "https://www.zohoapis.uk"},
}

// Fields are our names of fields, with Zoho's names of those that are written unless the configuration names others. What begins with
// VInfer_ is a custom field, made by setup; but for the call's id and do_not_call its value stands in the call's description too.
var Fields = map[string]string{
	"call_id": "VInfer_Call_ID", "disposition": "VInfer_Disposition", "language": "VInfer_Language", "campaign": "VInfer_Campaign",
	"sentiment": "VInfer_Sentiment", "qa_score": "VInfer_QA_Score", "transcript_url": "VInfer_Transcript",
	"do_not_call": "VInfer_Do_Not_Call", "status": "Lead_Status", "phone": "Phone",
}

// accounts returns the URL of the accounts server.
func (c Config) accounts() string { return cmp.Or(c.AccountsURL, centers[c.DataCenter][0]) }

// API returns the URL of the API.
func (c Config) API() string { return cmp.Or(c.APIURL, centers[c.DataCenter][1]) }

// Validate checks the configuration without touching a file or the network. Each fault begins with its key.
func (c Config) Validate() error {
	var faults []error
	_, known := centers[c.DataCenter]
	switch {
	case c.DataCenter == "" && (c.AccountsURL == "" || c.APIURL == ""):
		faults = append(faults, fmt.Errorf("data_center: missing: the ending of the address at which you open Zoho CRM, one of %s", centerNames()))
	case c.DataCenter != "" && !known:
		faults = append(faults, fmt.Errorf("data_center: there is none of this name: write one of %s", centerNames()))
	}
	for key, raw := range map[string]string{"accounts_url": c.AccountsURL, "api_url": c.APIURL} {
		if raw == "" {
			continue
		}
		if _, err := httpx.Origin(key, raw); err != nil {
			faults = append(faults, err)
		}
	}
	if c.ClientID == "" {
		faults = append(faults, errors.New("client_id: missing: make a Self Client at the API console (api-console.zoho.com, or of your data centre)"))
	}
	if c.ClientSecret.Empty() {
		faults = append(faults, errors.New("client_secret: missing: Zoho shows it beside the client id"))
	}
	if c.RefreshToken.Empty() {
		faults = append(faults, errors.New("refresh_token: missing: exchange a code of the Self Client for one, as docs/crm/zoho.md says"))
	}
	if c.Concurrency < 0 || c.Concurrency > 25 {
		faults = append(faults, errors.New("concurrency: out of range: write 1 to 25, as your edition allows"))
	}
	return errors.Join(append(faults, c.Config.Validate())...)
}

// Open makes the writer, as New does.
func (c Config) Open(s crm.Settings) (crm.Writer, error) { return crm.Opened(New(c, s)) }

// Identity names what the access depends on besides the secrets.
func (c Config) Identity() string { return c.API() + " " + c.ClientID }

// FieldNames returns Fields.
func (Config) FieldNames() map[string]string { return Fields }

// Keeps returns the path of the token's file.
func (c Config) Keeps() string { return c.TokenFile }

// Complete puts the token's file beside the state, unless it is named.
func (c *Config) Complete(dir, name string) {
	if c.TokenFile == "" {
		c.TokenFile = filepath.Join(dir, "zoho-"+name+".token")
	}
}

func centerNames() string { return strings.Join(slices.Sorted(maps.Keys(centers)), ", ") }
