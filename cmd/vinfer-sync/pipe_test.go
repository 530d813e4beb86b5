package main

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// The daemon outlives the reader of its log: journald may be stopped for a while.
func TestDaemonOutlivesTheReaderOfItsLog(t *testing.T) {
	w := newWorld(t, simulator.Options{Seed: 1, Calls: 20, Contacts: 10, Span: time.Hour, LimitPerMinute: -1})
	w.write("config.yaml", "log: {level: debug}\n"+strings.ReplaceAll(threeDestinations, "%START%", "-24h"))
	c := w.command("run")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = write
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if err := write.Close(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(read)
	for lines.Scan() && !strings.Contains(lines.Text(), "msg=started") {
		continue
	}
	if err := read.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w.must(exitFine, "once") // which the daemon logs
	}
	if err := c.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	w.must(exitFine, "status")
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := exitOf(t, c.Wait()); code != exitFine {
		t.Errorf("the daemon ended with %d: %s", code, c.ProcessState)
	}
}

// So does a run by hand, and it does its work; a program that it starts is ended by SIGPIPE as any other.
func TestOnceOutlivesTheReaderOfItsLog(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, simulator.Options{Seed: 1, Calls: 20, Contacts: 10, Span: time.Hour, LimitPerMinute: -1})
	w.write("child.sh", "cat >/dev/null; grep SigIgn /proc/self/status >ignored\n")
	w.write("config.yaml", `
vinfer: {base_url: "${API}", api_key: any}
start: -24h
transcripts: {fetch: false}
store: {bbolt: {path: state.db}}
admin: {socket: admin.sock, listen: ""}
log: {level: debug}
crm:
  - {name: program, exec: {command: [/bin/sh, `+w.dir+`/child.sh]}}
`)
	c := w.command("once")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = read.Close()
	c.Stderr = write
	if code := exitOf(t, c.Run()); code != exitFine {
		t.Errorf("once ended with %d: %s", code, c.ProcessState)
	}
	_ = write.Close()
	b, err := os.ReadFile(w.dir + "/ignored")
	if err != nil {
		t.Fatal(err)
	}
	mask := strings.TrimSpace(strings.TrimPrefix(string(b), "SigIgn:"))
	if len(mask) != 16 || strings.Contains("13579bdf", mask[12:13]) { // bit 12: SIGPIPE
		t.Errorf("the program ignores SIGPIPE: %s", mask)
	}
}
