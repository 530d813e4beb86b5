package bolt_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/bolt"
)

// A full disk fails what it must and loses nothing; when jobs have left, there is room again.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err == nil {
		t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
		if err := overfill(filepath.Join(dir, "state.db")); err != nil {
			t.Error(err)
		}
		return
	}
	cmd, out := child(t, "full", filepath.Join(dir, "state.db"))
	for s := bufio.NewScanner(out); s.Scan(); {
		t.Log(s.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// The same where nothing can be mounted: no file may grow further.
func TestFileLimit(t *testing.T) {
	cmd, out := child(t, "full", filepath.Join(t.TempDir(), "state.db"))
	for s := bufio.NewScanner(out); s.Scan(); {
		t.Log(s.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func limited(path string) error {
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 8 << 20, Max: 8 << 20}); err != nil {
		return err
	}
	return overfill(path)
}

func overfill(path string) error {
	d, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		return err
	}
	if err := begin(d); err != nil {
		return err
	}
	n := 0
	page := func(from int) store.Page {
		var rows []store.Row
		for k := range 50 {
			rows = append(rows, call(fmt.Sprintf("c%06d", from+k), from+k))
		}
		return pageOf(from+49, rows...)
	}
	var full error
	for ; full == nil && n < 1_000_000; n += 50 {
		_, full = d.Ingest(page(n))
	}
	n -= 50 // the last one failed
	if full == nil || errors.Is(full, store.ErrDamaged) || strings.Contains(full.Error(), ".new") {
		return fmt.Errorf("a full disk is told as: %w", full)
	}
	large := []byte(strings.Repeat("no room ", 10_000)) // takes more than there may be left
	if err := d.PutSetting("large", large); err == nil {
		return errors.New("a setting was kept on a full disk")
	}
	whole := func(what string) error {
		st, err := d.Stats()
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if want := pageOf(n - 1).Close.To; !st.Watermark.Equal(want) {
			return fmt.Errorf("%s: the watermark is %s, want %s", what, st.Watermark, want)
		}
		if err := d.Check(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	}
	if err := whole("when full"); err != nil {
		return err
	}
	if _, err := d.Compact(); err != nil {
		fmt.Println("compacting on a full disk:", err)
	}
	if err := whole("after compacting"); err != nil {
		return err
	}
	if err := d.Close(); err != nil {
		return err
	}
	if d, err = bolt.Open(path, bolt.Options{}); err != nil {
		return fmt.Errorf("opening when full: %w", err)
	}
	if err := whole("opened again"); err != nil {
		return err
	}
	settled := 0
	for _, x := range spec {
		for {
			refs, _, err := d.Scan(x.Name, nil, 100, nil)
			if err != nil {
				return err
			}
			if len(refs) == 0 {
				break
			}
			for _, ref := range refs {
				if _, err := d.Settle(context.Background(), store.Outcome{Job: ref, Verdict: store.Delivered, At: noon}); err != nil {
					return fmt.Errorf("settling job %d on a full disk: %w", settled, err)
				}
				settled++
			}
		}
	}
	if settled != 2*n {
		return fmt.Errorf("%d jobs were there, want %d", settled, 2*n)
	}
	if _, err := d.Ingest(page(n)); err != nil {
		return fmt.Errorf("when there is room again: %w", err)
	}
	if err := d.PutSetting("small", []byte("x")); err != nil {
		return fmt.Errorf("when there is room again: %w", err)
	}
	n += 50
	if err := whole("when there is room again"); err != nil {
		return err
	}
	fmt.Println(n, "calls fitted")
	return d.Close()
}
