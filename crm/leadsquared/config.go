// Package leadsquared writes calls to LeadSquared through its REST API (v2): the contact is a Lead, the activity a custom activity on
// its timeline, the transcript a note, the follow-up a task.
//
// Nothing in LeadSquared has a key of the client's choice. So the call's id stands in a field of the activity and in the last line
// of every text, and what is there already is looked for among the lead's own activities, tasks and notes, never in a search:
// before anything is made that an earlier attempt may have made, and after every attempt that failed. Leads are made by
// LeadSquared's own "create or update by phone". The facts come from the vendor's public API pages.
package leadsquared

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// Config says where the account is, who writes, and what activities are called there.
type Config struct {
	Region          string      `yaml:"region"`            // of the account's API host, as "in21"; empty: Singapore, the oldest
	URL             string      `yaml:"url"`               // of the API host instead of the region's
	AccessKey       secret.Text `yaml:"access_key"`        // of the user who writes
	SecretKey       secret.Text `yaml:"secret_key"`        // likewise
	Auth            string      `yaml:"auth"`              // how the keys travel: AuthAuto, AuthHeaders or AuthQuery
	Activity        string      `yaml:"activity"`          // name of the activity type; empty: "VInfer call"
	ActivityCode    int         `yaml:"activity_code"`     // its code; 0: found by the name
	TaskType        string      `yaml:"task_type"`         // of follow-ups; empty: "Call Back"
	PostUpdatedLead bool        `yaml:"post_updated_lead"` // LeadSquared's automations see the changes to leads
	Rate            int         `yaml:"rate"`              // requests in any 5 seconds, of all workers together; 0: 10
	ActivityLimit   int         `yaml:"activity_limit"`    // characters of an activity's note; 0: 2000
	NoteLimit       int         `yaml:"note_limit"`        // characters of a transcript's note; 0: 60000
	httpx.Config    `yaml:",inline"`
}

// Choices of Config.Auth.
const (
	AuthAuto    = "auto"    // in headers; where LeadSquared refuses them there, in the query
	AuthHeaders = "headers" // x-LSQ-AccessKey and x-LSQ-SecretKey
	AuthQuery   = "query"   // accessKey and secretKey
)

// Names of our fields that fields can give others for.
const (
	fieldCall      = "call_id"
	fieldStatus    = "status"
	fieldDoNotCall = "do_not_call"
)

// Fields are our names of fields to the schema names that they are written to: status and do_not_call of the lead, the rest of the
// activity type. Where there is none, the field of the activity type is taken whose name is the one of labels.
var Fields = map[string]string{
	fieldCall: "", fieldStatus: "ProspectStage", fieldDoNotCall: "DoNotCall",
	"disposition": "", "summary": "", "duration": "", "language": "", "campaign": "", "sentiment": "", "qa_score": "", "transcript_url": "",
}

// labels are the names that setup gives the fields of the activity type, in the order in which it makes them.
var labels = []struct{ ours, label string }{
	{fieldCall, "VInfer call ID"},
	{"disposition", "Disposition"},
	{"duration", "Duration (s)"},
	{"language", "Language"},
	{"campaign", "Campaign"},
	{"sentiment", "Sentiment"},
	{"qa_score", "QA score"},
}

// firstField is the schema name of the first field of every activity type.
const firstField = "mx_Custom_1"

var regionName = regexp.MustCompile(`^[a-z]{2}\d{0,3}$`)

// Validate checks the configuration without touching the network. Each fault begins with its key.
func (c Config) Validate() error {
	var faults []error
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	if _, err := c.base(); err != nil {
		faults = append(faults, err)
	}
	add(c.URL != "" && c.Region != "", "region: url names the host already; remove one of the two")
	add(c.AccessKey.Empty(), "access_key: missing; it is shown under My Profile > Settings > API and Webhooks")
	add(c.SecretKey.Empty(), "secret_key: missing; it is shown under My Profile > Settings > API and Webhooks")
	switch c.Auth {
	case "", AuthAuto, AuthHeaders, AuthQuery:
	default:
		add(true, "auth: write %s, %s or %s", AuthAuto, AuthHeaders, AuthQuery)
	}
	add(c.ActivityCode < 0, "activity_code: out of range")
	add(c.Rate < 0, "rate: out of range; write the requests in 5 seconds that the plan allows")
	add(c.ActivityLimit < 0 || c.ActivityLimit > 0 && c.ActivityLimit < 500, "activity_limit: out of range; write 500 or more")
	add(c.NoteLimit < 0 || c.NoteLimit > 0 && c.NoteLimit < 500, "note_limit: out of range; write 500 or more")
	return errors.Join(append(faults, c.Config.Validate("x-LSQ-AccessKey", "x-LSQ-SecretKey"))...)
}

// Open makes the writer, as New does.
func (c Config) Open(s crm.Settings) (crm.Writer, error) { return crm.Opened(New(c, s)) }

// Identity names what the access depends on besides the secrets.
func (c Config) Identity() string { return c.Host() }

// FieldNames returns Fields.
func (Config) FieldNames() map[string]string { return Fields }

// base returns the root of the API with its version, whether or not that was written.
func (c Config) base() (*url.URL, error) {
	raw := c.URL
	switch region := strings.ToLower(c.Region); {
	case raw != "":
	case region == "":
		raw = "https://api.leadsquared.com"
	case !regionName.MatchString(region):
		return nil, errors.New("region: write it as in21 or us11; the host is shown under My Profile > Settings > API and Webhooks, or write url")
	default:
		raw = "https://api-" + region + ".leadsquared.com"
	}
	u, err := httpx.Base("url", raw, "/v2")
	if err != nil {
		return nil, err
	}
	return u.JoinPath("/v2/"), nil
}

// Host returns what the destination is told apart by: its API host.
func (c Config) Host() string {
	u, err := c.base()
	if err != nil {
		return c.URL
	}
	return u.String()
}
