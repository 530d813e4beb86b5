package mysql

import (
	"database/sql/driver"
	"errors"

	gomysql "github.com/go-sql-driver/mysql"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/mask"
)

var errReadOnly = errors.New("the server takes no writes: it is a replica, or read-only; name the primary in the dsn")

// again tells whether nothing has been done: another transaction was the reason (a deadlock, the same new row at the same
// moment), or the connection was dead before anything was sent.
func again(err error) bool {
	if errors.Is(err, driver.ErrBadConn) {
		return true
	}
	var me *gomysql.MySQLError
	return errors.As(err, &me) && (me.Number == 1213 || me.Number == 1020 || me.Number == 1062)
}

// hush takes the password out of what a server, or what stands in its place, says to it.
func hush(err error, password string) error {
	var me *gomysql.MySQLError
	if errors.As(err, &me) {
		me.Message = mask.Text(me.Message, password)
	}
	return err
}

// explain gives an error its verdict, by its number: https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html and
// https://mariadb.com/kb/en/mariadb-error-codes/
func explain(err error) error {
	if errors.Is(err, gomysql.ErrPktTooLarge) {
		return crm.Rejected(errors.New("the call is larger than max_allowed_packet"), shape)
	}
	if errors.Is(err, gomysql.ErrInvalidConn) {
		return errors.New("the server ended the connection")
	}
	var me *gomysql.MySQLError
	if !errors.As(err, &me) {
		return errors.New(mask.Words([]byte(err.Error())))
	}
	// The server quotes values.
	said := mask.Words([]byte(me.Error()))
	switch me.Number {
	case 1290, 1792, 1836, 3100: // --read-only, a read-only transaction, or mode
		return errReadOnly
	case 1044, 1045, 1698, 1130, 1129, 1251, 1275, 1396, 1820, 1862, 3118, 4151:
		return crm.Halted(errors.New(said + ": correct the user, the password or what the user may, then resume"))
	case 1142, 1143, 1227, 1370, 1410:
		return crm.Halted(errors.New(said + ": grant it to the user, or run what setup --dry-run prints as a user who may; then resume"))
	case 1049:
		return crm.Halted(errors.New(said + ": make the database, or name another in the dsn; then resume"))
	case 1054, 1146, 1305, 1356, 1364:
		return crm.Halted(errors.New(said + ": the tables are not as this program made them: undo what was changed, then resume"))
	case 1193, 1231:
		return crm.Halted(errors.New(said + ": correct the dsn, then resume"))
	case 1021, 1114, 3675:
		return errors.New(said + ": the server's disk is full")
	case 1048, 1062, 1118, 1153, 1264, 1265, 1292, 1366, 1406, 1451, 1452, 1644, 3140, 3819, 4025:
		return crm.Rejected(errors.New(said), shape)
	}
	return errors.New(said)
}

const shape = "rows of contacts, calls, notes, tasks"
