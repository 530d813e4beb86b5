package bolt_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/bolt"
	"github.com/vinfer-sync/vinfer-sync/store/storetest"
)

// childMode names, in the environment, what a child process does instead of testing; childPath the store.
const (
	childMode = "STORE_TEST_CHILD"
	childPath = "STORE_TEST_PATH"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(childMode); mode != "" {
		if err := children[mode](os.Getenv(childPath)); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func open(t testing.TB, path string) *bolt.DB {
	t.Helper()
	d, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// checked is a store that is checked whenever it is closed.
type checked struct {
	*bolt.DB
	t *testing.T
}

func (c checked) Close() error {
	if err := c.Check(); err != nil {
		c.t.Error(err)
	}
	return c.DB.Close()
}

func TestSuite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Factory {
		path := filepath.Join(t.TempDir(), "state.db")
		return func(t *testing.T) store.Store { return checked{open(t, path), t} }
	})
}

var (
	spec = []store.DestSpec{{Name: "crm", Kind: "hubspot"}, {Name: "hook", Kind: "webhook", AppendOnly: true}}
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// begin gives a new store its first cursor and destinations.
func begin(d store.Store) error {
	_, err := d.Begin(noon, spec)
	return err
}

// call is a call of a contact of its own for both destinations.
func call(id string, n int) store.Row {
	r := store.Row{
		ID: id, When: noon.Add(time.Duration(n) * time.Second), Body: fmt.Appendf(nil, `{"id":%q,"text":"%0200d"}`, id, n),
		Fields: []store.Field{{Tag: 1, Hash: uint32(n)}}, Targets: []store.Target{{Dest: "crm"}, {Dest: "hook"}},
	}
	copy(r.Lane[:], id)
	return r
}

// pageOf is a page whose window is closed.
func pageOf(n int, rows ...store.Row) store.Page {
	at := noon.Add(time.Duration(n+1) * time.Second)
	return store.Page{Stream: store.LiveStream, At: at, Rows: rows, Close: &store.Interval{From: noon, To: at}}
}
