package postgres

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// batch is statements that are sent together. Parameters and results are binary, with their types named: nothing is prepared.
type batch struct {
	statements []statement
}

type statement struct {
	sql  string // {s} stands for the schema, {p} for the number of the pipeline
	args []arg
	rows func(rows [][][]byte) error // nil: there are none
}

// arg is a parameter of one of the few types that are needed.
type arg struct {
	oid   uint32
	value []byte
}

const (
	oidBytea      = 17
	oidBigint     = 20
	oidText       = 25
	oidByteaArray = 1001
)

func bytea(v []byte) arg { return arg{oidBytea, v} }
func text(v string) arg  { return arg{oidText, []byte(v)} }
func bigint(v int64) arg { return arg{oidBigint, binary.BigEndian.AppendUint64(nil, uint64(v))} }

func byteas(list [][]byte) arg {
	size := 20
	for _, v := range list {
		size += 4 + len(v)
	}
	b := make([]byte, 0, size)
	dimensions := uint32(1)
	if len(list) == 0 {
		dimensions = 0
	}
	for _, v := range []uint32{dimensions, 0, oidBytea} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	if len(list) > 0 {
		b = binary.BigEndian.AppendUint32(b, uint32(len(list)))
		b = binary.BigEndian.AppendUint32(b, 1)
	}
	for _, v := range list {
		b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
		b = append(b, v...)
	}
	return arg{oidByteaArray, b}
}

func number(v []byte) int64 {
	if len(v) != 8 {
		return 0
	}
	return int64(binary.BigEndian.Uint64(v))
}

func (b *batch) len() int { return len(b.statements) }

func (b *batch) add(rows func([][][]byte) error, sql string, args ...arg) {
	b.statements = append(b.statements, statement{sql, args, rows})
}

// pipelineRow is the fence of a pipeline.
type pipelineRow struct {
	there      bool
	epoch, rev int64
	lastTx     []byte
}

func (b *batch) readPipeline(p *pipelineRow) {
	b.add(func(rows [][][]byte) error {
		*p = pipelineRow{there: len(rows) == 1}
		if p.there {
			p.epoch, p.rev, p.lastTx = number(rows[0][0]), number(rows[0][1]), rows[0][2]
		}
		return nil
	}, "SELECT epoch, rev, last_tx FROM {s}.pipelines WHERE id = {p}")
}

func entries(f func([]entry)) func([][][]byte) error {
	return func(rows [][][]byte) error {
		list := make([]entry, len(rows))
		for i, r := range rows {
			list[i] = entry{key: r[0], value: r[1]}
		}
		f(list)
		return nil
	}
}

// readRange reads up to n entries of a range, from its beginning or its end.
func (b *batch) readRange(table string, s span, n int, backwards bool, f func([]entry)) {
	sql := "SELECT key, value FROM {s}." + table + " WHERE pipeline = {p} AND key >= $1::bytea"
	args := []arg{bytea(s.from), bigint(int64(n))}
	if s.to != nil {
		sql += " AND key < $3::bytea"
		args = append(args, bytea(s.to))
	}
	sql += " ORDER BY key"
	if backwards {
		sql += " DESC"
	}
	b.add(entries(f), sql+" LIMIT $2::bigint", args...)
}

// readRanges reads up to n entries of each range.
func (b *batch) readRanges(table string, spans []span, n int, f func([]entry)) {
	from, to := make([][]byte, len(spans)), make([][]byte, len(spans))
	for i, s := range spans {
		from[i], to[i] = s.from, s.to
		if s.to == nil {
			to[i] = bytes.Repeat([]byte{0xff}, len(s.from)+1)
		}
	}
	b.add(entries(f), `SELECT r.key, r.value FROM unnest($1::bytea[], $2::bytea[]) AS s(a, b) CROSS JOIN LATERAL
(SELECT key, value FROM {s}.`+table+` WHERE pipeline = {p} AND key >= s.a AND key < s.b ORDER BY key LIMIT $3::bigint) r`,
		byteas(from), byteas(to), bigint(int64(n)))
}

func (b *batch) readKeys(table string, keys [][]byte, f func([]entry)) {
	b.add(entries(f), "SELECT key, value FROM {s}."+table+" WHERE pipeline = {p} AND key = ANY($1::bytea[])", byteas(keys))
}

func (b *batch) put(table string, keys, values [][]byte) {
	b.add(nil, `INSERT INTO {s}.`+table+` (pipeline, key, value) SELECT {p}, u.key, u.value FROM unnest($1::bytea[], $2::bytea[]) AS u(key, value)
ON CONFLICT (pipeline, key) DO UPDATE SET value = excluded.value`, byteas(keys), byteas(values))
}

func (b *batch) delete(table string, keys [][]byte) {
	b.add(nil, "DELETE FROM {s}."+table+" WHERE pipeline = {p} AND key = ANY($1::bytea[])", byteas(keys))
}

func (b *batch) deleteRange(table string, s span) {
	b.add(nil, "DELETE FROM {s}."+table+" WHERE pipeline = {p} AND key >= $1::bytea AND key < $2::bytea", bytea(s.from), bytea(s.to))
}

// pgBatch returns the statements as the driver sends them.
func (b *batch) pgBatch(names *strings.Replacer) *pgconn.Batch {
	p := &pgconn.Batch{}
	for _, s := range b.statements {
		values, oids, formats := make([][]byte, len(s.args)), make([]uint32, len(s.args)), make([]int16, len(s.args))
		for i, a := range s.args {
			values[i], oids[i], formats[i] = a.value, a.oid, 1
			if a.value == nil {
				values[i] = []byte{}
			}
		}
		p.ExecParams(names.Replace(s.sql), values, oids, formats, []int16{1})
	}
	return p
}

// results hands the rows to the statements.
func (b *batch) results(r *pgconn.MultiResultReader) error {
	for i := 0; r.NextResult(); i++ {
		var rows [][][]byte
		rr := r.ResultReader()
		for rr.NextRow() {
			row := make([][]byte, 0, 3)
			for _, v := range rr.Values() {
				if v != nil {
					v = append([]byte{}, v...)
				}
				row = append(row, v)
			}
			rows = append(rows, row)
		}
		if _, err := rr.Close(); err != nil {
			_ = r.Close()
			return err
		}
		if i < len(b.statements) && b.statements[i].rows != nil {
			if err := b.statements[i].rows(rows); err != nil {
				_ = r.Close()
				return fmt.Errorf("reading the answer: %w", err)
			}
		}
	}
	return r.Close()
}
