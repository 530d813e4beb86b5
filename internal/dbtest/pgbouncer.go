package dbtest

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Pgbouncer starts pgbouncer in transaction mode before the server, with few connections for many clients, and returns its port. It ends with the test.
func Pgbouncer(t testing.TB, user, password, database string) (port int) {
	t.Helper()
	program, err := find("pgbouncer", "/usr/sbin")
	if err != nil {
		t.Fatalf("%v: apt-get install pgbouncer", err)
	}
	server := Postgres(t)
	s, err := begin(func(dir string) ([]string, error) {
		return []string{"mkdir", dir}, nil
	}, func(dir string, port int) []string {
		users := filepath.Join(filepath.Dir(dir), "users")
		settings := fmt.Sprintf("[databases]\n%s = host=127.0.0.1 port=%d\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\n"+
			"auth_type = plain\nauth_file = %s\npool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = 100\n", database, server.Port, port, users)
		file := filepath.Join(filepath.Dir(dir), "pgbouncer.ini")
		for path, text := range map[string]string{users: fmt.Sprintf("%q %q\n", user, password), file: settings} {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // it is read as another user
				t.Fatal(err)
			}
		}
		return []string{program, file}
	}, func(ctx context.Context, port int) error {
		db, err := sql.Open("pgx", PostgresDSN(port, user, password, database)+"&default_query_exec_mode=exec")
		if err != nil {
			return err
		}
		defer func() { _ = db.Close() }()
		return db.PingContext(ctx)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Kill()
		_ = os.RemoveAll(s.dir)
	})
	return s.Port
}
