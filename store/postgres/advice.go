package postgres

import (
	"context"
	"fmt"
	"time"
)

// oldTransaction is how long a transaction may keep VACUUM from its work before somebody should look.
const oldTransaction = time.Hour

// Advice looks at the server's settings and returns what would better be changed. The server need not know all of them.
func (d *DB) Advice(ctx context.Context) (advice []string, err error) {
	var idle, oldest, slots int64
	b := &batch{}
	b.add(func(rows [][][]byte) error {
		idle, oldest, slots = number(rows[0][0]), number(rows[0][1]), number(rows[0][2])
		return nil
	}, `SELECT extract(epoch FROM current_setting('idle_in_transaction_session_timeout')::interval)::bigint,
(SELECT coalesce(extract(epoch FROM max(now() - xact_start)), 0)::bigint FROM pg_stat_activity WHERE backend_xmin IS NOT NULL),
(SELECT count(*) FROM pg_replication_slots WHERE NOT active)`)
	err = d.once(ctx, b)
	if err != nil {
		return nil, err
	}
	if idle == 0 {
		advice = append(advice, "a connection that hangs in a transaction is never ended: ALTER ROLE ... SET idle_in_transaction_session_timeout = '10s'")
	}
	if age := time.Duration(oldest) * time.Second; age > oldTransaction {
		advice = append(advice, fmt.Sprintf("a transaction is %s old, and VACUUM removes nothing that is younger: see pg_stat_activity", age))
	}
	if slots > 0 {
		advice = append(advice, fmt.Sprintf("%d replication slots have no reader, and keep WAL and dead rows: see pg_replication_slots", slots))
	}
	return advice, nil
}
