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

// Absent tells that there is no store at path and has been none: its marker is not there, and neither is the file, or it is empty. Open makes one.
func Absent(path string) bool {
	path = target(path)
	if _, err := os.Lstat(markerPath(path)); !errors.Is(err, os.ErrNotExist) {
		return false
	}
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return true
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // only read
	empty, err := holdsNothing(f)
	return err == nil && empty
}

// target is the file that a path leads to: the marker is beside that.
func target(path string) string {
	if name, err := filepath.EvalSymlinks(path); err == nil {
		return name
	}
	return path
}

// lost is the error of a store that is not there any more, though its marker is; nil: there is no marker.
func lost(path string) error {
	marker := markerPath(path)
	if _, err := os.Lstat(marker); err != nil {
		return nil //nolint:nilerr // what is not there says nothing
	}
	return fmt.Errorf("%w: %s is missing or empty, but %s says that there was one. Restore it from a backup; "+
		"to begin again with an empty store, remove %s; calls may then be delivered again", store.ErrDamaged, path, marker, marker)
}

// broken is the error of a file whose structure is not that of a store.
func broken(path string, err error) error {
	return fmt.Errorf("%w: %s: %w. Restore it from a backup; if it is not this program's, set another path. "+
		"To begin again with an empty store, move it and %s away; calls may then be delivered again", store.ErrDamaged, path, err, filepath.Base(markerPath(path)))
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
