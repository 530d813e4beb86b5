package bench

import (
	"syscall"
	"time"
)

// hold waits by a timer of the kernel: those of the runtime are late by up to a millisecond, which would be counted as the sender's.
func hold(d time.Duration) {
	left := syscall.NsecToTimespec(d.Nanoseconds())
	for syscall.Nanosleep(&left, &left) == syscall.EINTR { //nolint:errorlint // an Errno is compared as it is
	}
}
