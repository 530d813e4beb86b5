package jsonl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

const (
	opening  = `{"event":"` // how each of our lines begins
	tailSize = 1 << 20      // how far back keys are read from a file that was there before
	lockWait = 2 * time.Second
)

// file is the open file. Only the committer's goroutine uses it.
type file struct {
	path   string
	f      *os.File
	size   int64 // as we left it; another size means that others were at the file
	recent *keys // written by us or found in the file
}

// append writes the records as whole lines, or none of them.
func (w *file) append(records []*record) []error {
	if err := w.write(records); err != nil {
		errs := make([]error, len(records))
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	return nil
}

func (w *file) write(records []*record) error {
	if err := w.current(); err != nil {
		return err
	}
	if err := lock(w.f); err != nil {
		return fmt.Errorf("lock %s: %w", w.path, err)
	}
	defer func() { _ = syscall.Flock(int(w.f.Fd()), syscall.LOCK_UN) }()
	if err := w.inspect(); err != nil {
		return err
	}
	var b []byte
	fresh := make([]string, 0, len(records))
	for _, r := range records {
		if !w.recent.has(r.key) && !slices.Contains(fresh, r.key) {
			b, fresh = append(b, r.line...), append(fresh, r.key)
		}
	}
	if len(b) == 0 {
		return nil
	}
	begin := w.size
	n, err := w.f.Write(b)
	w.size += int64(n)
	if err == nil {
		err = w.f.Sync()
	}
	if err != nil {
		// None of the lines is acknowledged, so none may stay: the same ones come again.
		w.cut(begin)
		return fmt.Errorf("append to %s: %w", w.path, cause(err))
	}
	for _, key := range fresh {
		w.recent.add(key)
	}
	return nil
}

// current makes sure that the open file is the one that the path names.
func (w *file) current() error {
	if w.f != nil {
		open, err := w.f.Stat()
		if err == nil {
			if now, err := os.Stat(w.path); err == nil && os.SameFile(open, now) {
				return nil
			}
		}
		_ = w.close()
	}
	f, err := os.OpenFile(w.path, os.O_RDWR|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return fmt.Errorf("open %s: %w", w.path, cause(err))
	}
	if err := ours(f, w.path); err != nil {
		_ = f.Close()
		return err
	}
	// A new file's name must be on the disk before the first line in it is acknowledged.
	if dir, err := os.Open(filepath.Dir(w.path)); err == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
	w.f, w.size = f, -1
	return nil
}

// inspect looks at the end of a file that is not as we left it: new to us, cut by a rotation, or longer by what another process, or
// a failed write of ours, put there.
func (w *file) inspect() error {
	info, err := w.f.Stat()
	if err != nil {
		return fmt.Errorf("look at %s: %w", w.path, cause(err))
	}
	if info.Size() == w.size {
		return nil
	}
	tail, err := w.tail(info.Size())
	if err != nil {
		return fmt.Errorf("read %s: %w", w.path, cause(err))
	}
	whole := tail[:bytes.LastIndexByte(tail, '\n')+1]
	if torn := tail[len(whole):]; len(torn) > 0 {
		if err := w.mend(info.Size(), torn); err != nil {
			return err
		}
		if info, err = w.f.Stat(); err != nil {
			return fmt.Errorf("look at %s: %w", w.path, cause(err))
		}
	}
	// The keys found here count as written, so their lines must be on the disk.
	if err := w.f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", w.path, cause(err))
	}
	w.recent.read(tail)
	w.size = info.Size()
	return nil
}

// tail returns the last MiB of the file, or more: at least one line break, if there is one.
func (w *file) tail(size int64) ([]byte, error) {
	for n := int64(tailSize); ; n *= 4 {
		n = min(n, size)
		b := make([]byte, n)
		if _, err := w.f.ReadAt(b, size-n); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if n == size || bytes.IndexByte(b, '\n') >= 0 {
			return b, nil
		}
	}
}

// mend ends a last line that lacks only its end, and takes away one that was cut off: it was never acknowledged.
func (w *file) mend(size int64, torn []byte) error {
	if json.Valid(torn) && torn[0] == '{' {
		if _, err := w.f.Write([]byte("\n")); err != nil {
			return fmt.Errorf("append to %s: %w", w.path, cause(err))
		}
		return nil
	}
	// After a power cut the end may be zeros.
	text := bytes.Trim(torn, "\x00")
	if !bytes.HasPrefix(text, []byte(opening)) && !bytes.HasPrefix([]byte(opening), text) {
		return crm.Halted(fmt.Errorf("the last line of %s is neither whole nor this program's: repair or move the file, then resume", w.path))
	}
	if err := w.f.Truncate(size - int64(len(torn))); err != nil {
		return fmt.Errorf("take a torn line from %s: %w", w.path, cause(err))
	}
	return nil
}

// cut takes away what was written after begin. If it cannot, size tells inspect that there may be something to mend, and
// the complete lines among it are found by their keys.
func (w *file) cut(begin int64) {
	info, err := w.f.Stat()
	if err == nil && info.Size() > begin {
		err = w.f.Truncate(begin)
	}
	w.size = begin
	if err != nil {
		w.size = -1
	}
}

func (w *file) close() error {
	if w.f == nil {
		return nil
	}
	err := w.f.Close()
	w.f = nil
	return err
}

// ours refuses what no line should be appended to.
func ours(f *os.File, path string) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("look at %s: %w", path, cause(err))
	}
	if !info.Mode().IsRegular() {
		return crm.Halted(fmt.Errorf("%s is not a regular file: set another path", path))
	}
	r, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, cause(err))
	}
	defer func() { _ = r.Close() }()
	first := make([]byte, 1)
	if n, _ := r.Read(first); n == 1 && first[0] != '{' && first[0] != 0 {
		return crm.Halted(fmt.Errorf("%s holds something else than lines of JSON: set another path", path))
	}
	return nil
}

// lock waits a little for other processes: they hold it for one append.
func lock(f *os.File) error {
	for until := time.Now().Add(lockWait); ; {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EINTR):
		case !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(until):
			return err
		default:
			<-time.After(5 * time.Millisecond)
		}
	}
}

// writable tells whether a file can be made in dir, without making one.
func writable(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	const w, x = 2, 1
	if err := syscall.Access(dir, w|x); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return nil
}

// cause takes the path out of a file system error: the message names it once.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
