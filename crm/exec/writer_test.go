package exec_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/exec"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// What makes of the test binary the program that is run.
const (
	ledger = "TEST_LEDGER" // the file to which it appends what it got
	answer = "TEST_ANSWER" // what it says; KEY stands for the line's key
	manner = "TEST_MANNER" // how it behaves
)

func TestMain(m *testing.M) {
	if os.Getenv(ledger) != "" {
		program()
		return
	}
	goleak.VerifyTestMain(m)
}

// program is a program as somebody may write it.
func program() {
	in := bufio.NewReader(os.Stdin)
	for n := 1; ; n++ {
		l, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(l) == 0 {
			return
		}
		f, err := os.OpenFile(os.Getenv(ledger), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			panic(err)
		}
		_, _ = f.Write(l)
		_ = f.Close()
		var got struct{ Key string }
		_ = json.Unmarshal(l, &got)
		say := strings.ReplaceAll(os.Getenv(answer), "KEY", got.Key)
		switch how, arg, _ := strings.Cut(os.Getenv(manner), " "); how {
		case "exit":
			_, _ = fmt.Fprint(os.Stderr, "Traceback\n", arg[strings.Index(arg, " ")+1:], "\n")
			code, _ := strconv.Atoi(strings.Fields(arg)[0])
			_, _ = fmt.Print(say)
			os.Exit(code)
		case "hang":
			child := osexec.Command("sleep", "1000") // in its group, with its pipes
			child.Stdout, child.Stderr = os.Stdout, os.Stderr
			_ = child.Start()
			_ = os.WriteFile(os.Getenv(ledger)+".pid", []byte(strconv.Itoa(child.Process.Pid)), 0o600)
			select {}
		case "flood":
			for {
				if _, err := os.Stdout.Write(bytes.Repeat([]byte("x"), 1<<16)); err != nil {
					os.Exit(1)
				}
			}
		case "environ":
			_, _ = fmt.Fprint(os.Stderr, strings.Join(os.Environ(), " "))
			os.Exit(75)
		case "echo":
			_, _ = os.Stderr.Write(l)
			_, _ = fmt.Fprintln(os.Stderr, os.Getenv("API_TOKEN"), "calling +91 98765 00001")
			os.Exit(65)
		case "die after":
		case "twice":
			_, _ = fmt.Println(say)
		case "once":
			if n == 2 {
				os.Exit(3)
			}
		}
		_, _ = fmt.Println(say)
	}
}

