package main

import (
	"fmt"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/config"
	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/espocrm"
	"github.com/vinfer-sync/vinfer-sync/crm/exec"
	"github.com/vinfer-sync/vinfer-sync/crm/hubspot"
	"github.com/vinfer-sync/vinfer-sync/crm/jsonl"
	"github.com/vinfer-sync/vinfer-sync/crm/leadsquared"
	"github.com/vinfer-sync/vinfer-sync/crm/mysql"
	"github.com/vinfer-sync/vinfer-sync/crm/odoo"
	"github.com/vinfer-sync/vinfer-sync/crm/postgres"
	"github.com/vinfer-sync/vinfer-sync/crm/salesforce"
	"github.com/vinfer-sync/vinfer-sync/crm/sqlite"
	"github.com/vinfer-sync/vinfer-sync/crm/suitecrm"
	"github.com/vinfer-sync/vinfer-sync/crm/webhook"
	"github.com/vinfer-sync/vinfer-sync/crm/zoho"
)

// writer makes the writer of a configured destination: the one list of kinds. s is what kinds with contacts of their own are
// given; identity is what its access depends on.
func writer(c *config.Destination, s crm.Settings) (w crm.Writer, identity string, err error) {
	switch {
	case c.SQLite != nil:
		w, err = sqlite.New(*c.SQLite, s)
		return w, identityOf(c, c.SQLite.Path), err
	case c.Postgres != nil:
		w, err = postgres.New(*c.Postgres, s)
		return w, identityOf(c, c.Postgres.Schema), err
	case c.MySQL != nil:
		w, err = mysql.New(*c.MySQL, s)
		return w, identityOf(c, "mysql"), err
	case c.Exec != nil:
		w, err = exec.New(*c.Exec, s.Workers)
		return w, identityOf(c, strings.Join(c.Exec.Command, "\x00")), err
	case c.JSONL != nil:
		w, err = jsonl.New(*c.JSONL)
		return w, identityOf(c, c.JSONL.Path), err
	case c.Webhook != nil:
		cfg := *c.Webhook
		w, err = webhook.New(cfg, s.Workers)
		return w, identityOf(c, cfg.URL), err
	case c.Odoo != nil:
		w, err = odoo.New(*c.Odoo, s)
		return w, identityOf(c, c.Odoo.URL), err
	case c.SuiteCRM != nil:
		w, err = suitecrm.New(*c.SuiteCRM, s)
		return w, identityOf(c, c.SuiteCRM.URL+" "+c.SuiteCRM.ClientID), err
	case c.EspoCRM != nil:
		w, err = espocrm.New(*c.EspoCRM, s)
		return w, identityOf(c, c.EspoCRM.URL), err
	case c.Salesforce != nil:
		w, err = salesforce.New(*c.Salesforce, s)
		return w, identityOf(c, c.Salesforce.URL+" "+c.Salesforce.ClientID+" "+c.Salesforce.Username), err
	case c.HubSpot != nil:
		w, err = hubspot.New(*c.HubSpot, s)
		return w, identityOf(c, c.HubSpot.BaseURL), err
	case c.Zoho != nil:
		w, err = zoho.New(*c.Zoho, s)
		return w, identityOf(c, c.Zoho.API()+" "+c.Zoho.ClientID), err
	case c.LeadSquared != nil:
		w, err = leadsquared.New(*c.LeadSquared, s)
		return w, identityOf(c, c.LeadSquared.Host()), err
	}
	return nil, "", fmt.Errorf("no kind is configured")
}
