//go:build !linux

package store

import "os"

// flush brings a file's content to the disk.
func flush(f *os.File) error { return f.Sync() }