func open(t testing.TB, file string, change ...func(*exec.Config)) *exec.Writer {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cfg := exec.Config{Command: []string{self}, Env: map[string]secret.Text{
		ledger: secret.New(file), answer: secret.New(`{"ok": true, "key": "KEY", "refs": {"ticket": "T-17", "n": 5}}`), "API_TOKEN": secret.New("tok-3c1f9b2a77"),
	}}
	for _, f := range change {
		f(&cfg)
	}
	w, err := exec.New(cfg, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func keepRunning(c *exec.Config) { c.KeepRunning = true }

func says(text string) func(*exec.Config) {
	return func(c *exec.Config) { c.Env[answer] = secret.New(text) }
}

func behaves(how string) func(*exec.Config) {
	return func(c *exec.Config) { c.Env[manner] = secret.New(how) }
}

func TestWriter(t *testing.T) {
	for name, change := range map[string]func(*exec.Config){"a process for each entry": func(*exec.Config) {}, "kept running": keepRunning} {
		t.Run(name, func(t *testing.T) {
			crmtest.Run(t, crmtest.Target{NoContacts: true, New: func(t *testing.T) crmtest.Destination {
				file := filepath.Join(t.TempDir(), "ledger")
				return crmtest.Destination{
					Open:    func(t *testing.T) crm.Writer { return open(t, file, change) },
					State:   func(t *testing.T) crmtest.State { return crmtest.State{Deliveries: deliveries(t, file)} },
					Secrets: []string{"tok-3c1f9b2a77"},
				}
			}})
		})
	}
}

var varies = regexp.MustCompile(`"attempt":\d+,|,"refs":\{[^}]*\}`)

func deliveries(t testing.TB, file string) (out []crmtest.Delivery) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for l := range bytes.Lines(b) {
		var head struct{ Event, Key string }
		if err := json.Unmarshal(l, &head); err != nil {
			t.Fatalf("%v: %q", err, l)
		}
		out = append(out, crmtest.Delivery{Key: head.Key, Event: head.Event, Body: varies.ReplaceAll(l, nil)})
	}
	return out
}

func write(w crm.Writer, e crm.Entry, refs crm.Refs) (*crm.Progress, error) {
	p := crm.NewProgress(refs, nil)
	return p, w.Write(context.Background(), e, p)
}

func TestAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		says, behaves string
		want          crm.Verdict
		words         string
		wait          time.Duration
	}{
		"delivered":             {says: `{"ok":true}`},
		"delivered by verdict":  {says: `{"verdict":"delivered"}`},
		"on several lines":      {says: "\n{\n \"ok\": true\n}\n\n"},
		"silence":               {},
		"no":                    {says: `{"ok":false,"error":"no such lead"}`, want: crm.Retry, words: "no such lead"},
		"retry":                 {says: `{"verdict":"retry","error":"busy"}`, want: crm.Retry, words: "busy"},
		"reject":                {says: `{"ok":false,"verdict":"reject","error":"no name for +91 98765 00001"}`, want: crm.Reject, words: "no name for +xx xxxxx xxx01"},
		"halt":                  {says: `{"verdict":"halt","error":"licence ended"}`, want: crm.Halt, words: "licence ended"},
		"throttle":              {says: `{"verdict":"throttle","error":"slow","wait":"1m30s"}`, want: crm.Throttle, words: "slow", wait: 90 * time.Second},
		"throttle in seconds":   {says: `{"verdict":"throttle","wait":12.5}`, want: crm.Throttle, words: "no reason", wait: 12500 * time.Millisecond},
		"throttle for ever":     {says: `{"verdict":"throttle","wait":"99999h"}`, want: crm.Throttle, wait: 24 * time.Hour},
		"throttle oddly":        {says: `{"verdict":"throttle","wait":"soon"}`, want: crm.Throttle},
		"another verdict":       {says: `{"verdict":"perhaps"}`, want: crm.Halt, words: "none of delivered"},
		"a contradiction":       {says: `{"ok":true,"verdict":"reject"}`, want: crm.Halt, words: "ok: true and verdict: reject"},
		"neither":               {says: `{"done":1}`, want: crm.Halt, words: "not a line of JSON"},
		"no JSON":               {says: `stored KEY!`, want: crm.Halt, words: "stored cal-test00001"},
		"a list":                {says: `[true]`, want: crm.Halt},
		"two answers":           {says: `{"ok":true}`, behaves: "twice", want: crm.Halt},
		"another's key":         {says: `{"ok":true,"key":"another"}`, want: crm.Halt, words: "another key"},
		"exit 0":                {behaves: "exit 0 fine"},
		"exit 1":                {behaves: "exit 1 KeyError: 'phone'", want: crm.Retry, words: "exit code 1: Traceback KeyError: 'phone'"},
		"exit 65":               {behaves: "exit 65 bad data", want: crm.Reject, words: "bad data"},
		"exit 75":               {behaves: "exit 75 later", want: crm.Retry, words: "later"},
		"exit 77":               {behaves: "exit 77 who are you", want: crm.Halt, words: "who are you"},
		"exit 78":               {behaves: "exit 78 no url", want: crm.Halt, words: "no url"},
		"exit 127":              {behaves: "exit 127 not found", want: crm.Halt, words: "not found"},
		"answer before exit 1":  {says: `{"ok":true}`, behaves: "exit 1 in cleanup"},
		"words before exit 65":  {says: "oops", behaves: "exit 65 bad", want: crm.Reject, words: "bad"},
		"refused before exit 0": {says: `{"verdict":"reject","error":"no"}`, behaves: "exit 0 x", want: crm.Reject, words: "no"},
		"a flood":               {behaves: "flood", want: crm.Halt, words: "1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t, filepath.Join(t.TempDir(), "ledger"), says(test.says), behaves(test.behaves))
			_, err := write(w, crmtest.Full(1), nil)
			if crm.VerdictOf(err) != test.want || crm.Wait(err) != test.wait {
				t.Errorf("%s, wait %s: %v", crm.VerdictOf(err), crm.Wait(err), err)
			}
			if err != nil && !strings.Contains(err.Error(), test.words) {
				t.Errorf("%v", err)
			}
			if (crm.Request(err) != "") != (test.want == crm.Reject) {
				t.Errorf("request %q", crm.Request(err))
			}
		})
	}
}

// A program that says everything that it knows betrays nothing.
func TestNoLeak(t *testing.T) {
	for _, change := range []func(*exec.Config){behaves("echo"), says(`{"verdict":"reject","error":"tok-3c1f9b2a77 for 098765-00001"}`), says("tok-3c1f9b2a77 9876500001")} {
		w := open(t, filepath.Join(t.TempDir(), "ledger"), change)
		p, err := write(w, crmtest.Full(1), nil)
		crmtest.AssertNoLeak(t, "error", []string{"tok-3c1f9b2a77"}, fmt.Sprintf("%v %+v %s %q", err, err, crm.Request(err), p.Warnings))
		if err == nil {
			t.Error("no error")
		}
	}
}

