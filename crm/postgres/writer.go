// Package postgres writes calls into tables of a PostgreSQL database: contacts, calls, notes and tasks, and views over
// them, as package sqlite does. schema.sql describes the tables.
//
// Everything is keyed by the id of the call, so nothing doubles, not even when the answer to a COMMIT is lost; one call
// is one transaction, so no half of one is ever there.
package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/table"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// Config says which database it is. A file of the DSN is read for each new connection.
type Config struct {
	DSN     secret.Text   `yaml:"dsn"` // a URL or key=value words, with what libpq knows: sslmode, sslrootcert, target_session_attrs, …
	DSNFile string        `yaml:"dsn_file"`
	Schema  string        `yaml:"schema"`  // of the tables; it is made if need be. Empty: the first of the user's search_path
	Timeout time.Duration `yaml:"timeout"` // of one call's transaction; 0: table.DefaultTimeout
}

const maxName = 63 // bytes of an identifier; the server cuts what is longer

// Validate checks the configuration without the network and without the DSN's file. Each fault begins with its key.
func (c Config) Validate() error {
	var faults []error
	if c.DSNFile == "" {
		if _, err := parse(c.DSN.Reveal()); err != nil {
			faults = append(faults, fmt.Errorf("dsn: %w", err))
		}
	}
	if len(c.Schema) > maxName || strings.HasPrefix(c.Schema, "pg_") || strings.ContainsRune(c.Schema, 0) {
		faults = append(faults, errors.New("schema: no name that a schema can have: at most 63 bytes, not beginning with pg_"))
	}
	return errors.Join(append(faults, table.CheckTimeout(c.Timeout))...)
}

// Open makes the writer, as New does.
func (c Config) Open(s crm.Settings) (crm.Writer, error) { return crm.Opened(New(c, s)) }

// Identity names what the access depends on besides the secrets.
func (c Config) Identity() string { return c.Schema }

// parse reads a DSN. Its errors show nothing of it.
func parse(dsn string) (*pgx.ConnConfig, error) {
	const example = "write postgres://user:password@host:5432/database?sslmode=verify-full, special characters of the password as %40 and the like" //nolint:gosec // nobody's
	if strings.TrimSpace(dsn) == "" {
		return nil, errors.New("missing: " + example)
	}
	cfg, err := pgx.ParseConfig(strings.TrimSpace(dsn))
	if err != nil {
		// What the driver says may quote the DSN, but for this.
		if _, tls, ok := strings.Cut(err.Error(), "failed to configure TLS ("); ok {
			return nil, errors.New("its TLS settings cannot be used: " + strings.TrimSuffix(tls, ")"))
		}
		return nil, errors.New("no connection string: " + example)
	}
	return cfg, nil
}

// settings returns how to connect, with the DSN as it is now.
func (c Config) settings() (*pgx.ConnConfig, error) {
	dsn, err := table.DSN(c.DSN, c.DSNFile)
	if err != nil {
		return nil, err
	}
	cfg, err := parse(dsn)
	if err != nil {
		return nil, crm.Halted(fmt.Errorf("dsn: %w", err))
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 10 * time.Second // leaves time for another host
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "vinfer-sync"
	}
	cfg.RuntimeParams["client_encoding"] = "UTF8"
	if c.Schema != "" {
		cfg.RuntimeParams["search_path"] = quote(c.Schema)
	}
	return cfg, nil
}

// Writer writes to the tables of one schema. It connects with the first Write.
type Writer struct{ *table.Server }

// New returns a Writer with as many connections as there are workers. Of s only Workers, OwnNumbers and Region matter. It connects to nothing.
func New(c Config, s crm.Settings) (Writer, error) {
	if err := c.Validate(); err != nil {
		return Writer{}, err
	}
	t := tables{schema: c.Schema}
	return Writer{table.NewServer(table.Dialect{
		Name: "postgres", Statements: &statements, Values: values, Newest: len(migrations),
		Connect: func(ctx context.Context) (driver.Conn, error) {
			cfg, err := c.settings()
			if err != nil {
				return nil, err
			}
			conn, err := stdlib.GetConnector(*cfg).Connect(ctx)
			return conn, hush(err, cfg.Password)
		},
		Tx:      func(t *sql.Tx, prefix string) table.Tx { return tx{t, prefix} },
		Version: version, Migrate: t.migrate, Script: t.script, MayCreate: t.mayCreate, Look: look, Explain: explain, Again: again,
	}, c.Timeout, s)}, nil
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
