package exec

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/line"
	"github.com/vinfer-sync/vinfer-sync/internal/mask"
)

// Writer gives entries to one program.
type Writer struct {
	cfg  Config
	name string    // of the program, for errors
	pool *programs // nil: a process for each entry
}

// New returns a Writer. It starts nothing.
func New(cfg Config, workers int) (*Writer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	w := &Writer{cfg: cfg, name: filepath.Base(cfg.Command[0])}
	if len(cfg.Command) > 1 && !strings.HasPrefix(cfg.Command[1], "-") {
		w.name += " " + filepath.Base(cfg.Command[1]) // a script, most likely
	}
	if cfg.KeepRunning {
		w.pool = newPrograms(cfg, workers)
	}
	return w, nil
}

// AppendOnly tells that the program is given every delivery, each under its own key.
func (w *Writer) AppendOnly() {}

// payload is what the program gets.
type payload struct {
	line.Line
	Refs map[string]string `json:"refs"` // what it answered to earlier entries of the same call
}

// Write gives the entry to the program and returns what it answers.
func (w *Writer) Write(ctx context.Context, e crm.Entry, p *crm.Progress) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if p.Refs[string(e.Event)] == e.Key {
		return nil
	}
	refs := map[string]string{}
	maps.Copy(refs, p.Refs)
	maps.DeleteFunc(refs, func(name, _ string) bool { return isEvent(name) })
	in, err := line.Encode(payload{line.Of(&e), refs})
	if err != nil {
		return crm.Rejected(fmt.Errorf("encode %s: %w", e.Event, err), w.shape(&e))
	}
	within, cancel := context.WithTimeout(ctx, w.cfg.Timeout)
	defer cancel()
	var r result
	if w.pool != nil {
		r = w.pool.ask(within, in)
	} else {
		r = runOnce(within, w.cfg, in)
	}
	switch {
	case ctx.Err() != nil && r.err != nil:
		return ctx.Err()
	case within.Err() != nil && r.err != nil:
		return fmt.Errorf("%s: no answer within %s; it was killed%s", w.name, w.cfg.Timeout, w.stderr(r))
	}
	err = w.judge(r, &e, p)
	if w.pool != nil {
		w.pool.back(r.from, crm.VerdictOf(err) == crm.Halt)
	}
	if err != nil {
		return err
	}
	p.Refs[string(e.Event)] = e.Key
	return nil
}

func isEvent(name string) bool { return strings.HasPrefix(name, "call.") }

func (w *Writer) shape(e *crm.Entry) string { return "line " + string(e.Event) }

// words makes of what the program said one line without secrets and phone numbers.
func (w *Writer) words(text string) string { return mask.Words([]byte(text), w.cfg.secrets()...) }

// stderr is what the program said last there, to be appended to an error.
func (w *Writer) stderr(r result) string {
	if said := w.words(r.stderr); said != "" {
		return ": " + said
	}
	return ""
}

// Close ends the programs that are kept running.
func (w *Writer) Close() error {
	if w.pool != nil {
		w.pool.close()
	}
	return nil
}

// Check looks whether the program is there and may be executed. It does not start it.
func (w *Writer) Check(context.Context, []string) []crm.Finding {
	path := w.cfg.Command[0]
	f := crm.Finding{Subject: "program", Detail: strings.Join(w.cfg.Command[:1], " ")}
	info, err := os.Stat(path)
	const execute = 1
	switch {
	case err != nil:
		f.Err = err
	case !info.Mode().IsRegular():
		f.Err = fmt.Errorf("%s is not a file", path)
	default:
		if err := syscall.Access(path, execute); err != nil {
			f.Err = fmt.Errorf("%s cannot be executed: %w", path, err)
		}
	}
	if f.Err != nil {
		f.Detail = "install it where the service's user may execute it; ProtectHome= hides /home from the service"
		return []crm.Finding{f}
	}
	found := []crm.Finding{f}
	for _, arg := range w.cfg.Command[1:] {
		if filepath.IsAbs(arg) {
			file, err := os.Open(arg)
			if err == nil {
				_ = file.Close()
			} else if errors.Is(err, os.ErrPermission) || filepath.Ext(arg) != "" {
				found = append(found, crm.Finding{Subject: "script", Err: err, Detail: "an argument of " + path})
			}
		}
	}
	return found
}
