//go:build external

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// inet is an address of a traced connection or datagram: its port, and where it leads.
var inet = regexp.MustCompile(`sin6?_port=htons\((\d+)\).*?(?:inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)")`)

// traced runs a command under strace until it ends, or is told to by stop, and returns where it connected to or sent datagrams to.
func (w *world) traced(stop func(c *exec.Cmd), env []string, args ...string) []string {
	w.t.Helper()
	trace := filepath.Join(w.dir, "trace")
	plain := w.command(args...)
	c := exec.CommandContext(w.t.Context(), "strace", append([]string{"-f", "-qq", "-o", trace, "-e", "trace=connect,sendto,sendmsg,sendmmsg", plain.Path}, args...)...)
	c.Dir, c.Env = plain.Dir, append(plain.Env, env...)
	if err := c.Start(); err != nil {
		w.t.Fatal(err)
	}
	if stop != nil {
		stop(c)
	}
	_ = c.Wait() // its exit code is the command's
	b, err := os.ReadFile(trace)
	if err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, m := range inet.FindAllStringSubmatch(string(b), -1) {
		if to := m[2] + m[3] + ":" + m[1]; !slices.Contains(all, to) {
			all = append(all, to)
		}
	}
	slices.Sort(all)
	return all
}

// The kernel's word for what docs/FIREWALL.md says: every connection of the process, traced, leads to what is configured. Behind a proxy
// that is the proxy alone, and not even names are looked up.
func TestConnectionsAreTheConfiguredOnes(t *testing.T) {
	w := newWorld(t, simulator.Options{Key: "any", LimitPerMinute: -1})
	w.sim.Add(simulator.Call{ID: "call_a", Phone: "+919876543210", Disposition: "interested", Duration: time.Minute, End: time.Now().Add(-time.Minute)})
	w.write("config.yaml", strings.Replace(strings.Replace(recipeConfig, "@every 1h", "@every 1s", 1), `listen: ""`, `listen: "127.0.0.1:0"`, 1))
	want := []string{strings.TrimPrefix(strings.TrimSuffix(w.api, "/v1"), "http://"), strings.TrimSuffix(strings.TrimPrefix(w.hookURL, "http://"), "/hook")}
	slices.Sort(want)
	got := w.traced(func(c *exec.Cmd) {
		served := w.sim.Served()
		w.until("it polls and delivers", func() bool { return w.sim.Served() > served+5 && len(w.hook.arrivals()) > 0 })
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", c.Process.Pid)) // strace itself passes no signal on
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(children)))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}, nil, "run")
	if !slices.Equal(got, want) {
		t.Errorf("run connected to %q; %q are configured", got, want)
	}
	if got := w.traced(nil, nil, "version"); got != nil {
		t.Errorf("version connected to %q", got)
	}

	w, g := behind(t, "")
	w.write("config.yaml", everyHost)
	proxy := g.url("")
	for _, args := range []string{"check", "once", "audit", "setup --dry-run"} {
		got := w.traced(nil, []string{"HTTPS_PROXY=" + proxy, "HTTP_PROXY=" + proxy}, strings.Fields(args)...)
		if want := []string{strings.TrimPrefix(proxy, "http://")}; !slices.Equal(got, want) {
			t.Errorf("%s connected to %q; the proxy is %q", args, got, want)
		}
	}
}
