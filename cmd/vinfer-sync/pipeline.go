package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/admin"
	"github.com/vinfer-sync/vinfer-sync/config"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
	"github.com/vinfer-sync/vinfer-sync/store"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// pipeline is everything that one configuration opens, and how to close it.
type pipeline struct {
	cfg    *config.Config
	api    *vinfer.Client
	store  store.Store
	dests  []engine.Destination
	engine *engine.Engine
	local  *admin.Local
}

// retryWait is what VInfer is left in peace before a second try. 0: as long as package vinfer finds right. Tests are in a hurry.
var retryWait time.Duration

// backoff is the first wait before another try at a destination. 0: as long as package sync finds right. Tests that look at what a run leaves
// do not wait for what it would try again.
var backoff time.Duration

// newClient makes the API's client.
func newClient(cfg *config.Config, log *slog.Logger) (*vinfer.Client, error) {
	return vinfer.New(vinfer.Config{
		BaseURL:   cfg.VInfer.BaseURL,
		Key:       func() (secret.Text, error) { return cfg.VInfer.APIKey.Read() },
		Timeout:   cfg.VInfer.Timeout,
		Reserve:   float64(cfg.VInfer.RateReserve),
		CAFile:    cfg.VInfer.CAFile,
		Proxy:     cfg.VInfer.Proxy.Reveal(),
		UserAgent: "vinfer-sync/" + version,
		RetryWait: retryWait,
		Logger:    log,
	})
}

// openPipeline opens the store and the destinations and joins them. The store comes first: a second daemon must not touch the destinations.
func openPipeline(ctx context.Context, cfg *config.Config, log *slog.Logger) (*pipeline, error) {
	outliveReaders()
	st, err := openState(ctx, cfg)
	if err != nil {
		return nil, err
	}
	p, err := assemble(cfg, st, log)
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return p, nil
}

// assemble makes what a configuration says over an open store, which may be in use by the pipeline that this one is to replace. Nothing
// runs yet.
func assemble(cfg *config.Config, st store.Store, log *slog.Logger) (*pipeline, error) {
	p := &pipeline{cfg: cfg, store: st}
	var err error
	if p.api, err = newClient(cfg, log); err != nil {
		return nil, &exitError{exitConfig, err}
	}
	for i := range cfg.CRM {
		d, err := destination(cfg, &cfg.CRM[i])
		if err != nil {
			return nil, errors.Join(&exitError{exitConfig, err}, p.release())
		}
		p.dests = append(p.dests, d)
	}
	p.engine, err = engine.New(engine.Options{
		Name: cfg.Name, Version: version, API: p.api, Store: p.store, Destinations: p.dests, Lease: leaseOf(st),
		CursorParam: cfg.VInfer.CursorParam, Campaigns: cfg.VInfer.Campaigns, PageSize: cfg.VInfer.PageSize,
		Start: startOf(cfg), Lookback: cfg.Lookback, MaxCall: cfg.MaxCall, Schedule: cfg.Schedule,
		Settle: cfg.Settle, AuditDays: cfg.Audit.Days, AuditAt: cfg.Audit.At,
		FetchTranscripts: cfg.Transcripts.Fetch, GiveUpAfter: cfg.Transcripts.GiveUpAfter,
		Retention: cfg.Retention, Ledger: cfg.Ledger, Region: cfg.Region, Zone: cfg.Location(), Logger: log, Backoff: backoff,
	})
	if err != nil {
		return nil, errors.Join(err, p.release())
	}
	p.local = &admin.Local{Store: p.store, Engine: p.engine, Name: cfg.Name, Version: version}
	return p, nil
}

// close ends deliveries, closes the destinations and then the store, so that what was delivered is recorded.
func (p *pipeline) close() error { return errors.Join(p.release(), p.store.Close()) }

// release is close but for the store, which another pipeline goes on with.
func (p *pipeline) release() error {
	var errs []error
	if p.engine != nil {
		p.engine.Stop()
	}
	for _, d := range p.dests {
		if c, ok := d.Writer.(io.Closer); ok {
			errs = append(errs, c.Close())
		}
	}
	p.api.Close()
	return errors.Join(errs...)
}

// destination makes of a configured CRM what the engine takes.
func destination(cfg *config.Config, c *config.Destination) (engine.Destination, error) {
	kind, k := c.Chosen()
	w, err := k.Open(cfg.Settings(c))
	if err != nil {
		return engine.Destination{}, fmt.Errorf("destination %s: %w", c.Name, err)
	}
	return engine.Destination{
		Name: c.Name, Kind: kind, Writer: w, Workers: c.Workers, Identity: identityOf(c, k.Identity()), Mapping: mappingOf(c.Mapping), Owner: c.Owner, OnMissing: c.OnMissing,
		Filter: engine.Filter{Dispositions: c.Filter.Dispositions, Campaigns: c.Filter.Campaigns, Languages: c.Filter.Languages, MinDuration: c.Filter.MinDuration},
		Off:    engine.Steps{Status: !c.Steps.Status, Activity: !c.Steps.Activity, Link: !c.Steps.Link, Task: !c.Steps.Task, Transcript: !c.Steps.Transcript},
	}, nil
}

// mappingOf returns a mapping as the engine has it.
func mappingOf(m config.Mapping) engine.Mapping {
	mapping := engine.Mapping{Unknown: m.Unknown, Overdue: m.Overdue, Dispositions: map[string]engine.Rule{}}
	for name, r := range m.Dispositions {
		rule := engine.Rule{Status: r.Status}
		if r.Task != nil {
			rule.Task = &engine.TaskRule{Title: r.Task.Title, Due: r.Task.Due, Owner: r.Task.Owner}
		}
		mapping.Dispositions[name] = rule
	}
	return mapping
}

// statuses lists the lead statuses that a destination's mapping can set.
func statuses(d engine.Destination) []string {
	var s []string
	for _, name := range slices.Sorted(maps.Keys(d.Mapping.Dispositions)) {
		if st := d.Mapping.Dispositions[name].Status; st != "" && !slices.Contains(s, st) {
			s = append(s, st)
		}
	}
	return s
}

// identityOf joins what a destination's access depends on: where it is, and its secrets.
func identityOf(c *config.Destination, where string) string {
	parts := []string{where}
	for _, name := range slices.Sorted(maps.Keys(c.Secrets)) {
		parts = append(parts, name, c.Secrets[name].Value.Reveal())
	}
	return strings.Join(parts, "\x00")
}

// startOf is the first cursor of an empty store; zero: now.
func startOf(cfg *config.Config) time.Time {
	if cfg.Start.At.IsZero() && cfg.Start.Ago == 0 {
		return time.Time{}
	}
	return cfg.Start.Time(time.Now())
}
