// Package mysql writes calls into tables of a MySQL or MariaDB database: contacts, calls, notes and tasks, and views
// over them, as package sqlite does. schema.sql describes the tables.
//
// Everything is keyed by the id of the call, so nothing doubles, not even when the answer to a COMMIT is lost; one call
// is one transaction, so no half of one is ever there.
package mysql

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	gomysql "github.com/go-sql-driver/mysql"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/table"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// Config says which database it is. Its files are read for each new connection.
type Config struct {
	DSN        secret.Text   `yaml:"dsn"` // user:password@tcp(host:3306)/database?tls=true, or mysql://user:password@host:3306/database?tls=true
	DSNFile    string        `yaml:"dsn_file"`
	CAFile     string        `yaml:"ca_file"` // roots instead of the system's; it turns tls=true on
	ClientCert string        `yaml:"client_cert"`
	ClientKey  string        `yaml:"client_key"`
	Timeout    time.Duration `yaml:"timeout"` // of one call's transaction; 0: table.DefaultTimeout
}

// Validate checks the configuration without the network and without files. Each fault begins with its key.
func (c Config) Validate() error {
	var faults []error
	if c.DSNFile == "" {
		if _, err := parse(c.DSN.Reveal()); err != nil {
			faults = append(faults, fmt.Errorf("dsn: %w", err))
		}
	}
	if (c.ClientCert == "") != (c.ClientKey == "") {
		faults = append(faults, errors.New("client_cert and client_key: set both or neither"))
	}
	return errors.Join(append(faults, table.CheckTimeout(c.Timeout))...)
}

// Open makes the writer, as New does.
func (c Config) Open(s crm.Settings) (crm.Writer, error) { return crm.Opened(New(c, s)) }

// Identity names what the access depends on besides the secrets.
func (Config) Identity() string { return "mysql" }

// TLS returns the files that are read for TLS.
func (c Config) TLS() httpx.Config {
	return httpx.Config{CAFile: c.CAFile, ClientCert: c.ClientCert, ClientKey: c.ClientKey}
}

// parse reads a DSN in either form. Its errors show nothing of it.
func parse(dsn string) (*gomysql.Config, error) {
	const example = "write user:password@tcp(host:3306)/database?tls=true, or mysql://user:password@host:3306/database?tls=true" //nolint:gosec // nobody's
	dsn = strings.TrimSpace(dsn)
	if dsn == "" {
		return nil, errors.New("missing: " + example)
	}
	var user, password string
	isURL := strings.HasPrefix(dsn, "mysql://") || strings.HasPrefix(dsn, "mariadb://")
	if isURL {
		u, err := url.Parse(dsn)
		if err != nil {
			return nil, errors.New("no URL: " + example + "; special characters of the password as %40 and the like")
		}
		user = u.User.Username()
		password, _ = u.User.Password()
		if u.Port() == "" {
			u.Host = net.JoinHostPort(u.Hostname(), "3306")
		}
		dsn = "tcp(" + u.Host + ")/" + url.PathEscape(strings.TrimPrefix(u.Path, "/")) + "?" + u.RawQuery
	}
	cfg, err := gomysql.ParseDSN(dsn)
	if err != nil {
		return nil, errors.New("no connection string: " + example) // what the driver says may quote it
	}
	if isURL {
		cfg.User, cfg.Passwd = user, password
	}
	if cfg.DBName == "" {
		return nil, errors.New("it names no database: " + example)
	}
	return cfg, nil
}

// settings returns how to connect, with the DSN and the files as they are now.
func (c Config) settings() (*gomysql.Config, error) {
	dsn, err := table.DSN(c.DSN, c.DSNFile)
	if err != nil {
		return nil, err
	}
	cfg, err := parse(dsn)
	if err != nil {
		return nil, crm.Halted(fmt.Errorf("dsn: %w", err))
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	cfg.ParseTime, cfg.Loc = true, time.UTC
	cfg.InterpolateParams = true // one round trip a statement instead of three
	cfg.MultiStatements, cfg.AllowAllFiles, cfg.ClientFoundRows = false, false, false
	cfg.Collation = "utf8mb4_general_ci"    // of the connection: it brings the character set
	cfg.Logger = log.New(io.Discard, "", 0) // what it says comes as errors as well
	if cfg.Params == nil {
		cfg.Params = map[string]string{}
	}
	// Whatever the server's defaults are: what does not fit is refused, not cut off, and times are UTC.
	cfg.Params["sql_mode"] = "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
	cfg.Params["time_zone"] = "'+00:00'"
	if err := cfg.Apply(gomysql.Charset("utf8mb4", "utf8mb4_general_ci")); err != nil {
		return nil, err
	}
	return cfg, c.encrypt(cfg)
}

// encrypt puts the authority and the certificate of the configuration into the DSN's TLS settings.
func (c Config) encrypt(cfg *gomysql.Config) error {
	if c.CAFile == "" && c.ClientCert == "" {
		return nil
	}
	t := cfg.TLS
	if t == nil {
		host, _, err := net.SplitHostPort(cfg.Addr)
		if err != nil {
			host = cfg.Addr
		}
		t = &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return fmt.Errorf("ca_file: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return crm.Halted(fmt.Errorf("ca_file: %s holds no certificate in PEM form", c.CAFile))
		}
	}
	if c.ClientCert != "" {
		pair, err := tls.LoadX509KeyPair(c.ClientCert, c.ClientKey)
		if err != nil {
			return fmt.Errorf("client_cert: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	cfg.TLS, cfg.AllowFallbackToPlaintext = t, false
	return nil
}

// Writer writes to the tables of one database. It connects with the first Write.
type Writer struct{ *table.Server }

// New returns a Writer with as many connections as there are workers. Of s only Workers, OwnNumbers and Region matter. It connects to nothing.
func New(c Config, s crm.Settings) (Writer, error) {
	if err := c.Validate(); err != nil {
		return Writer{}, err
	}
	return Writer{table.NewServer(table.Dialect{
		Name: "mysql", Statements: &statements, Values: values, Newest: len(migrations),
		Connect: func(ctx context.Context) (driver.Conn, error) {
			cfg, err := c.settings()
			if err != nil {
				return nil, err
			}
			connector, err := gomysql.NewConnector(cfg)
			if err != nil {
				return nil, err
			}
			conn, err := connector.Connect(ctx)
			return conn, hush(err, cfg.Passwd)
		},
		Tx:      func(t *sql.Tx, prefix string) table.Tx { return tx{t, prefix} },
		Version: version, Migrate: migrate, Script: script, Look: look, Explain: explain, Again: again,
	}, c.Timeout, s)}, nil
}
