package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/vinfer-sync/vinfer-sync/admin"
	"github.com/vinfer-sync/vinfer-sync/alert"
	"github.com/vinfer-sync/vinfer-sync/config"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/postgres"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// facts gathers what is known of the pipeline at this moment.
func (s *service) facts() (admin.Facts, error) {
	p := s.current()
	var f admin.Facts
	var err error
	if f.Status, err = p.local.Status(context.Background()); err != nil {
		return f, err
	}
	stats, err := p.engine.Stats()
	if err != nil {
		return f, err
	}
	f.Facts = storeFacts(p.cfg, p.store, stats)
	f.Started, f.Skew = s.began, p.api.Skew()
	f.Oldest = map[string]time.Time{}
	for _, d := range f.Stats.Dests {
		if d.Pending == 0 {
			continue
		}
		if f.Oldest[d.Name], err = p.engine.Oldest(d.Name); err != nil {
			return f, err
		}
	}
	f.Stuck, f.Listen = p.engine.Stuck(), s.unserved
	f.Schedule, f.Lag = p.cfg.Schedule, p.cfg.Alerts.Lag
	if info, err := os.Stat(p.cfg.Store.Bolt.Path); err == nil {
		f.StoreBytes = info.Size()
	}
	return f, nil
}

// storeFacts gathers what the store alone tells.
func storeFacts(cfg *config.Config, st store.Store, stats store.Stats) alert.Facts {
	f := alert.Facts{Now: time.Now().UTC(), Stats: stats, Disks: spaces(cfg)}
	if at, err := st.Setting(postgres.WentBack); err == nil && at != nil {
		f.WentBack, _ = time.Parse(time.RFC3339, string(at))
	}
	if _, how, refused := strings.Cut(stats.LastRun.Error, vinfer.ErrRefused.Error()); refused {
		f.Refusal = or(strings.TrimPrefix(how, ": "), "it was refused")
	}
	return f
}

// rulesOf returns the rules by which a pipeline needs an operator.
func rulesOf(cfg *config.Config) alert.Rules {
	return alert.Rules{
		Lag: cfg.Alerts.Lag, LeftOut: cfg.Alerts.LeftOut, Next: nextOf(cfg.Schedule),
		Remedy: func(kind, dest string) string { return alertRemedy(cfg, kind, dest) },
	}
}

// unattended adds to a status what needs an operator while no daemon runs.
func unattended(cfg *config.Config, st store.Store) func(*engine.Status) {
	return func(s *engine.Status) {
		s.Config = absolute(cfg.File)
		roleOf(st, s)
		if stats, err := st.Stats(); err == nil { // else the status itself fails
			f := storeFacts(cfg, st, stats)
			f.Down = s.Leader == nil && servedLast(st)
			s.Alerts = alert.Find(st, rulesOf(cfg), f)
		}
	}
}

// settingService is kept from the start of a service until once has polled without one: who polls by cron has no service that could be down.
const settingService = "service"

// servedLast tells whether a service was the last to poll.
func servedLast(st store.Store) bool {
	v, err := st.Setting(settingService)
	return err == nil && v != nil
}

// spaces returns the room on the disks that the pipeline writes to, each disk once.
func spaces(cfg *config.Config) []alert.Space {
	var all []alert.Space
	seen := map[uint64]bool{}
	for _, path := range cfg.Writes() {
		dir := filepath.Dir(path)
		info, err := os.Stat(dir)
		if err != nil {
			continue // the destination says so itself
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			if seen[st.Dev] {
				continue
			}
			seen[st.Dev] = true
		}
		if space, err := alert.SpaceOf(dir); err == nil {
			all = append(all, space)
		}
	}
	return all
}

// alertsEvery is how often the alerts' rules are applied; oftener where alerts.lag is only seconds.
const alertsEvery = 5 * time.Second

