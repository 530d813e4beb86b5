package config

import (
	"slices"

	"github.com/vinfer-sync/vinfer-sync/crm/kinds"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// Reads returns the files that the service reads: the configuration, secrets and certificates.
func (c *Config) Reads() []string {
	all := []string{c.File, c.VInfer.APIKey.File, c.VInfer.CAFile}
	if c.Store.Postgres != nil {
		all = append(all, c.Store.Postgres.DSN.File)
	}
	for i := range c.CRM {
		d := &c.CRM[i]
		for _, s := range d.Secrets {
			all = append(all, s.File)
		}
		if h := d.http(); h != nil {
			all = append(all, h.CAFile, h.ClientCert, h.ClientKey)
		}
	}
	return tidy(all)
}

// Writes returns the files that the service writes.
func (c *Config) Writes() []string {
	var all []string
	if c.Store.Postgres == nil {
		all = append(all, c.Store.Bolt.Path)
	}
	for i := range c.CRM {
		d := &c.CRM[i]
		if path := d.File(); path != ":memory:" {
			all = append(all, path)
		}
		if _, k := d.Chosen(); k != nil {
			if k, ok := k.(kinds.Keeper); ok {
				all = append(all, k.Keeps())
			}
		}
	}
	return tidy(all)
}

// http returns what a destination's kind has set for HTTP; nil: it speaks none.
func (d *Destination) http() *httpx.Config {
	if _, k := d.Chosen(); k != nil {
		if k, ok := k.(kinds.HTTP); ok {
			return k.HTTP()
		}
	}
	return nil
}

// tidy sorts names and takes out empty and repeated ones.
func tidy(names []string) []string {
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(s string) bool { return s == "" })
}
