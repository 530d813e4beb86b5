// Package dbtest starts real database servers for tests: each in a directory of its own, on loopback, gone when the tests have ended. It needs the servers' programs (Debian: postgresql, mariadb-server).
package dbtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Server is a running database server. Its methods may be called concurrently, but for Kill and Start.
type Server struct {
	Port int // on 127.0.0.1

	dir     string
	command func(dir string, port int) []string
	ping    func(ctx context.Context, port int) error
	process *exec.Cmd
	ended   chan struct{} // closed when the process has ended
	names   atomic.Int64
}

// one is a server that the tests of a process share.
type one struct {
	once   sync.Once
	server *Server
	err    error
}

// get starts the server at the first call.
func (o *one) get(t testing.TB, start func() (*Server, error)) *Server {
	t.Helper()
	o.once.Do(func() { o.server, o.err = start() })
	if o.err != nil {
		t.Fatalf("no database server for this test: %v", o.err)
	}
	return o.server
}

// Main is a testing.M, for TestMain.
type Main struct{ *testing.M }

// Run runs the tests and stops the servers that they started.
func (m Main) Run() int {
	defer func() {
		for _, o := range []*one{&postgresServer, &mariadbServer} {
			if o.server != nil {
				o.server.Kill()
				_ = os.RemoveAll(o.server.dir)
			}
		}
	}()
	return m.M.Run()
}

// begin makes a directory, fills it by install and starts the server in it.
func begin(install func(dir string) ([]string, error), command func(dir string, port int) []string, ping func(context.Context, int) error) (*Server, error) {
	dir, err := os.MkdirTemp("", "db")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, command: command, ping: ping}
	if cred := credential(); cred != nil {
		if err := os.Chown(dir, int(cred.Uid), int(cred.Gid)); err != nil {
			return nil, err
		}
	}
	if err := certify(dir); err != nil {
		return nil, err
	}
	argv, err := install(filepath.Join(dir, "data"))
	if err != nil {
		return nil, err
	}
	cmd := s.program(argv)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	if s.Port, err = freePort(); err != nil {
		return nil, err
	}
	return s, s.Start()
}

// credential is another user's than root's, as whom no database server runs; nil where the tests are not root's.
func credential() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "mysql", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	return nil
}

func (s *Server) program(argv []string) *exec.Cmd {
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:gosec,noctx // it outlives the test that starts it
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "HOME="+s.dir, "LC_ALL=C.UTF-8", "TMPDIR="+s.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential()}
	return cmd
}

// Start starts the server again after Kill, on the same data and port, and waits until it answers.
func (s *Server) Start() error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	s.process = s.program(s.command(filepath.Join(s.dir, "data"), s.Port))
	s.process.Stdout, s.process.Stderr = log, log
	if err := s.process.Start(); err != nil {
		return err
	}
	p, ended := s.process, make(chan struct{})
	s.ended = ended
	go func() {
		_ = p.Wait()
		close(ended)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for {
		err := s.ping(ctx, s.Port)
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			text, _ := os.ReadFile(log.Name())
			return fmt.Errorf("the server ended: %s", text)
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Kill kills the server and all of its processes at once, as a power cut does to them.
func (s *Server) Kill() {
	if s.ended == nil {
		return
	}
	pid := s.process.Process.Pid
	pids := []int{pid}
	// PostgreSQL's backends have sessions of their own, and would go on for a moment.
	list, _ := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", pid))
	for _, f := range strings.Fields(string(list)) {
		if child, err := strconv.Atoi(f); err == nil {
			pids = append(pids, child)
		}
	}
	for _, p := range pids {
		_ = syscall.Kill(p, syscall.SIGKILL)
	}
	<-s.ended
	for _, p := range pids {
		for n := 0; n < 500 && lives(p); n++ {
			<-time.After(10 * time.Millisecond)
		}
	}
}

// lives tells whether there is such a process, and it has not ended. Who would bury it may never do so in a container.
func lives(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, _ := strings.Cut(string(stat), ") ")
	return err == nil && !strings.HasPrefix(after, "Z")
}

// name returns a name for another database.
func (s *Server) name() string { return fmt.Sprintf("test%d", s.names.Add(1)) }

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil //nolint:errcheck // it listens to TCP
}

// find returns the path of a program, looked for in the places where distributions put servers.
func find(name string, places ...string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, place := range places {
		if found, _ := filepath.Glob(filepath.Join(place, name)); len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	return "", fmt.Errorf("there is no program %s", name)
}
