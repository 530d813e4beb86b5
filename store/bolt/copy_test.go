package bolt_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/bolt"
)

// What is done with a copy leaves the file as it is, and the copy has no name by which anybody could find it, from the beginning on.
func TestCopyHasNoName(t *testing.T) {
	path, b := filled(t)
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	for _, from := range []string{path, filepath.Join(t.TempDir(), "none.db")} {
		d, err := bolt.OpenCopy(from, bolt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("there is %v while the copy is open", left)
		}
		if err := begin(d); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Ingest(pageOf(300, call("copied", 300))); err != nil {
			t.Fatal(err)
		}
		if p, err := d.Preview([]store.Page{pageOf(301, call("seen", 301))}, 10); err != nil || p.New != 1 {
			t.Fatalf("%+v, %v", p, err)
		}
		if err := d.Check(); err != nil {
			t.Error(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("there is %v when it is closed", left)
		}
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, b) {
		t.Errorf("the file changed, %v", err)
	}
	t.Setenv("TMPDIR", filepath.Join(dir, "none"))
	_, err := bolt.OpenCopy(path, bolt.Options{})
	if err == nil {
		t.Fatal("a copy was made nowhere")
	}
	mentions(t, err.Error(), "TMPDIR")
}
