// Package config reads the YAML file that says what vinfer-sync does: strictly, naming the place, the value and the
// remedy of every fault at once, and never showing a secret.
package config

import (
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/kinds"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// Config is everything that the file can say. Load and Parse return it complete: defaults filled in, relative paths
// resolved against the file's directory, secrets read.
type Config struct {
	File     string   `yaml:"-"` // where it was read from
	Warnings []string `yaml:"-"` // what is allowed but should be looked at, one line each

	again func() (*Config, error)

	Name        string        `yaml:"name"`
	VInfer      VInfer        `yaml:"vinfer"`
	Schedule    string        `yaml:"schedule"`
	Start       Start         `yaml:"start"`
	Lookback    time.Duration `yaml:"lookback"`
	Settle      time.Duration `yaml:"settle"`
	Audit       Audit         `yaml:"audit"`
	MaxCall     time.Duration `yaml:"max_call"`
	Transcripts Transcripts   `yaml:"transcripts"`
	Retention   time.Duration `yaml:"retention"`
	Ledger      time.Duration `yaml:"ledger"`
	Region      string        `yaml:"region"`
	Timezone    string        `yaml:"timezone"`
	OwnNumbers  []string      `yaml:"own_numbers"`
	Store       Store         `yaml:"store"`
	Mapping     Mapping       `yaml:"mapping"`
	CRM         []Destination `yaml:"crm"`
	Admin       Admin         `yaml:"admin"`
	Alerts      Alerts        `yaml:"alerts"`
	Log         Log           `yaml:"log"`
}

// VInfer says how to reach the API and what to ask it for.
type VInfer struct {
	BaseURL     string        `yaml:"base_url"`
	APIKey      SecretRef     `yaml:"api_key"`
	CursorParam string        `yaml:"cursor_param"` // auto, after or from
	Campaigns   []string      `yaml:"campaigns"`    // empty: all
	PageSize    int           `yaml:"page_size"`
	Timeout     time.Duration `yaml:"timeout"`
	RateReserve Share         `yaml:"rate_reserve"`
	CAFile      string        `yaml:"ca_file"`
	Proxy       secret.Text   `yaml:"proxy"` // it may hold a password
}

// Audit says how far back and when the daily completeness check looks.
type Audit struct {
	Days int    `yaml:"days"` // 0: no audit
	At   string `yaml:"at"`
}

// Transcripts says whether transcripts are fetched, and how long one is asked for.
type Transcripts struct {
	Fetch       bool          `yaml:"fetch"`
	GiveUpAfter time.Duration `yaml:"give_up_after"`
}

// Store says where state is kept: in a file, or in a database if Postgres is set.
type Store struct {
	Bolt     Bolt      `yaml:"bbolt"`
	Postgres *Postgres `yaml:"postgres"`
}

// Postgres is the store in a database, which several nodes share.
type Postgres struct {
	DSN    SecretRef `yaml:"dsn"`
	Schema string    `yaml:"schema"` // of the tables
}

// SetDefaults fills in what the file does not say.
func (p *Postgres) SetDefaults() { p.Schema = "vinfer_sync" }

// State names where the state is: the path of the file, or what it is in the database.
func (c *Config) State() string {
	if p := c.Store.Postgres; p != nil {
		return "postgres: schema " + p.Schema + ", pipeline " + c.Name
	}
	return c.Store.Bolt.Path
}

// Bolt is the embedded store.
type Bolt struct {
	Path string `yaml:"path"`
}

// Mapping says what dispositions do to contacts.
type Mapping struct {
	Dispositions map[string]Rule `yaml:"dispositions"` // by normalised name
	Unknown      string          `yaml:"unknown"`      // pass, skip or dead
	Overdue      string          `yaml:"overdue"`      // now or skip
}

// Rule is what one disposition does.
type Rule struct {
	Status string    `yaml:"status"` // lead status; empty: left alone
	Task   *TaskRule `yaml:"task"`   // nil: no follow-up
}

// TaskRule is the follow-up of one disposition.
type TaskRule struct {
	Title string        `yaml:"title"` // text/template
	Due   time.Duration `yaml:"due"`   // after the call's end, where the contact named no time
	Owner string        `yaml:"owner"`
}

// Destination is one CRM. Exactly one kind of All is set.
type Destination struct {
	Name      string            `yaml:"name"`
	Workers   int               `yaml:"workers"`
	Filter    Filter            `yaml:"filter"`
	OnMany    string            `yaml:"on_many"`
	OnMissing string            `yaml:"on_missing"`
	Fields    map[string]string `yaml:"fields"`
	Owner     string            `yaml:"owner"`
	Steps     Steps             `yaml:"steps"`
	Protect   []string          `yaml:"protect"`
	Mapping   Mapping           `yaml:"mapping"` // what the file says, laid over the common one
	HTTP      httpx.Config      `yaml:",inline"` // for kinds that speak HTTP; already laid under the kind's own

	kinds.All `yaml:",inline"`

	// Secrets are the destination's secrets by key ("webhook.secret", "headers.X-Key"), to be read again when a file was rotated.
	Secrets map[string]SecretRef `yaml:"-"`
}

// Kind returns the destination's kind, which is the key that configured it; empty when there is none.
func (d *Destination) Kind() string {
	name, _ := d.Chosen()
	return name
}

// Settings returns what a destination with contacts of its own is given.
func (c *Config) Settings(d *Destination) crm.Settings {
	return crm.Settings{
		OnMany: d.OnMany, OnMissing: d.OnMissing, Fields: d.Fields, Owner: d.Owner, Protect: d.Protect,
		OwnNumbers: c.OwnNumbers, Region: c.Region, Zone: c.Location(), Workers: d.Workers,
	}
}

// Filter narrows what a destination gets; empty fields let everything pass.
type Filter struct {
	Dispositions []string      `yaml:"dispositions"`
	Campaigns    []string      `yaml:"campaigns"`
	Languages    []string      `yaml:"languages"`
	MinDuration  time.Duration `yaml:"min_duration"`
}

// Steps says which parts of writing a call a destination wants.
type Steps struct {
	Status     bool `yaml:"status"`
	Activity   bool `yaml:"activity"`
	Link       bool `yaml:"link"`
	Task       bool `yaml:"task"`
	Transcript bool `yaml:"transcript"`
}

// Admin says where the daemon can be reached.
type Admin struct {
	Socket string `yaml:"socket"`
	Listen string `yaml:"listen"` // empty: off
}

// Alerts says when an operator is called, and how.
type Alerts struct {
	Lag     time.Duration `yaml:"lag"`
	LeftOut time.Duration `yaml:"left_out"` // so long all calls of a destination may be left out; 0: for ever
	Exec    []string      `yaml:"exec"`     // program and arguments; empty: none
}

// Log says how much is logged and how.
type Log struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"`
}

