// Package files is what destinations that are a file have in common.
package files

import (
	"os"
	"path/filepath"
	"syscall"
)

// Target returns what a path names in the end, also where links lead to what is not there.
func Target(path string) (string, error) {
	for range 40 { // as many as Linux follows
		to, err := os.Readlink(path)
		if err != nil {
			return path, nil //nolint:nilerr // it is no link
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	return path, syscall.ELOOP
}

// ToBeMade describes a file that the first call will make.
func ToBeMade(path, target string) string {
	if path == target {
		return path + " will be made by the first call"
	}
	return path + " is a link to " + target + ", which will be made by the first call"
}
