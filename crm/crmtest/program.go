package crmtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Program is the real program, built from this tree, in a directory of its own beside a VInfer API with made-up calls.
type Program struct {
	dir, path, api string
}

// NewProgram gets the program and starts the API, which serves so many finished calls of the last day, in the guide's dialect,
// their transcripts ready. Both end with the test.
func NewProgram(t *testing.T, calls int) *Program {
	t.Helper()
	p := &Program{dir: t.TempDir()}
	p.path = filepath.Join(p.dir, "vinfer-sync")
	// go run links a program once and keeps it: every test of every package gets a copy of the same file.
	if out, err := exec.CommandContext(t.Context(), "go", "run", "-exec", "cp -t "+p.dir, "github.com/vinfer-sync/vinfer-sync/cmd/vinfer-sync").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	api := exec.Command(p.path, "simulate", "--listen", "127.0.0.1:0", "--rate", "0", "--transcript-delay", "0s", "--dialect", "guide", "--calls", fmt.Sprint(calls))
	out, err := api.StdoutPipe()
	if err == nil {
		err = api.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = api.Process.Signal(syscall.SIGTERM)
		_ = api.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	_, base, ok := strings.Cut(strings.TrimSpace(line), " at ")
	if err != nil || !ok {
		t.Fatalf("the API says %q: %v", line, err)
	}
	p.api = base
	return p
}

// Configure writes the configuration; crm is the YAML below crm:, and rest more keys of the file.
func (p *Program) Configure(t *testing.T, crm, rest string) {
	t.Helper()
	text := fmt.Sprintf("vinfer: {base_url: %q, api_key: any}\nstart: -48h\nstore: {bbolt: {path: state.db}}\nadmin: {socket: admin.sock, listen: \"\"}\n%s\ncrm:\n%s\n", p.api, rest, crm)
	if err := os.WriteFile(filepath.Join(p.dir, "config.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Run runs a command to its end and returns what it printed, errors and logs included, and its exit code.
func (p *Program) Run(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.path, args...)
	cmd.Dir = p.dir
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	barrier()
	err := cmd.Run()
	barrier()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v", args, err)
	}
	return b.String(), cmd.ProcessState.ExitCode()
}

// MustRun is Run for a command that must end with the given exit code and print all of the texts.
func (p *Program) MustRun(t *testing.T, code int, texts []string, args ...string) {
	t.Helper()
	out, got := p.Run(t, args...)
	if got != code {
		t.Fatalf("%q ends with %d, not %d:\n%s", args, got, code, out)
	}
	for _, text := range texts {
		if !strings.Contains(out, text) {
			t.Errorf("%q does not print %q:\n%s", args, text, out)
		}
	}
}

// RunKilled runs "once" again and again. Each time one request to the server is done and its answer gets lost, a later one
// each time, and then the program is killed. It returns how often that was, when the program has come to its end undisturbed.
func (p *Program) RunKilled(t *testing.T, server *Server) (kills int) {
	t.Helper()
	for n := 2; ; n++ {
		reached := make(chan struct{}, 64)
		server.Misbehave(Fault{After: n, Times: 1, Lost: true}, Fault{After: n + 1, Stall: true, Reached: reached})
		cmd := exec.Command(p.path, "once")
		cmd.Dir = p.dir
		barrier()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-reached:
			kills++
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			<-ended
		case <-ended:
			if server.Count() > n {
				continue // it gave up on the lost answer: once more
			}
			server.Misbehave()
			p.MustRun(t, 0, nil, "once")
			return kills
		}
	}
}
