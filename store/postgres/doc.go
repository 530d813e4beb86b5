// Package postgres keeps the state of pipelines in a PostgreSQL database, so that it outlives the machine: one node runs a pipeline under a lease,
// the others stand by.
//
// What is kept, and by which rules, is package records, as in the state file. Each bucket of records is a table of keys and values (schema.go). A
// transaction reads what it needs together (txn.go), decides in memory, and sends all that it changes, COMMIT included, in one round trip, so that a
// node that is stopped in the middle holds no lock. The first statement of that is the fence: it fails unless this node still leads and nothing was
// written since the transaction read (commit.go). The lease itself is a row of its own (lease.go).
//
// Only what poolers in transaction mode, CockroachDB and YugabyteDB also take is used: no prepared statements, no session state, no advisory locks.
package postgres
