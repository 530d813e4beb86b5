package bolt_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/store"
)

func TestModes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "state.db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{path: 0o600, path + ".id": 0o600, filepath.Dir(path): 0o700} {
		st, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", name, st.Mode().Perm(), want)
		}
	}
	if _, err := os.Stat(path + ".new"); err == nil {
		t.Error("the temporary file was left")
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	if st, _ := os.Stat(path); st.Mode().Perm() != 0o600 {
		t.Errorf("a mode that was widened stays %o", st.Mode().Perm())
	}
}

func TestMarker(t *testing.T) {
	t.Run("adopted", func(t *testing.T) {
		path, _ := filled(t)
		if err := os.Remove(path + ".id"); err != nil {
			t.Fatal(err)
		}
		if err := open(t, path).Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path + ".id"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("without a store", func(t *testing.T) {
		path, _ := filled(t)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		mentions(t, refused(t, path, store.ErrDamaged), path, path+".id", "backup")
		if _, err := os.Stat(path); err == nil {
			t.Fatal("a file was made")
		}
		for _, b := range [][]byte{{}, make([]byte, 40_000)} {
			write(t, path, b)
			mentions(t, refused(t, path, store.ErrDamaged), path+".id")
		}
	})
	t.Run("of another store", func(t *testing.T) {
		path, _ := filled(t)
		_, other := filled(t)
		write(t, path, other)
		mentions(t, refused(t, path, store.ErrDamaged), path+".id")
	})
	t.Run("empty file, no marker", func(t *testing.T) {
		for _, b := range [][]byte{{}, make([]byte, 16384)} {
			path := filepath.Join(t.TempDir(), "state.db")
			write(t, path, b)
			if err := open(t, path).Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("unfinished making", func(t *testing.T) {
		path, b := filled(t)
		fresh := filepath.Join(t.TempDir(), "state.db")
		write(t, fresh+".new", b[:5000])
		write(t, fresh+".id.new", []byte("x"))
		if err := open(t, fresh).Close(); err != nil {
			t.Fatal(err)
		}
		_ = path
	})
}
