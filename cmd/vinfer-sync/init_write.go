package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

// serviceUser is the user that the packages and make install give the service, and its group.
const serviceUser = "vinfer-sync"

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
		return &exitError{exitLeft, fmt.Errorf("%s is there and is no file: name another one by --config", path)}
	case !force:
		return &exitError{exitLeft, fmt.Errorf("%s is there already and stays as it is; --force replaces it, --config names another one", path)}
	}
	return nil
}

// writeNew gives a file its content as a whole: what stops it in between leaves no half of it. Unless it is to replace one, a file
// that has come up meanwhile stays.
func writeNew(path string, content []byte, mode fs.FileMode, replace bool) (err error) {
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
	if err := errors.Join(entrust(f, mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	if replace {
		err = os.Rename(f.Name(), path)
	} else if err = os.Link(f.Name(), path); errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) {
		// A file system without links: mayWrite has looked a moment ago.
		err = os.Rename(f.Name(), path)
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

// entrust gives a file its mode and, where root writes it and there is the service's user, lets the service read it: what only its
// owner may read becomes the service's.
func entrust(f *os.File, mode fs.FileMode) error {
	if uid, gid, ok := serviceIDs(); ok {
		if mode&0o070 != 0 {
			uid = 0
		}
		if err := f.Chown(uid, gid); err != nil {
			return err
		}
	}
	return f.Chmod(mode)
}

// serviceIDs returns the service's user and group; not ok: there is none, or only that user itself could be given a file.
func serviceIDs() (uid, gid int, ok bool) {
	if os.Geteuid() != 0 {
		return 0, 0, false
	}
	u, err := user.Lookup(serviceUser)
	if err != nil {
		return 0, 0, false
	}
	uid, uidErr := strconv.Atoi(u.Uid)
	gid, gidErr := strconv.Atoi(u.Gid)
	return uid, gid, uidErr == nil && gidErr == nil
}
