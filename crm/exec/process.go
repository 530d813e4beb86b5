package exec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

const (
	maxAnswer = 1 << 20         // bytes of an answer
	maxSaid   = 4 << 10         // bytes of stderr that are kept, the last ones
	maxShown  = 300             // bytes of those that an error shows
	lastWords = 2 * time.Second // for what is left in pipes when a program has ended
)

// command prepares the program, in a process group of its own.
func command(ctx context.Context, cfg Config) *exec.Cmd {
	cmd := exec.CommandContext(ctx, cfg.Command[0], cfg.Command[1:]...) //nolint:gosec // the operator names it
	cmd.Env = cfg.environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd) }
	cmd.WaitDelay = lastWords
	return cmd
}

// killGroup kills the program and all that it has started.
func killGroup(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// started gives the error of a program that could not be started its verdict.
func started(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOEXEC):
		return crm.Halted(fmt.Errorf("it cannot be started: %w; install it where the service's user may execute it, then resume", err))
	}
	return fmt.Errorf("it cannot be started: %w", err)
}

// runOnce gives one line to a process of its own and returns all that it answers.
func runOnce(ctx context.Context, cfg Config, in []byte) (r result) {
	cmd := command(ctx, cfg)
	out, said := &head{full: func() { _ = killGroup(cmd) }}, &tail{}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), out, said
	if err := cmd.Start(); err != nil {
		return result{code: -1, err: started(err)}
	}
	err := cmd.Wait()
	if ctx.Err() != nil {
		_ = killGroup(cmd) // what it was about to start when it was killed; nobody else can have its number so soon
	}
	r = result{stdout: out.b, stderr: said.text(), code: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil && (err != nil || r.code != 0):
		r.err = ctx.Err()
	case errors.Is(err, exec.ErrWaitDelay):
		// It ended, and left somebody who holds its pipes.
		_ = killGroup(cmd)
	case err != nil && !errors.As(err, &exit):
		r.err = err
	}
	if out.over {
		r.err = errTooMuch
	}
	return r
}

// head keeps what is written to it up to maxAnswer, and calls full when there is more.
type head struct {
	b    []byte
	over bool
	full func()
}

func (h *head) Write(p []byte) (int, error) {
	n := min(len(p), maxAnswer-len(h.b))
	h.b = append(h.b, p[:n]...)
	if n < len(p) && !h.over {
		h.over = true
		h.full()
	}
	return len(p), nil
}

// tail keeps the end of what is written to it. It may be used concurrently.
type tail struct {
	mu  sync.Mutex
	b   []byte
	cut bool // it is not all
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - maxSaid; over > 0 {
		t.b, t.cut = append(t.b[:0], t.b[over:]...), true
	}
	return len(p), nil
}

// text returns the last lines, as many as an error can show. A line that was cut off at its beginning is not among them: half
// a secret could not be recognised.
func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.b)), "\n")
	if t.cut {
		lines = lines[1:]
	}
	n, size := len(lines), 0
	for ; n > 0 && size+len(lines[n-1]) <= maxShown; n-- {
		size += len(lines[n-1])
	}
	if n == len(lines) && n > 0 {
		n-- // one line that is longer
	}
	return strings.Join(lines[n:], "\n")
}

func (t *tail) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b, t.cut = t.b[:0], false
}
