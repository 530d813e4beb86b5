package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/vinfer-sync/vinfer-sync/internal/mask"
)

const (
	programTime = 30 * time.Second // how long the program may take
	maxQueue    = 256              // notices that wait for the program
	maxOutput   = 2000             // bytes of what it says that are logged
)

// programWaits are the waits before it is tried again.
var programWaits = []time.Duration{10 * time.Second, time.Minute}

// Program runs the operator's program once for each notice, one at a time. The notice is one JSON object on its standard input.
// There is no shell, and of the environment it gets only what names no secret.
type Program struct {
	log   *slog.Logger
	queue chan Notice
	time  time.Duration
	waits []time.Duration
}

// NewProgram returns one that runs nothing yet.
func NewProgram(log *slog.Logger) *Program {
	return &Program{log: log, queue: make(chan Notice, maxQueue), time: programTime, waits: programWaits}
}

// Send hands a notice over; it does not wait.
func (p *Program) Send(n Notice) {
	select {
	case p.queue <- n:
	default:
		p.log.Error("too many alerts wait for alerts.exec; one is dropped", "alert", n.Alert.Alert)
	}
}

// Run runs the program that argv names at the time, for each notice, until ctx ends. Nothing is run while that is empty.
func (p *Program) Run(ctx context.Context, argv func() []string) {
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-p.queue:
			if a := argv(); len(a) > 0 {
				p.deliver(ctx, a, n)
			}
		}
	}
}

func (p *Program) deliver(ctx context.Context, argv []string, n Notice) {
	for try := 0; ; try++ {
		err := p.once(ctx, argv, n)
		if err == nil || ctx.Err() != nil {
			return
		}
		if try == len(p.waits) {
			p.log.Error("alerts.exec failed; the alert is only here and in status", "alert", n.Alert.Alert, "state", n.State, "error", err)
			return
		}
		p.log.Debug("alerts.exec failed and is tried again", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(p.waits[try]):
		}
	}
}

func (p *Program) once(ctx context.Context, argv []string, n Notice) error {
	input, err := json.Marshal(n)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, p.time)
	defer cancel()
	var said capped
	c := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // the operator names the program
	c.Stdin = bytes.NewReader(append(input, '\n'))
	c.Stdout, c.Stderr = &said, &said
	for _, name := range []string{"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			c.Env = append(c.Env, name+"="+v)
		}
	}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = time.Second
	err = c.Run()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return nil // it exited with 0; a child that it left behind and that holds its output is its own affair
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("killed after %s", p.time)
	}
	if text := bytes.TrimSpace(said.b); len(text) > 0 {
		err = fmt.Errorf("%w: %s", err, mask.Phones(string(text)))
	}
	return fmt.Errorf("%s: %w", argv[0], err)
}

// capped keeps the beginning of what is written.
type capped struct{ b []byte }

func (c *capped) Write(p []byte) (int, error) {
	if room := maxOutput - len(c.b); room > 0 {
		c.b = append(c.b, p[:min(room, len(p))]...)
	}
	return len(p), nil
}
