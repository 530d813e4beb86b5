package crm

import (
	"slices"
	"strings"
	"time"
)

// Settings is what the configuration says to every writer whose CRM has contacts of its own. The zero value of each field is its
// default.
type Settings struct {
	OnMany     string            // which of several contacts of one number: ManyRecent (default), ManyFirst, ManySkip or ManyAll
	OnMissing  string            // what becomes of a call without a contact: MissingCreate (default), MissingSkip or MissingDead
	Fields     map[string]string // our names of fields to the CRM's, where they differ from the kind's defaults
	Owner      string            // the CRM's id or name of the user who gets what is made; empty: as the kind says
	Protect    []string          // lead statuses that are never overwritten
	OwnNumbers []string          // in international form; never matched as a contact
	Region     string            // default region of numbers without a country code; empty: IN
	Zone       *time.Location    // for CRMs that know only dates; nil: UTC
	Workers    int               // writes side by side; 0: 1
}

// Choices of Settings.OnMany.
const (
	ManyRecent = "recent" // the one that was changed last
	ManyFirst  = "first"  // the one that was made first
	ManySkip   = "skip"   // the call is not written
	ManyAll    = "all"    // every one of them
)

// Choices of Settings.OnMissing.
const (
	MissingCreate = "create" // a contact is made
	MissingSkip   = "skip"   // the call is not written
	MissingDead   = "dead"   // the call becomes a dead letter
)

// Protects tells whether a contact's status must be left as it is. Case and spaces around do not count.
func (s *Settings) Protects(status string) bool {
	return slices.ContainsFunc(s.Protect, func(p string) bool { return strings.EqualFold(strings.TrimSpace(p), strings.TrimSpace(status)) })
}

// Field returns the CRM's name of one of our fields: as configured, else byDefault.
func (s *Settings) Field(ours, byDefault string) string {
	if name := s.Fields[ours]; name != "" {
		return name
	}
	return byDefault
}

// In returns t in the zone of CRMs that know only dates.
func (s *Settings) In(t time.Time) time.Time {
	if s.Zone == nil {
		return t.UTC()
	}
	return t.In(s.Zone)
}

// Opened returns what a kind's New has returned as a Writer: nothing besides an error, where a nil of the kind's own type would be something.
func Opened[W Writer](w W, err error) (Writer, error) {
	if err != nil {
		return nil, err
	}
	return w, nil
}
