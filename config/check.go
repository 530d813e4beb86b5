package config

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nyaruka/phonenumbers"
	"github.com/robfig/cron/v3"
	"go.yaml.in/yaml/v3"

	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
	"github.com/vinfer-sync/vinfer-sync/internal/number"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

const (
	maxPage    = 100 // the API's
	maxWorkers = 64
	maxSocket  = 107 // what a Unix socket's address holds on Linux
	envKey     = "VINFER_API_KEY"
)

// node returns where a key stands, or the nearest thing above it that does; nil: nothing of it stands in the file.
func (d *decoder) node(key string) *yaml.Node {
	for key != "" {
		if p, ok := d.at[key]; ok {
			return p.value
		}
		cut := strings.LastIndexAny(key, ".[")
		if cut < 0 {
			break
		}
		key = key[:cut]
	}
	return nil
}

func (d *decoder) isSet(key string) bool { _, ok := d.at[key]; return ok }

// faulty tells whether a fault of this very key is known already.
func (d *decoder) faulty(key string) bool {
	return slices.ContainsFunc(d.faults, func(f Fault) bool { return f.Key == key })
}

// bad notes a fault of a key's value, which is shown as it was written. What could not even be decoded is not spoken of twice.
func (d *decoder) bad(key, problem, remedy string) {
	if d.faulty(key) {
		return
	}
	n := d.node(key)
	value := ""
	if p, ok := d.at[key]; ok {
		if t := target(p.value); t.Kind == yaml.ScalarNode {
			value = t.Value
		}
	}
	d.fault(n, key, value, problem, remedy)
}

// hide notes a fault of a key's value, which is not shown.
func (d *decoder) hide(key, problem, remedy string) {
	if !d.faulty(key) {
		d.fault(d.node(key), key, "", problem, remedy)
	}
}

func (d *decoder) warn(format string, args ...any) {
	d.warnings = append(d.warnings, fmt.Sprintf(format, args...))
}

// check looks at what was decoded as a whole, and fills in what depends on it. A key whose value could not be decoded has its
// default, so that nothing is said about it twice.
func (d *decoder) check(c *Config) {
	d.needName("name", c.Name)
	d.checkVInfer(&c.VInfer)
	d.checkSchedule("schedule", c.Schedule)
	d.checkSchedule("audit.at", c.Audit.At)
	d.checkTimes(c)
	d.checkPlace(c)
	if c.Store.Bolt.Path == "" {
		d.bad("store.bbolt.path", "it is empty", "name a file, as /var/lib/vinfer-sync/state.db")
	}
	d.checkPostgres(c.Store.Postgres)
	d.checkMapping(&c.Mapping, "mapping")
	d.checkDestinations(c)
	d.checkAdmin(c.Admin)
	d.checkAlerts(c.Alerts)
	d.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	d.oneOf("log.format", c.Log.Format, "auto", "text", "json")
}

func (d *decoder) checkPostgres(p *Postgres) {
	if p == nil {
		return
	}
	if _, both := d.at["store.bbolt.path"]; both {
		d.bad("store.postgres", "the state is in one place: a file or a database", "remove store.bbolt or store.postgres")
	}
	if p.DSN.Value.Reveal() == "" && !d.operator {
		d.bad("store.postgres.dsn", "it is missing", "write dsn_file: FILE, with postgres://user:password@host:5432/database?sslmode=verify-full in the file")
	}
	if p.Schema == "" || len(p.Schema) > 63 || strings.HasPrefix(p.Schema, "pg_") {
		d.bad("store.postgres.schema", "not a name that a schema can have", "at most 63 bytes, not beginning with pg_, as vinfer_sync")
	}
}

func (d *decoder) oneOf(key, value string, choices ...string) {
	if slices.Contains(choices, value) {
		return
	}
	remedy := "one of " + strings.Join(choices, ", ")
	if near := nearest(value, choices); near != "" {
		remedy = "did you mean " + near + "? " + remedy
	}
	d.bad(key, "not a choice", remedy)
}

var plainName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

func (d *decoder) needName(key, value string) {
	if !plainName.MatchString(value) {
		d.bad(key, "no name", "lower-case letters, digits, - and _, at most 63, beginning with a letter or digit")
	}
}

func (d *decoder) checkVInfer(v *VInfer) {
	d.checkBase(v)
	d.checkKey(v)
	d.oneOf("vinfer.cursor_param", v.CursorParam, "auto", "after", "from")
	switch {
	case v.PageSize > maxPage:
		d.bad("vinfer.page_size", "more than the API gives at once", "write 1 to 100")
	case v.PageSize < 1:
		d.bad("vinfer.page_size", "no page", "write 1 to 100")
	}
	d.span("vinfer.timeout", v.Timeout, time.Second, 10*time.Minute)
	d.texts("vinfer.campaigns", v.Campaigns)
	if d.readable("vinfer.ca_file", v.CAFile) {
		d.refused("vinfer", httpx.Config{CAFile: v.CAFile}.CheckFiles())
	}
	d.checkProxy("vinfer.proxy", v.Proxy.Reveal())
}

