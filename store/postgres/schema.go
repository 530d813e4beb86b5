package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/internal/records"
)

// pipelinesTable has the fence of each pipeline: epoch is the number of the lease under which it may be written, rev counts what was written, and
// last_tx names the transaction that wrote last. leasesTable is apart, so that a renewal waits for no transaction.
const (
	pipelinesTable = `CREATE TABLE IF NOT EXISTS {s}.pipelines (
  id      bigint PRIMARY KEY,
  name    text   NOT NULL UNIQUE,
  epoch   bigint NOT NULL DEFAULT 0,
  rev     bigint NOT NULL DEFAULT 0,
  last_tx bytea  NOT NULL DEFAULT ''
)`
	leasesTable = `CREATE TABLE IF NOT EXISTS {s}.leases (
  id      bigint PRIMARY KEY,
  node    text        NOT NULL DEFAULT '',
  epoch   bigint      NOT NULL DEFAULT 0,
  since   timestamptz NOT NULL DEFAULT now(),
  expires timestamptz NOT NULL DEFAULT now()
)`
	recordsTable = `CREATE TABLE IF NOT EXISTS {s}.%s (
  pipeline bigint NOT NULL,
  key      bytea  NOT NULL,
  value    bytea  NOT NULL,
  PRIMARY KEY (pipeline, key)
)`
	// Rows of these tables come and go: without this, VACUUM would let dead rows make up a fifth of them.
	vacuumOften = `ALTER TABLE {s}.%s SET (autovacuum_vacuum_scale_factor = 0.02)`
)

var tables = append(records.Buckets[:len(records.Buckets):len(records.Buckets)], tableGenerations)

// migrate makes the tables that are not there, one statement at a time, each of which can be repeated.
func (d *DB) migrate(ctx context.Context) error {
	have, schemas := 0, 0
	b := &batch{}
	b.add(func(rows [][][]byte) error {
		schemas = len(rows)
		return nil
	}, "SELECT 'x'::bytea FROM information_schema.schemata WHERE schema_name = $1::text", text(d.schema))
	b.add(func(rows [][][]byte) error {
		have = len(rows)
		return nil
	}, "SELECT 'x'::bytea FROM information_schema.tables WHERE table_schema = $1::text", text(d.schema))
	if err := d.once(ctx, b); err != nil {
		return err
	}
	if have >= len(tables)+2 {
		return nil
	}
	statements := []string{pipelinesTable, leasesTable}
	if schemas == 0 { // a user who may not make one can use one that is there
		statements = append([]string{"CREATE SCHEMA IF NOT EXISTS {s}"}, statements...)
	}
	for _, t := range tables {
		statements = append(statements, fmt.Sprintf(recordsTable, t))
	}
	if d.tunable() {
		for _, t := range []string{"outbox", "lanes", "tried", "claims", "watches", "due"} {
			statements = append(statements, fmt.Sprintf(vacuumOften, t))
		}
	}
	for _, s := range statements {
		for try := 0; ; try++ {
			b := &batch{}
			b.add(nil, s)
			err := d.once(ctx, b)
			if err == nil {
				break
			}
			if try == maxTries || !again(err) && !madeMeanwhile(err) {
				return fmt.Errorf("making the tables: %w", err)
			}
			pause(ctx, try)
		}
	}
	return nil
}

// madeMeanwhile tells whether another node has made the same thing at the same moment.
func madeMeanwhile(err error) bool {
	switch codeOf(err) {
	case "23505", "42P07", "42P06", "42710", "XX000": // the last one: "tuple concurrently updated"
		return true
	}
	return false
}

// tunable tells whether the server is PostgreSQL itself, which knows its own settings for tables.
func (d *DB) tunable() bool { return d.parameter("crdb_version") == "" }

// enter finds the pipeline's number, and makes the pipeline if it is new.
func (d *DB) enter(ctx context.Context, create bool) error {
	for try := 0; try < maxTries; try++ {
		b := &batch{}
		b.add(func(rows [][][]byte) error {
			if len(rows) == 1 {
				d.id = number(rows[0][0])
			}
			return nil
		}, "SELECT id FROM {s}.pipelines WHERE name = $1::text", text(d.pipeline))
		if err := d.once(ctx, b); err != nil {
			return err
		}
		if d.id != 0 {
			d.rename()
			return nil
		}
		if !create {
			break
		}
		b = &batch{}
		b.add(nil, "BEGIN")
		b.add(nil, "INSERT INTO {s}.pipelines (id, name) SELECT coalesce(max(id), 0) + 1, $1::text FROM {s}.pipelines", text(d.pipeline))
		b.add(nil, "INSERT INTO {s}.leases (id) SELECT id FROM {s}.pipelines WHERE name = $1::text", text(d.pipeline))
		b.add(nil, "COMMIT")
		if err := d.once(ctx, b); err != nil && !again(err) && !madeMeanwhile(err) {
			return fmt.Errorf("making the pipeline %s: %w", d.pipeline, err)
		}
	}
	return fmt.Errorf("pipeline %s: %w: the database has none of that name", d.pipeline, store.ErrUnknown)
}

// identify returns whose state it is, and errs if the records are not such that this program can read them. A new pipeline has none.
func (d *DB) identify() (install string, err error) {
	err = d.engine().View(func(tx records.Tx) error {
		var layout int
		var err error
		install, layout, err = records.Identify(tx)
		switch {
		case errors.Is(err, records.ErrForeign):
			return nil
		case errors.Is(err, store.ErrMoved):
			if d.moving {
				return nil
			}
			return fmt.Errorf("pipeline %s: %w", d.pipeline, err)
		case err != nil:
			return fmt.Errorf("%w: pipeline %s: %w; restore the database from a backup", store.ErrDamaged, d.pipeline, err)
		case layout > records.Layout:
			return fmt.Errorf("%w: pipeline %s has version %d of the layout, this program knows up to %d: install the newer program again", store.ErrNewer, d.pipeline, layout, records.Layout)
		case layout < records.Layout:
			return fmt.Errorf("%w: pipeline %s has version %d of the layout, this program reads version %d", store.ErrOlder, d.pipeline, layout, records.Layout)
		}
		return nil
	})
	return install, err
}

func codeOf(err error) string {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code
	}
	return ""
}

// again tells whether a transaction may go through when it is run again: another one was the reason, or the connection broke, or the server
// goes down or takes no writes at the moment.
func again(err error) bool {
	if f := (*failure)(nil); !errors.As(err, &f) || errors.Is(err, context.Canceled) {
		return false
	}
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		return true // not the server's word: it was not reached, or its answer was lost
	}
	switch pe.Code {
	case "40001", "40P01", codeFence, "25006", "57P01", "57P02", "57P03", "53300", "25P03":
		return true
	}
	return pe.Code[:min(2, len(pe.Code))] == "08"
}

// pause waits longer with each try, less than four seconds for maxTries of them.
func pause(ctx context.Context, try int) {
	wait := time.NewTimer(jitter(50 * time.Millisecond << try))
	defer wait.Stop()
	select {
	case <-ctx.Done():
	case <-wait.C:
	}
}
