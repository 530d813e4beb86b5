package bolt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// The marker beside the state file says that there is one, and which. A file that is lost or swapped is found out by it: an empty one in
// its place would begin anew without a word. It is written after the database holds its id: a kill in between leaves a store
// without a marker, which is adopted.

func markerPath(path string) string { return path + ".id" }

// Absent tells that there is no store at path and has been none: neither it nor its marker is there.
func Absent(path string) bool {
	for _, name := range []string{path, markerPath(path)} {
		if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
			return false
		}
	}
	return true
}

// checkMarker compares the marker with the store's id and writes it if there is none.
func checkMarker(path, install string) error {
	name := markerPath(path)
	b, err := os.ReadFile(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return writeMarker(name, install)
	case err != nil:
		return fmt.Errorf("store: %w", err)
	case strings.TrimSpace(string(b)) != install:
		return fmt.Errorf("%w: %s is not the store that %s was written for. Put the right file in its place; if this one is right (a restored backup), remove %s",
			store.ErrDamaged, path, name, name)
	}
	return nil
}

func writeMarker(name, install string) error {
	temporary := name + ".new"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	_, err = f.WriteString(install + "\n")
	if serr := f.Sync(); err == nil {
		err = serr
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(temporary, name)
	}
	if err != nil {
		_ = os.Remove(temporary)
		return fmt.Errorf("store: %w", err)
	}
	return syncDir(filepath.Dir(name))
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	err = f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}