func (d *decoder) checkBase(v *VInfer) {
	const key = "vinfer.base_url"
	u, err := url.Parse(v.BaseURL)
	switch {
	case err == nil && u.User != nil:
		d.hide(key, "it holds a user or password", "the API takes only the key of vinfer.api_key")
		return
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		d.bad(key, "no http or https URL", "write https://api.vinfer.ai/v1")
		return
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		d.hide(key, "it holds a query or a fragment", "end it with the path, as https://api.vinfer.ai/v1")
		return
	case !httpx.ValidPort(u):
		d.bad(key, "no port", "write 1 to 65535, or none")
		return
	}
	v.BaseURL = strings.TrimRight(v.BaseURL, "/")
	path := strings.TrimRight(u.Path, "/")
	switch {
	case strings.HasSuffix(path, "/v1/v1"):
		d.bad(key, "the version is there twice", "end it with a single /v1")
	case !strings.HasSuffix(path, "/v1"):
		d.warn("%s: %s does not end in /v1, which the API's address does", key, v.BaseURL)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		d.warn("%s: %s sends the API key without encryption; use https", key, v.BaseURL)
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// checkKey takes the key from the environment when the file names none.
func (d *decoder) checkKey(v *VInfer) {
	const key = "vinfer.api_key"
	given := false
	for _, k := range []string{key, twin(key)} {
		if p, ok := d.at[k]; ok && !isNull(p.value) {
			given = true
		}
	}
	if !given {
		text, ok := d.env(envKey)
		if !ok || strings.TrimSpace(text) == "" {
			d.hide(key, "the API key is missing, and the environment variable "+envKey+" is not set", "set either, or name a file by api_key_file; a Read-Only key is enough")
			return
		}
		v.APIKey = SecretRef{Value: secret.New(strings.TrimSpace(text)), Variable: envKey}
	}
	for _, r := range v.APIKey.Value.Reveal() {
		if r <= ' ' || r > '~' {
			at := key
			if v.APIKey.File != "" {
				at = twin(key)
			}
			d.hide(at, "there is a space, a line break or another character in it that no key has", "copy the key again, alone")
			return
		}
	}
}

func (d *decoder) checkProxy(key, value string) {
	if value == "" || value == httpx.Direct {
		return
	}
	u, err := url.Parse(value)
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		d.hide(key, "this is not the URL of a proxy", "write http://proxy.example:3128; http, https, socks5 and socks5h are known, and direct for none")
	}
}

// checkSchedule looks at a cron expression. The parser takes some that would panic, never fire or always fire.
func (d *decoder) checkSchedule(key, spec string) {
	const remedy = `write "@every 1m", "*/5 * * * *" or "CRON_TZ=Asia/Kolkata 0 9 * * *"`
	rest := spec
	if strings.HasPrefix(spec, "TZ=") || strings.HasPrefix(spec, "CRON_TZ=") {
		_, after, ok := strings.Cut(spec, " ")
		if !ok {
			d.bad(key, "no schedule follows the time zone", remedy)
			return
		}
		rest = strings.TrimSpace(after)
		_, zone, _ := strings.Cut(spec[:strings.IndexByte(spec, ' ')], "=")
		if _, err := time.LoadLocation(zone); err != nil {
			d.bad(key, "the time zone before it is not known", "write one as CRON_TZ=Asia/Kolkata")
			return
		}
	}
	if every, ok := strings.CutPrefix(rest, "@every "); ok {
		if x, err := time.ParseDuration(strings.TrimSpace(every)); err == nil && x < time.Second {
			d.bad(key, "shorter than a second", remedy)
			return
		}
	}
	if len(strings.Fields(rest)) == 6 && !strings.HasPrefix(rest, "@") {
		d.bad(key, "six fields: the one for seconds is one too many", remedy)
		return
	}
	s, err := cron.ParseStandard(spec)
	if err != nil {
		d.bad(key, "this is not a schedule", remedy)
		return
	}
	if s.Next(time.Unix(1_700_000_000, 0)).IsZero() {
		d.bad(key, "there is no such day", remedy)
	}
}

// span notes a duration out of its limits.
func (d *decoder) span(key string, x, least, most time.Duration) {
	switch {
	case x < 0:
		d.bad(key, "it is negative", "write at least "+show(least))
	case x < least:
		d.bad(key, "it is too short", "write at least "+show(least))
	case x > most:
		d.bad(key, "it is too long", "write at most "+show(most))
	}
}

// show writes a duration as one would into the file.
func show(x time.Duration) string {
	switch {
	case x == 0:
		return "0s"
	case x%day == 0:
		return fmt.Sprintf("%dd", x/day)
	case x%time.Hour == 0:
		return fmt.Sprintf("%dh", x/time.Hour)
	case x%time.Minute == 0:
		return fmt.Sprintf("%dm", x/time.Minute)
	}
	return x.String()
}

func (d *decoder) checkTimes(c *Config) {
	const decade = 3650 * day
	d.span("lookback", c.Lookback, 0, 30*day)
	d.span("settle", c.Settle, 0, 30*day)
	d.span("max_call", c.MaxCall, time.Minute, 7*day)
	d.span("transcripts.give_up_after", c.Transcripts.GiveUpAfter, time.Minute, 30*day)
	d.span("retention", c.Retention, time.Hour, decade)
	d.span("ledger", c.Ledger, day, decade)
	d.span("alerts.lag", c.Alerts.Lag, 0, 30*day)
	d.span("alerts.left_out", c.Alerts.LeftOut, 0, 30*day)
	if c.Audit.Days < 0 || c.Audit.Days > 90 {
		d.bad("audit.days", "out of range", "write 0 (off) to 90")
	}
	// A call id that is forgotten while its call is still read again would be delivered twice.
	reach := max(c.Lookback, c.Settle+c.MaxCall, time.Duration(c.Audit.Days)*day) + day
	if c.Ledger >= day && c.Ledger < reach && reach < decade {
		d.bad("ledger", "calls would be forgotten while they are still read again", "write at least "+show((reach+day-1).Truncate(day))+", for the audit, lookback and settle")
	}
	if c.Settle > 0 && c.Settle < c.Lookback {
		d.warn("settle: %s is shorter than lookback, %s; the trailing sweep then finds nothing more", show(c.Settle), show(c.Lookback))
	}
}

func (d *decoder) checkPlace(c *Config) {
	if !phonenumbers.GetSupportedRegions()[c.Region] {
		d.bad("region", "no country known", "write its two capital letters, as IN or GB")
		c.Region = "IN"
	}
	if l, err := time.LoadLocation(c.Timezone); err != nil || c.Timezone == "" || l == time.Local {
		d.bad("timezone", "no time zone known", "write one as Asia/Kolkata or Europe/London")
	}
	for i, own := range c.OwnNumbers {
		if number.Parse(own, c.Region).E164 == "" {
			d.hide(fmt.Sprintf("own_numbers[%d]", i), "no phone number", "write it in quotes with its country code, as \"+914412345678\"")
		}
	}
}

func (d *decoder) checkAdmin(a Admin) {
	switch {
	case a.Socket == "":
		d.bad("admin.socket", "it is empty", "commands need it; write /run/vinfer-sync/admin.sock")
	case len(a.Socket) > maxSocket:
		d.bad("admin.socket", "longer than a socket's path can be", fmt.Sprintf("at most %d bytes", maxSocket))
	}
	if a.Listen == "" {
		return
	}
	host, port, err := net.SplitHostPort(a.Listen)
	if err != nil {
		d.bad("admin.listen", "no address", `write 127.0.0.1:9477, or "" for none`)
		return
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		d.bad("admin.listen", "no port", `write 127.0.0.1:9477, or "" for none`)
		return
	}
	if !loopback(host) {
		d.warn("admin.listen: %s can be reached from the network, and the dashboard asks for no password", a.Listen)
	}
}

func (d *decoder) checkAlerts(a Alerts) {
	if len(a.Exec) == 0 {
		return
	}
	program := a.Exec[0]
	switch {
	case program == "":
		d.bad("alerts.exec[0]", "it names no program", "write [/usr/local/bin/page-me]")
	case !filepath.IsAbs(program):
		d.bad("alerts.exec[0]", "the program's path is not absolute", "a service has another directory and PATH; write the whole path, and the arguments one by one")
	case !exists(program):
		d.warn("alerts.exec: there is no %s on this machine", program)
	}
}

// readable notes a file that is named and cannot be read, and tells whether it can. An operator need not be able to: the daemon is.
func (d *decoder) readable(key, path string) bool {
	if path == "" || d.operator {
		return !d.operator
	}
	f, err := os.Open(path)
	if err != nil {
		d.bad(key, "the file cannot be read", "check the path and its permissions")
		return false
	}
	_ = f.Close()
	return true
}

// texts notes empty entries of a list, which would match nothing.
func (d *decoder) texts(key string, list []string) {
	for i, s := range list {
		if strings.TrimSpace(s) == "" {
			d.bad(fmt.Sprintf("%s[%d]", key, i), "it is empty", "remove it")
		}
	}
}