func TestRefs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ledger")
	w := open(t, file)
	p, err := write(w, crmtest.Full(1), nil)
	if err != nil || p.Refs["ticket"] != "T-17" || p.Refs["n"] != "5" {
		t.Fatalf("%v, %v", p.Refs, err)
	}
	if _, err := write(w, crmtest.Transcribed(1), p.Refs); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(lines) != 2 || !strings.HasSuffix(lines[0], `"refs":{}}`) || !strings.HasSuffix(lines[1], `"refs":{"n":"5","ticket":"T-17"}}`) {
		t.Errorf("%q", lines)
	}
	// An answer's refs are kept even if it asks for a repetition.
	w = open(t, file, says(`{"verdict":"retry","refs":{"lead":"9","call.completed":"x","old":null},"warnings":["field x of 9876500001 is gone"]}`))
	p, _ = write(w, crmtest.Full(2), crm.Refs{"old": "1"})
	if len(p.Refs) != 1 || p.Refs["lead"] != "9" || len(p.Warnings) != 1 || strings.Contains(p.Warnings[0], "9876500001") {
		t.Errorf("%v %q", p.Refs, p.Warnings)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("VINFER_API_KEY", "not-for-programs")
	w := open(t, filepath.Join(t.TempDir(), "l"), behaves("environ"), func(c *exec.Config) { delete(c.Env, "API_TOKEN"); c.Env["X"] = secret.New("1") })
	_, err := write(w, crmtest.Full(1), nil)
	if err == nil || !strings.Contains(err.Error(), "LANG=C.UTF-8 PATH=/usr/local/sbin:") || strings.Contains(err.Error(), "not-for") || strings.Contains(err.Error(), "HOME=") {
		t.Errorf("%v", err)
	}
}

// A program that hangs is killed, with what it started.
func TestHang(t *testing.T) {
	for _, change := range []func(*exec.Config){func(*exec.Config) {}, keepRunning} {
		file := filepath.Join(t.TempDir(), "ledger")
		w := open(t, file, behaves("hang"), change, func(c *exec.Config) { c.Timeout = time.Second })
		_, err := write(w, crmtest.Full(1), nil)
		if crm.VerdictOf(err) != crm.Retry || err == nil || !strings.Contains(err.Error(), "no answer within 1s") {
			t.Errorf("%v", err)
		}
		dead(t, file)
		// Likewise when the caller cannot wait.
		_ = os.Remove(file + ".pid")
		w = open(t, file, behaves("hang"), change)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- w.Write(ctx, crmtest.Full(1), crm.NewProgress(nil, nil)) }()
		for {
			if b, _ := os.ReadFile(file + ".pid"); len(b) > 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		dead(t, file)
	}
}

// dead waits until the process whose number stands in the file has ended.
func dead(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file + ".pid")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(b))
	if err != nil {
		t.Fatal(err)
	}
	for syscall.Kill(pid, 0) == nil {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if _, after, _ := strings.Cut(string(stat), ") "); after == "" || after[0] == 'Z' {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func TestKeptRunning(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ledger")
	// A process that dies at its second line is replaced, and the line comes again.
	w := open(t, file, keepRunning, behaves("once"))
	for n := range 3 {
		_, err := write(w, crmtest.Full(n), nil)
		if n == 1 {
			if crm.VerdictOf(err) != crm.Retry || err == nil || !strings.Contains(err.Error(), "exit code 3") {
				t.Errorf("%v", err)
			}
			_, err = write(w, crmtest.Full(n), nil)
		}
		if n == 2 && err != nil { // the new process' second line
			_, err = write(w, crmtest.Full(n), nil)
		}
		if err != nil {
			t.Errorf("%d: %v", n, err)
		}
	}
	// One that does not say what its answer is about could answer the line before.
	w = open(t, file, keepRunning, says(`{"ok":true}`))
	if _, err := write(w, crmtest.Full(1), nil); crm.VerdictOf(err) != crm.Halt || !strings.Contains(err.Error(), "repeat the key") {
		t.Errorf("%v", err)
	}
	// One that answers twice is found out, and replaced.
	w = open(t, file, keepRunning, behaves("twice"))
	for n := range 20 {
		if _, err := write(w, crmtest.Full(n), nil); err != nil && crm.VerdictOf(err) != crm.Halt {
			t.Errorf("%d: %v", n, err)
		}
	}
	w = open(t, file, keepRunning, behaves("exit 78 no url"), says(""))
	if _, err := write(w, crmtest.Full(1), nil); crm.VerdictOf(err) != crm.Halt || !strings.Contains(err.Error(), "no url") {
		t.Errorf("%v", err)
	}
	w = open(t, file, keepRunning, behaves("flood"))
	if _, err := write(w, crmtest.Full(1), nil); crm.VerdictOf(err) != crm.Halt || !strings.Contains(err.Error(), "1 MiB") {
		t.Errorf("%v", err)
	}
}

func TestNoProgram(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain.py")
	if err := os.WriteFile(plain, []byte("print()"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "nowhere"), plain, dir} {
		for _, change := range []func(*exec.Config){func(*exec.Config) {}, keepRunning} {
			w := open(t, filepath.Join(dir, "l"), change, func(c *exec.Config) { c.Command = []string{path} })
			if _, err := write(w, crmtest.Full(1), nil); crm.VerdictOf(err) != crm.Halt || !strings.Contains(err.Error(), "cannot be started") {
				t.Errorf("%v", err)
			}
			if found := w.Check(t.Context(), nil); len(found) != 1 || found[0].Err == nil {
				t.Errorf("%+v", found)
			}
		}
	}
	w := open(t, filepath.Join(dir, "l"), func(c *exec.Config) { c.Command = append(c.Command, filepath.Join(dir, "missing.py")) })
	if found := w.Check(t.Context(), nil); len(found) != 2 || found[1].Err == nil {
		t.Errorf("%+v", found)
	}
}
