//go:build external

package mysql_test

import (
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/internal/dbtest"
)

func TestTables(t *testing.T) {
	crmtest.RunTables(t, func(t *testing.T) crmtest.Database {
		_, dsn, db := dbtest.NewMariaDB(t)
		return crmtest.Database{
			Open: func(t *testing.T) crm.Writer { return open(t, dsn) }, DB: db,
			Time: `DATE_FORMAT(due_at, '%Y-%m-%dT%H:%i:%s')`,
		}
	})
}

func TestKill(t *testing.T) {
	_, dsn, db := dbtest.NewMariaDB(t)
	crmtest.Kills(t, 15, dsn, nil, func() crmtest.State { return state(t, db) })
}
