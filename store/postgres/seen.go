package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// A database that went back in time, because it was restored from a backup or its standby took over that lacked the last transactions, looks like any
// other. So each node keeps on its own disk whose state it has worked with, and how far that was: rev never shrinks otherwise.

// WentBack is the setting that has when the state was found to have gone back, as RFC 3339.
const WentBack = "went_back"

// loadSeen reads what this node has kept. Without a directory it keeps nothing.
func (d *DB) loadSeen() error {
	if d.dir == "" {
		return nil
	}
	if d.moving { // what comes here was elsewhere
		_ = os.Remove(d.seenPath()) // it is most likely not there
		return nil
	}
	text, err := os.ReadFile(d.seenPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	var rev int64
	if _, err := fmt.Sscan(string(text), &d.known, &rev); err != nil {
		return fmt.Errorf("%w: %s cannot be read (%w): remove it", store.ErrDamaged, d.seenPath(), err)
	}
	d.rev.Store(rev)
	d.kept = rev
	return nil
}

func (d *DB) seenPath() string { return filepath.Join(d.dir, d.pipeline+".seen") }

// keepSeen writes how far the database has been seen. Where it cannot, one that goes back is found out by its other nodes alone.
func (d *DB) keepSeen() {
	d.keeping.Lock()
	defer d.keeping.Unlock()
	rev := d.rev.Load()
	if d.dir == "" || d.known == "" || rev == d.kept {
		return
	}
	temporary := d.seenPath() + ".new"
	if os.WriteFile(temporary, fmt.Appendf(nil, "%s %d\n", d.known, rev), 0o600) == nil && os.Rename(temporary, d.seenPath()) == nil {
		d.kept = rev
	}
}

// saw notes how far another node's work has brought the database.
func (d *DB) saw(rev int64) {
	for was := d.rev.Load(); rev > was && !d.rev.CompareAndSwap(was, rev); was = d.rev.Load() {
	}
}

// compare errs if the state is another one than this node has worked with, and keeps in it that it went back if it did.
func (d *DB) compare(install string, before, rev int64) error {
	d.keeping.Lock()
	known := d.known
	d.known = install
	d.keeping.Unlock()
	if known != "" && known != install {
		return fmt.Errorf("%w: the pipeline %s in the database is not the one that this node has worked with. Restore the right database; if this one is right, remove %s; "+
			"calls may then be delivered again", store.ErrDamaged, d.pipeline, d.seenPath())
	}
	if rev > before {
		return nil
	}
	return d.PutSetting(WentBack, []byte(time.Now().UTC().Format(time.RFC3339)))
}