// watchAlerts applies the rules until ctx ends.
func (s *service) watchAlerts(ctx context.Context) {
	for {
		cfg := s.current().cfg
		if f, err := s.facts(); err != nil {
			s.log.Debug("cannot look for alerts", "error", err)
		} else {
			s.alerts.Look(rulesOf(cfg), f.Facts)
		}
		if err := s.tally.Save(time.Now(), false); err != nil {
			s.log.Debug("cannot keep the dashboard's counts", "error", err)
		}
		every := alertsEvery
		if lag := cfg.Alerts.Lag; lag > 0 {
			every = max(min(every, lag/4), time.Second)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
	}
}

// nextOf returns when a schedule fires next after a time.
func nextOf(schedule string) func(time.Time) time.Time {
	s, err := cron.ParseStandard(schedule)
	if err != nil {
		return nil
	}
	return s.Next
}

// absolute returns a path as it is seen from anywhere.
func absolute(path string) string {
	if whole, err := filepath.Abs(path); err == nil {
		return whole
	}
	return path
}

// alertRemedy is what an operator does about an alert.
func alertRemedy(cfg *config.Config, kind, dest string) string {
	switch kind {
	case alert.Halted:
		remedy := "fix the cause, then: vinfer-sync resume " + dest
		if from := secretSources(cfg, dest); from != "" {
			remedy += " (if a key was refused, put the new one into " + from + ")"
		}
		return remedy
	case alert.Dead:
		if dest == "" {
			return "see them: vinfer-sync dead list"
		}
		return "see them: vinfer-sync dead list --dest " + dest + "; once fixed: vinfer-sync dead retry --dest " + dest
	case alert.LeftOut:
		return "if that is not meant, see filter, mapping and on_missing of " + dest + ": vinfer-sync check, vinfer-sync plan --since -2h"
	case alert.Key:
		remedy := "put a valid key into " + cfg.VInfer.APIKey.Source()
		if cfg.VInfer.APIKey.File == "" {
			return remedy + ", then restart the service"
		}
		return remedy + "; the next poll takes it up"
	case alert.Runs:
		return "find the cause: vinfer-sync check"
	case alert.Clock:
		return "set the clock, with chrony or systemd-timesyncd"
	case alert.Gap:
		return "run vinfer-sync audit to see whether the gap is still there; else ask VInfer which calls its listing does not show"
	case alert.Disk:
		return "make room on it; nothing is lost, but nothing can be stored when it is full"
	case alert.Down:
		return "start it: systemctl start vinfer-sync; why it ended: journalctl -u vinfer-sync -n 50"
	case alert.Stuck:
		return "restart the service; systemd's watchdog does so by itself"
	case alert.NoLeader:
		return "see that the database can be reached and takes writes: vinfer-sync check"
	case alert.WentBack:
		return "see docs/HA.md for what may be there twice, and why a database goes back"
	case alert.Listen:
		return "end what listens there, or change admin.listen or admin.socket, then restart the service"
	case alert.Lag:
		if dest == "" {
			return "see that the service runs: systemctl status vinfer-sync"
		}
	}
	return "see: vinfer-sync status"
}

// secretSources names where the secrets of a destination come from; empty: it has none, or they stand in the configuration.
func secretSources(cfg *config.Config, dest string) string {
	var from []string
	for i := range cfg.CRM {
		d := &cfg.CRM[i]
		for _, name := range slices.Sorted(maps.Keys(d.Secrets)) {
			if ref := d.Secrets[name]; d.Name == dest && (ref.File != "" || ref.Variable != "") {
				from = append(from, ref.Source())
			}
		}
	}
	slices.Sort(from)
	return strings.Join(slices.Compact(from), " or ")
}

// notReady returns what keeps the service from doing its job, and what else needs an operator.
func (s *service) notReady() error {
	p := s.current()
	if err := p.engine.Stuck(); err != nil {
		return err
	}
	st, err := p.local.Status(context.Background())
	if err != nil {
		return err
	}
	var faults []string
	told := func(kind, dest string) bool {
		return slices.ContainsFunc(st.Alerts, func(a engine.Alert) bool { return a.Alert == kind && a.Destination == dest })
	}
	switch {
	case st.LastRun.At == "":
		faults = append(faults, "no poll has ended yet")
	case st.LastRun.Error != "" && !told(alert.Key, "") && !told(alert.Runs, ""):
		faults = append(faults, "the last poll failed: "+st.LastRun.Error)
	}
	for _, d := range st.Destinations {
		if d.State == "halted" && !d.Paused && !told(alert.Halted, d.Name) {
			faults = append(faults, fmt.Sprintf("destination %s is halted: %s", d.Name, d.Reason))
		}
	}
	if st.ConfigError != "" {
		faults = append(faults, "config: the configuration on the disk has faults, and the one before is in use: "+st.ConfigError)
	}
	standing := slices.DeleteFunc(st.Alerts, func(a engine.Alert) bool { return a.Alert == alert.LeftOut }) // as configured, perhaps on purpose
	if text := alert.Text(standing); text != "" {
		faults = append(faults, text)
	}
	if len(faults) == 0 {
		return nil
	}
	return errors.New(strings.Join(faults, "\n"))
}