const day = 24 * time.Hour

// Default returns what an empty file means, but for the destination that is used when there is none and for the API key.
func Default() Config {
	return Config{
		Name: "default",
		VInfer: VInfer{
			BaseURL:     "https://api.vinfer.ai/v1",
			CursorParam: "auto",
			PageSize:    maxPage,
			Timeout:     30 * time.Second,
			RateReserve: 0.1,
		},
		Schedule:    "@every 1m",
		Lookback:    15 * time.Minute,
		Settle:      time.Hour,
		Audit:       Audit{Days: 3, At: "15 3 * * *"},
		MaxCall:     4 * time.Hour,
		Transcripts: Transcripts{Fetch: true, GiveUpAfter: 24 * time.Hour},
		Retention:   90 * day,
		Ledger:      400 * day,
		Region:      "IN",
		Timezone:    "Asia/Kolkata",
		Store:       Store{Bolt: Bolt{Path: "/var/lib/vinfer-sync/state.db"}},
		Mapping:     defaultMapping(),
		Admin:       Admin{Socket: "/run/vinfer-sync/admin.sock", Listen: "127.0.0.1:9477"},
		Alerts:      Alerts{Lag: 15 * time.Minute, LeftOut: time.Hour},
		Log:         Log{Level: "info", Format: "auto"},
	}
}

// SetDefaults fills in what a destination is when its entry says no more.
func (d *Destination) SetDefaults() {
	d.Workers = 4
	d.OnMany, d.OnMissing = "recent", "create"
	d.Steps = Steps{Status: true, Activity: true, Link: true, Task: true, Transcript: true}
}

func defaultMapping() Mapping {
	callBack := func() *TaskRule { return &TaskRule{Title: "Call back {{.Contact.Name}}", Due: 2 * time.Hour} }
	return Mapping{
		Unknown: "pass", Overdue: "now",
		Dispositions: map[string]Rule{
			"interested":         {Status: "Hot Lead"},
			"callback_requested": {Status: "Callback", Task: callBack()},
			"not_interested":     {Status: "Not Interested"},
			"not_reachable":      {Status: "Not Reachable"},
			"dispute":            {Status: "Dispute"},
			"payment_promised":   {Status: "Payment Promised"},
			"already_paid":       {Status: "Already Paid"},
			"dnc":                {Status: "Do Not Call"},
			"escalated":          {Status: "Escalated", Task: callBack()},
		},
	}
}

// Location returns the zone that Timezone names; UTC when it names none that is known.
func (c *Config) Location() *time.Location {
	l, err := time.LoadLocation(c.Timezone)
	if err != nil {
		return time.UTC
	}
	return l
}
