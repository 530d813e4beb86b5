// Package records keeps the state of a pipeline as records in ordered buckets, and does with them all that store.Store says. Packages bolt and
// postgres give it transactions, so that a rule of the pipeline is written once and holds in both.
//
// Values are sealed with a checksum that their key is part of (codec.go), keys are laid out in keys.go, buckets are listed in txn.go.
package records

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Engine runs transactions.
type Engine struct {
	// View runs fn in a transaction that sees one state and changes nothing.
	View func(fn func(tx Tx) error) error
	// Update runs fn in a transaction of its own and commits that if fn changed something. fn may run more than once, each time in a new
	// transaction. Where it was the commit that failed, the error is a *CommitError.
	Update func(fn func(tx Tx) (changed bool, err error)) error
}

// CommitError reports a commit that failed although its changes could be made.
type CommitError struct{ Err error }

func (e *CommitError) Error() string { return e.Err.Error() }

// Unwrap returns why.
func (e *CommitError) Unwrap() error { return e.Err }

// Tx is a transaction. What it returns is valid until its end, and must not be changed.
type Tx interface {
	Bucket(name string) Bucket
	// Generations lists the generations of a bucket that has some, newest first.
	Generations(bucket string) []uint64
	// Generation returns one of them; nil if it is not there.
	Generation(bucket string, g uint64) Bucket
	// NewGeneration makes one.
	NewGeneration(bucket string, g uint64) (Bucket, error)
	// DropGeneration deletes one with all that it holds.
	DropGeneration(bucket string, g uint64) error
	// Expect tells what is about to be read. An engine whose reads take a round trip each calls needs and reads it all at once.
	Expect(needs func() []Need)
}

// Need is what is about to be read of a bucket; of one with generations, in each of them.
type Need struct {
	Bucket string
	Key    []byte
	First  int // not 0: the first so many of the keys that Key is a prefix of
}

// Bucket is an ordered set of keys and their values. Where reading fails there is nothing, and the transaction fails.
type Bucket interface {
	Get(key []byte) []byte
	Put(key, value []byte) error
	Delete(key []byte) error
	// NextSequence returns a number that it has not returned before.
	NextSequence() (uint64, error)
	// Sequence returns the number that was returned last, SetSequence makes another one that.
	Sequence() uint64
	SetSequence(n uint64) error
	Cursor() Cursor
	// Within returns a cursor that goes through the keys with a prefix alone: an engine then reads nothing beyond.
	Within(prefix []byte) Walk
}

// Walk goes forward through some keys of a bucket in their order. At the end the key is nil.
type Walk interface {
	Next() (key, value []byte)
	Seek(to []byte) (key, value []byte) // to the first key that is not before it
}

// Cursor goes through the keys of a bucket in their order. At the end the key is nil.
type Cursor interface {
	First() (key, value []byte)
	Last() (key, value []byte)
	Next() (key, value []byte)
	Prev() (key, value []byte)
	Seek(to []byte) (key, value []byte) // to the first key that is not before it
}

// errReadOnly is what a store answers to a change that was opened to be read.
var errReadOnly = errors.New("the store is open for reading only")

// ErrClosed is what a closed store answers.
var ErrClosed = errors.New("the store is closed")

// DB is a store of records. It has the methods of store.Store but Close.
type DB struct {
	engine Engine
	queue  *committer // nil: it is read only
}

// New returns the store whose transactions an engine runs.
func New(e Engine) *DB {
	d := &DB{engine: e}
	d.queue = newCommitter(d)
	return d
}

// NewReadOnly is New for a store that is only read.
func NewReadOnly(e Engine) *DB { return &DB{engine: e} }

// Drain waits for the changes that are queued, and refuses others.
func (d *DB) Drain() {
	if d.queue != nil {
		d.queue.Close()
	}
}

// Queued returns how many changes wait for the next shared transaction.
func (d *DB) Queued() int { return d.queue.Queued() }

// view runs fn in a read transaction.
func (d *DB) view(fn func(t *txn) error) error {
	return d.engine.View(func(tx Tx) error { return fn(&txn{tx: tx}) })
}

// update runs fn in a write transaction and commits what fn changed. Nothing is written if fn changed nothing.
func (d *DB) update(fn func(t *txn) error) error {
	if d.queue == nil {
		return errReadOnly
	}
	return d.engine.Update(func(tx Tx) (bool, error) {
		t := &txn{tx: tx}
		err := fn(t)
		if err == nil {
			err = t.flush()
		}
		return t.changed, err
	})
}

// Layout is the version of the layout of the records.
const Layout = 5

// Keys of the meta bucket besides the state.
var (
	keyInstall = []byte("install")
	keySalt    = []byte("salt")
	keySchema  = []byte("schema")
)

// Create fills a new store, whose buckets are there (see Buckets), and returns what tells it from others.
func Create(tx Tx) (install string, err error) {
	random := make([]byte, 48)
	if _, err := io.ReadFull(rand.Reader, random); err != nil {
		return "", err
	}
	install = hex.EncodeToString(random[:16])
	m := tx.Bucket(bucketMeta)
	for k, v := range map[string][]byte{
		string(keyInstall): []byte(install),
		string(keySalt):    random[16:],
		string(keySchema):  []byte(strconv.Itoa(Layout)),
		string(keyState):   (&metaRec{nextDest: 1}).encode(keyState),
	} {
		if err := m.Put([]byte(k), v); err != nil {
			return "", err
		}
	}
	return install, nil
}

// ErrForeign is what Identify errs with where it finds nothing of this program.
var ErrForeign = errors.New("it is not a store of this program")

// Identify tells what tells a store from others, and the version of its layout. It errs with store.ErrMoved if the state is elsewhere.
func Identify(tx Tx) (install string, layout int, err error) {
	m := tx.Bucket(bucketMeta)
	if m == nil || len(m.Get(keyInstall)) == 0 {
		return "", 0, ErrForeign
	}
	if layout, err = strconv.Atoi(string(m.Get(keySchema))); err != nil || len(m.Get(keySalt)) == 0 {
		return "", 0, fmt.Errorf("the bucket %s cannot be read", bucketMeta)
	}
	return string(m.Get(keyInstall)), layout, moved(m)
}
