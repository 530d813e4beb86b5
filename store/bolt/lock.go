package bolt

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// mapSize is the address space taken for the file; it costs no memory.
const mapSize = 1 << (28 + 2*(^uint(0)>>63))

const lockEvery = 20 * time.Millisecond

// lockNamed locks a file until it is closed. again: meanwhile the name has come to stand for another file.
func lockNamed(f *os.File, name string, until time.Time) (again bool, err error) {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return false, fmt.Errorf("store: locking %s: %w", name, err)
		}
		if time.Now().After(until) {
			return false, fmt.Errorf("%w: %s%s", store.ErrLocked, name, holder(f))
		}
		<-time.After(lockEvery)
	}
	mine, err := f.Stat()
	if err != nil {
		return false, fmt.Errorf("store: %w", err)
	}
	named, err := os.Stat(name)
	if err != nil {
		return true, nil //nolint:nilerr // the name is gone or another file's: the lock is not on what others will open
	}
	return !os.SameFile(mine, named), nil
}

// renamed returns the file under the name that it has now, which errors are to tell: the same open file, locked as it was. f is closed.
func renamed(f *os.File, name string) (*os.File, error) {
	defer f.Close() //nolint:errcheck // the file stays open by its other descriptor
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// holder names the process that has locked a file, where the system tells.
func holder(f *os.File) string {
	st, err := f.Stat()
	if err != nil {
		return ""
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return ""
	}
	defer locks.Close() //nolint:errcheck // only read
	inode := ":" + strconv.FormatUint(sys.Ino, 10)
	for s := bufio.NewScanner(locks); s.Scan(); {
		// 1: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF
		col := strings.Fields(s.Text())
		if len(col) < 6 || col[1] != "FLOCK" || !strings.HasSuffix(col[5], inode) {
			continue
		}
		if pid, err := strconv.Atoi(col[4]); err == nil && pid > 0 {
			comm, _ := os.ReadFile("/proc/" + col[4] + "/comm")
			return fmt.Sprintf(" (process %d %s)", pid, strings.TrimSpace(string(comm)))
		}
	}
	return ""
}

// ownerAllows refuses to let root write where a service has its state: files of root would lock the service out.
func ownerAllows(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{path, filepath.Dir(path)} {
		st, err := os.Stat(name)
		if err != nil {
			continue
		}
		if sys, ok := st.Sys().(*syscall.Stat_t); ok && sys.Uid != 0 {
			who := strconv.FormatUint(uint64(sys.Uid), 10)
			if u, err := user.LookupId(who); err == nil {
				who = u.Username
			}
			return fmt.Errorf("store: %s belongs to user %s: run this as that user (runuser -u %s -- …); what root writes there would lock it out", name, who, who)
		}
	}
	return nil
}
