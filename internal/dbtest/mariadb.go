package dbtest

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	_ "github.com/go-sql-driver/mysql" // the driver "mysql"
)

var mariadbServer one

// MariaDB returns the MariaDB server that the tests of this process share.
func MariaDB(t testing.TB) *Server {
	t.Helper()
	return mariadbServer.get(t, func() (*Server, error) {
		install, err := find("mariadb-install-db", "/usr/bin", "/usr/scripts")
		if err != nil {
			return nil, fmt.Errorf("%w: apt-get install mariadb-server", err)
		}
		mariadbd, err := find("mariadbd", "/usr/sbin", "/usr/libexec")
		if err != nil {
			return nil, err
		}
		return begin(func(dir string) ([]string, error) {
			return []string{install, "--no-defaults", "--datadir=" + dir, "--auth-root-authentication-method=normal", "--skip-test-db"}, nil
		}, func(dir string, port int) []string {
			return []string{
				mariadbd, "--no-defaults", "--datadir=" + dir, "--bind-address=127.0.0.1", "--port=" + fmt.Sprint(port),
				"--socket=" + filepath.Join(filepath.Dir(dir), "sock"), "--skip-name-resolve",
				"--ssl-cert=" + filepath.Join(filepath.Dir(dir), "cert.pem"), "--ssl-key=" + filepath.Join(filepath.Dir(dir), "key.pem"), "--innodb-flush-log-at-trx-commit=2",
				"--innodb-buffer-pool-size=32M", "--max-connections=200",
			}
		}, func(ctx context.Context, port int) error {
			db, err := sql.Open("mysql", MariaDBDSN(port, "root", "", "mysql"))
			if err != nil {
				return err
			}
			defer func() { _ = db.Close() }()
			return db.PingContext(ctx)
		})
	})
}

// MariaDBDSN returns how a user connects to a database. root has no password.
func MariaDBDSN(port int, user, password, database string) string {
	return fmt.Sprintf("%s:%s@tcp(127.0.0.1:%d)/%s", user, password, port, database)
}

// NewMariaDB makes a database and returns its name, a DSN of a user who may do everything in it, and a connection pool of root.
func NewMariaDB(t testing.TB) (name, dsn string, super *sql.DB) {
	t.Helper()
	s := MariaDB(t)
	name = s.name()
	root := openPool(t, "mysql", MariaDBDSN(s.Port, "root", "", "mysql"))
	mustExec(t, root, "CREATE DATABASE "+name+" CHARACTER SET utf8mb4", "CREATE USER "+name+"@'127.0.0.1' IDENTIFIED BY 'geheim-"+name+"'",
		"GRANT ALL ON "+name+".* TO "+name+"@'127.0.0.1'")
	return name, MariaDBDSN(s.Port, name, "geheim-"+name, name),
		openPool(t, "mysql", MariaDBDSN(s.Port, "root", "", name)+"?parseTime=true")
}
