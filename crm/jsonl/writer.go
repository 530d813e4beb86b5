// Package jsonl appends every delivery as one line of JSON to a file.
//
// A line is acknowledged when it is on the disk; lines that wait at the same time share one fsync. The file may be
// rotated under the writer, by rename or by copytruncate, and shared with other processes that take the same lock. What a crash or a
// full disk left of a line is taken away again; a complete line never is.
package jsonl

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/files"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/line"
	"github.com/vinfer-sync/vinfer-sync/internal/groupcommit"
)

// Config says where the file is.
type Config struct {
	Path string `yaml:"path"`
}

// Validate checks the configuration without touching the file.
func (c Config) Validate() error {
	if c.Path == "" {
		return errors.New("path: missing: name a file")
	}
	return nil
}

// Open makes the writer, as New does.
func (c Config) Open(crm.Settings) (crm.Writer, error) { return crm.Opened(New(c)) }

// Identity names what the access depends on besides the secrets.
func (c Config) Identity() string { return c.Path }

// File returns the path of the file.
func (c Config) File() string { return c.Path }

// Writer appends to one file. The file is opened by the first Write.
type Writer struct {
	commits groupcommit.Committer[*record]
	file    file
}

type record struct {
	key  string
	line []byte
}

// New returns a Writer. It touches no file.
func New(cfg Config) (*Writer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("path: %w", err)
	}
	w := &Writer{file: file{path: path, recent: newKeys(10_000)}}
	w.commits.Commit = w.file.append
	return w, nil
}

// AppendOnly tells that the file keeps every delivery apart.
func (w *Writer) AppendOnly() {}

// Write appends the entry and returns once it is on the disk. The ref of its event is the key of the last line.
func (w *Writer) Write(ctx context.Context, e crm.Entry, p *crm.Progress) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if p.Refs[string(e.Event)] == e.Key {
		return nil
	}
	b, err := line.Encode(line.Of(&e))
	if err != nil {
		return crm.Rejected(fmt.Errorf("encode %s: %w", e.Event, err), "line "+string(e.Event))
	}
	if err := w.commits.Do(ctx, &record{e.Key, b}); err != nil {
		return err
	}
	p.Refs[string(e.Event)] = e.Key
	return nil
}

// Close waits for the lines that are being written and closes the file.
func (w *Writer) Close() error {
	w.commits.Close()
	return w.file.close()
}

// Check looks whether the file can be appended to, or made.
func (w *Writer) Check(context.Context, []string) []crm.Finding {
	f, err := os.OpenFile(w.file.path, os.O_WRONLY|os.O_APPEND, 0)
	if errors.Is(err, os.ErrNotExist) {
		target, err := files.Target(w.file.path)
		if err == nil {
			err = writable(filepath.Dir(target))
		}
		f := crm.Finding{Subject: "file", Detail: files.ToBeMade(w.file.path, target)}
		if f.Err = err; err != nil {
			f.Detail = w.file.path
		}
		if err != nil && target != w.file.path {
			f.Err = fmt.Errorf("it is a link to %s, which cannot be made: %w", target, err)
		}
		return []crm.Finding{f}
	}
	if err != nil {
		return []crm.Finding{{Subject: "file", Err: err, Detail: w.file.path}}
	}
	defer func() { _ = f.Close() }()
	return []crm.Finding{{Subject: "file", Err: ours(f, w.file.path), Detail: w.file.path}}
}
