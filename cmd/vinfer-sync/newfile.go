package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
)

// serviceGroupName is the group that the packages and make install give the service.
const serviceGroupName = "vinfer-sync"

// mayWrite errs if a file must not be written to path.
func mayWrite(path string, force bool) error {
	if dir, err := os.Stat(filepath.Dir(path)); err != nil || !dir.IsDir() {
		return &exitError{exitLeft, fmt.Errorf("there is no directory %s: make it first", filepath.Dir(path))}
	}
	switch fi, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !fi.Mode().IsRegular():
		return &exitError{exitLeft, fmt.Errorf("%s exists and is not a file: name another one by --config", path)}
	case !force:
		return &exitError{exitLeft, fmt.Errorf("%s exists and stays as it is; --force replaces it, --config names another one", path)}
	}
	return nil
}

// writeNew gives a file its content as a whole: what stops it in between leaves no half of it. Unless it is to replace one, a file
// that has come up meanwhile stays.
func writeNew(path string, content []byte, replace bool) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err // without the name of the temporary file
		}
		return fmt.Errorf("%s cannot be written: %w; let this user write into %s, or name another place by --config", path, err, filepath.Dir(path))
	}
	defer func() {
		_ = f.Close() // nil or a second time
		_ = os.Remove(f.Name())
	}()
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := errors.Join(entrust(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	if replace {
		err = os.Rename(f.Name(), path)
	} else if err = os.Link(f.Name(), path); errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) {
		// A file system without links: mayWrite has looked a moment ago.
		err = os.Rename(f.Name(), path)
	}
	if errors.Is(err, fs.ErrExist) {
		return &exitError{exitLeft, fmt.Errorf("%s exists and stays as it is; --force replaces it", path)}
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// entrust lets the service read a file and nobody else: where root writes it and there is the service's group, that may.
func entrust(f *os.File) error {
	gid, ok := serviceGroup()
	if !ok {
		return f.Chmod(0o600)
	}
	if err := f.Chown(0, gid); err != nil {
		return err
	}
	return f.Chmod(0o640)
}

// serviceGroup returns the service's group; not ok: there is none, or only its members could give it a file.
func serviceGroup() (gid int, ok bool) {
	if os.Geteuid() != 0 {
		return 0, false
	}
	g, err := user.LookupGroup(serviceGroupName)
	if err != nil {
		return 0, false
	}
	gid, err = strconv.Atoi(g.Gid)
	return gid, err == nil
}

// word writes an argument so that a shell takes it as one.
func word(s string) string {
	special := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/._-+@:", r)
	}
	if s != "" && !strings.ContainsFunc(s, special) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func isDir(path string) bool {
	fi, err := os.Stat(path) //nolint:gosec // the operator, or systemd, names it
	return err == nil && fi.IsDir()
}

func isFile(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().IsRegular()
}
