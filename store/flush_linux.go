package store

import (
	"os"
	"syscall"
)

// flush brings a file's content to the disk, without what it need not know to be read (its time of change).
func flush(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if err != syscall.EINTR { //nolint:errorlint // a system call's own answer
			return err
		}
	}
}
