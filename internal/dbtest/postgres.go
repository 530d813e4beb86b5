package dbtest

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

var postgresServer one

// Postgres returns the PostgreSQL server that the tests of this process share.
func Postgres(t testing.TB) *Server {
	t.Helper()
	return postgresServer.get(t, func() (*Server, error) {
		const place = "/usr/lib/postgresql/*/bin"
		initdb, err := find("initdb", place)
		if err != nil {
			return nil, fmt.Errorf("%w: apt-get install postgresql", err)
		}
		postgres, err := find("postgres", place)
		if err != nil {
			return nil, err
		}
		return begin(func(dir string) ([]string, error) {
			pw := dir + ".pw"
			err := os.WriteFile(pw, []byte(rootPassword), 0o644) //nolint:gosec // it is read as another user
			return []string{initdb, "-D", dir, "-U", "root", "-A", "scram-sha-256", "--pwfile", pw, "-E", "UTF8", "--locale=C.UTF-8", "-N"}, err
		}, func(dir string, port int) []string {
			return []string{
				postgres, "-D", dir, "-h", "127.0.0.1", "-p", fmt.Sprint(port), "-k", "", "-c", "fsync=off",
				"-c", "ssl=on", "-c", "ssl_cert_file=" + filepath.Join(filepath.Dir(dir), "cert.pem"), "-c", "ssl_key_file=" + filepath.Join(filepath.Dir(dir), "key.pem"),
				"-c", "max_connections=500", "-c", "shared_buffers=16MB",
			}
		}, func(ctx context.Context, port int) error {
			db, err := sql.Open("pgx", PostgresDSN(port, "root", rootPassword, "postgres"))
			if err != nil {
				return err
			}
			defer func() { _ = db.Close() }()
			return db.PingContext(ctx)
		})
	})
}

const rootPassword = "the-root-of-the-test"

// PostgresDSN returns how a user connects to a database.
func PostgresDSN(port int, user, password, database string) string {
	return fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s?sslmode=disable", user, password, port, database)
}

// NewPostgres makes a database and returns its name, a DSN of its owner, and a connection pool of the superuser.
func NewPostgres(t testing.TB) (name, dsn string, super *sql.DB) {
	t.Helper()
	s := Postgres(t)
	name = s.name()
	root := openPool(t, "pgx", PostgresDSN(s.Port, "root", rootPassword, "postgres"))
	mustExec(t, root, "CREATE ROLE "+name+" LOGIN PASSWORD 'geheim-"+name+"'", "CREATE DATABASE "+name+" OWNER "+name)
	return name, PostgresDSN(s.Port, name, "geheim-"+name, name),
		openPool(t, "pgx", PostgresDSN(s.Port, "root", rootPassword, name))
}

func openPool(t testing.TB, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func mustExec(t testing.TB, db *sql.DB, queries ...string) {
	t.Helper()
	for _, q := range queries {
		if _, err := db.Exec(q); err != nil { //nolint:noctx // a test waits for it
			t.Fatalf("%s: %v", q, err)
		}
	}
}
