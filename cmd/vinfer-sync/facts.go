package main

import (
	"context"
	"errors"
	"fmt"
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
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

// facts gathers what is known of the pipeline at this moment.
func (s *service) facts() (admin.Facts, error) {
	p := s.current()
	var f admin.Facts
	var err error
	if f.Status, err = p.local.Status(context.Background()); err != nil {
		return f, err
	}
	if f.Stats, err = p.engine.Stats(); err != nil {
		return f, err
	}
	f.Now, f.Started = time.Now().UTC(), s.began
	f.Skew = p.api.Skew()
	f.Oldest = map[string]time.Time{}
	for _, d := range f.Stats.Dests {
		if d.Pending == 0 {
			continue
		}
		if f.Oldest[d.Name], err = p.engine.Oldest(d.Name); err != nil {
			return f, err
		}
	}
	f.Disks = spaces(p.cfg)
	f.Stuck = p.engine.Stuck()
	f.Schedule, f.Lag = p.cfg.Schedule, p.cfg.Alerts.Lag
	if info, err := os.Stat(p.cfg.Store.Bolt.Path); err == nil {
		f.StoreBytes = info.Size()
	}
	return f, nil
}

// spaces returns the room on the disks that the pipeline writes to, each disk once.
func spaces(cfg *config.Config) []alert.Space {
	dirs := []string{filepath.Dir(cfg.Store.Bolt.Path)}
	for _, d := range cfg.CRM {
		if path := d.File(); path != "" {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	var all []alert.Space
	seen := map[uint64]bool{}
	for _, dir := range dirs {
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
			s.alerts.Look(alert.Rules{Lag: cfg.Alerts.Lag, LeftOut: cfg.Alerts.LeftOut, Next: nextOf(cfg.Schedule), Mend: mend}, f.Facts)
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

// mend is what an operator does about an alert.
func mend(kind, dest string) string {
	switch kind {
	case alert.Halted:
		return "mend what the reason says, then: vinfer-sync resume " + dest
	case alert.Dead:
		if dest == "" {
			return "see them: vinfer-sync dead list"
		}
		return "see them: vinfer-sync dead list --dest " + dest + "; once mended: vinfer-sync dead retry --dest " + dest
	case alert.LeftOut:
		return "if that is not meant, see filter, mapping and on_missing of " + dest + ": vinfer-sync check, vinfer-sync plan --since -2h"
	case alert.Runs:
		return "see what is wrong: vinfer-sync check"
	case alert.Clock:
		return "set the clock, with chrony or systemd-timesyncd"
	case alert.Gap:
		return "see with vinfer-sync audit whether it goes on; else ask VInfer what its listing leaves out"
	case alert.Disk:
		return "make room on it; nothing is lost, but nothing can be stored when it is full"
	default:
		return "see: vinfer-sync status"
	}
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
	switch {
	case st.LastRun.At == "":
		faults = append(faults, "no poll has ended yet")
	case st.LastRun.Error != "":
		faults = append(faults, "the last poll failed: "+st.LastRun.Error)
	}
	told := map[string]bool{}
	for _, a := range st.Alerts {
		told[a.Alert+" "+a.Destination] = true
	}
	for _, d := range st.Destinations {
		if d.State == "halted" && !d.Paused && !told[alert.Halted+" "+d.Name] {
			faults = append(faults, fmt.Sprintf("destination %s is halted: %s", d.Name, d.Reason))
		}
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
