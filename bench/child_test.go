package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// roleVar names the part that this binary plays when it is started as a child, so that a measured process holds nothing
// but what is measured.
const (
	roleVar  = "VINFER_SYNC_BENCH_ROLE"
	paramVar = "VINFER_SYNC_BENCH_PARAM"
)

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case "api":
		serveAPI()
	case "receiver":
		serveReceiver()
	case "history":
		serveHistory()
	case "register":
		serveRegister()
	default:
		os.Exit(m.Run())
	}
}

// child starts this binary in a role and returns the URL that it serves at. It ends with the benchmark, or with this process.
func child(b *testing.B, role string, param any) string {
	b.Helper()
	raw, err := json.Marshal(param)
	if err != nil {
		b.Fatal(err)
	}
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), roleVar+"="+role, paramVar+"="+string(raw))
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = c.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatalf("the %s did not start: %v", role, err)
	}
	return strings.TrimSpace(line)
}

// param reads what the parent passed.
func param(v any) {
	if err := json.Unmarshal([]byte(os.Getenv(paramVar)), v); err != nil {
		panic(err)
	}
}

// untilOrphaned returns when the parent has closed the pipe or is gone.
func untilOrphaned() { _, _ = io.Copy(io.Discard, os.Stdin) }

// roomy is a limit that no benchmark comes near: the budget's pace is not what is measured.
const roomy = 10_000_000

func serveAPI() {
	var calls int
	param(&calls)
	s := simulator.New(simulator.Options{Calls: calls, Seed: 1, LimitPerMinute: roomy})
	base, stop, err := s.Listen("127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(base)
	untilOrphaned()
	stop()
}

// tally is what a receiver saw.
type tally struct {
	Posts       int
	Connections int
	First       time.Time
	Each        []time.Time // when every ten thousandth came
}

func serveReceiver() {
	var latency time.Duration
	param(&latency)
	var mu sync.Mutex
	var t tally
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	srv := &http.Server{ReadHeaderTimeout: time.Minute}
	srv.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			mu.Lock()
			t.Connections++
			mu.Unlock()
		}
	}
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			mu.Lock()
			defer mu.Unlock()
			t.Connections-- // the asking one
			_ = json.NewEncoder(w).Encode(t)
			t = tally{}
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		if latency > 0 {
			hold(latency)
		}
		mu.Lock()
		defer mu.Unlock()
		if t.Posts++; t.Posts == 1 {
			t.First = time.Now()
		}
		if t.Posts%10_000 == 0 {
			t.Each = append(t.Each, time.Now())
		}
	})
	go func() { _ = srv.Serve(l) }()
	fmt.Println("http://" + l.Addr().String() + "/")
	untilOrphaned()
	_ = srv.Close()
}

// told asks a receiver what it saw since it was asked last.
func told(b *testing.B, url string) tally {
	b.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get(url)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var t tally
	if err := json.NewDecoder(resp.Body).Decode(&t); err != nil {
		b.Fatal(err)
	}
	return t
}
