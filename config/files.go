package config

import (
	"slices"

	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// Reads returns the files that the service reads: the configuration, secrets and certificates.
func (c *Config) Reads() []string {
	all := []string{c.File, c.VInfer.APIKey.File, c.VInfer.CAFile}
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
	all := []string{c.Store.Bolt.Path}
	for i := range c.CRM {
		d := &c.CRM[i]
		switch {
		case d.SQLite != nil && d.SQLite.Path != ":memory:":
			all = append(all, d.SQLite.Path)
		case d.JSONL != nil:
			all = append(all, d.JSONL.Path)
		case d.Zoho != nil:
			all = append(all, d.Zoho.TokenFile)
		}
	}
	return tidy(all)
}

// http returns what a destination's kind has set for HTTP; nil: it speaks none.
func (d *Destination) http() *httpx.Config {
	for _, k := range kinds {
		if k.name == d.Kind() && k.http != nil {
			return k.http(d)
		}
	}
	return nil
}

// tidy sorts names and takes out empty and repeated ones.
func tidy(names []string) []string {
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(s string) bool { return s == "" })
}
