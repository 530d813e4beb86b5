package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// TestScripts runs testdata/script/*.txtar: commands, one a line, then files, each after a line "-- name --".
//
//	exits CODE ARG…     runs the program, which has to exit with CODE
//	[!] stdout REGEXP   what the last run printed; likewise stderr
//	keys [PATH] KEY…    the keys of the JSON that it printed, all of them
//	sim CALLS [KEY]     another API, with that many calls of the last day, which lets KEY in
//	add ID PHONE DISPOSITION [AGO] | raw JSON | fault LIST | clear    changes the API
//	hook STATUS TEXT    what the webhook's handler answers
//	arrived N           N requests arrived at it
//	signed SECRET N     N requests arrived at it, each as documented
//	late ID…            of all that arrived at it these calls' events, and no others, were told as late
//	save | same         keeps what the last run printed; it printed that again
//	count FILE N | cut FILE SIZE | remove FILE | exists FILE
//	keep FILE | kept FILE   looks at its content; that is still the same where no daemon runs, and nobody but readers came to the API since
//	holds FILE TEXT     the file has that in it, or with ! has not
//	daemon | stop       starts run; stops it, which has to go well
//
// A script with the line "# Alone and beside the daemon." runs twice, the second time with the daemon from the beginning to the end.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(f), ".txtar")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runScript(t, f, string(text), false)
		})
		if strings.Contains(string(text), "# Alone and beside the daemon.\n") {
			t.Run(name+", beside the daemon", func(t *testing.T) {
				t.Parallel()
				runScript(t, f, string(text), true)
			})
		}
	}
}

func runScript(t *testing.T, file, text string, beside bool) {
	s := &script{world: newWorld(t, simulator.Options{LimitPerMinute: -1})}
	lines := s.unpack(text)
	if s.where = file; beside {
		s.line("daemon")
	}
	for n, line := range lines {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			s.where = file + ":" + strconv.Itoa(n+1) + ": " + line
			s.line(line)
		}
	}
	if s.stop != nil {
		s.line("stop")
	}
}

type script struct {
	*world
	where string
	last  result
	saved string
	stop  func() (int, string)
	kept  []byte
	asked int
}

func (s *script) content(name string) []byte {
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.fail("%v", err)
	}
	return b
}

var fileMark = regexp.MustCompile(`(?m)^-- (\S+) --\n`)

// unpack writes the script's files and returns its lines.
func (s *script) unpack(text string) []string {
	marks := fileMark.FindAllStringSubmatchIndex(text, -1)
	end := len(text)
	for _, m := range slices.Backward(marks) {
		s.write(text[m[2]:m[3]], text[m[1]:end])
		end = m[0]
	}
	return strings.Split(text[:end], "\n")
}

func (s *script) fail(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf(s.where+"\n"+format+"\nstdout:\n%s\nstderr:\n%s", append(args, s.last.stdout, s.last.stderr)...)
}

func (s *script) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		s.fail("%v", err)
	}
	return n
}

func (s *script) line(line string) {
	rest, not := strings.CutPrefix(line, "! ")
	name, rest, _ := strings.Cut(rest, " ")
	args := strings.Fields(rest)
	switch name {
	case "exits":
		s.last = s.run(args[1:]...)
		if s.last.code != s.number(args[0]) {
			s.fail("exit code %d", s.last.code)
		}
	case "stdout", "stderr":
		out := s.last.stdout
		if name == "stderr" {
			out = s.last.stderr
		}
		if regexp.MustCompile("(?m)"+rest).MatchString(out) == not {
			s.fail("no")
		}
	case "keys":
		s.keys(args)
	case "sim":
		o := simulator.Options{Seed: 5, Calls: s.number(args[0]), Contacts: 10, LimitPerMinute: -1}
		if len(args) > 1 {
			o.Key = args[1]
		}
		s.serve(o)
	case "add":
		ago := time.Minute
		if len(args) > 3 {
			ago = s.duration(args[3])
		}
		s.sim.Add(simulator.Call{ID: args[0], Phone: args[1], Name: "Asha Rao", Disposition: args[2], Duration: time.Minute, End: time.Now().Add(-ago)})
	case "raw":
		s.sim.Add(simulator.Call{Raw: rest, Duration: time.Minute, End: time.Now().Add(-time.Minute)})
	case "fault":
		list, err := simulator.ParseFaults(rest)
		if err != nil {
			s.fail("%v", err)
		}
		for _, f := range list {
			s.sim.Fault(f)
		}
	case "clear":
		s.sim.Clear()
	case "hook":
		s.hook.answers(s.number(args[0]), strings.Join(args[1:], " "))
	case "signed":
		s.signed(args[0], s.number(args[1]))
	case "late":
		s.late(args)
	case "daemon":
		s.stop = s.daemon()
	case "stop":
		if code, log := s.stop(); code != exitFine {
			s.fail("run: exit code %d\n%s", code, log)
		}
		s.stop = nil
	case "save":
		s.saved = s.last.stdout
	case "same":
		if s.last.stdout != s.saved {
			s.fail("before:\n%s", s.saved)
		}
	case "count":
		if n := len(s.lines(args[0])); n != s.number(args[1]) {
			s.fail("%d lines", n)
		}
	case "keep":
		s.kept, s.asked = s.content(args[0]), len(s.sim.Requests())
	case "kept":
		if s.stop == nil && !bytes.Equal(s.content(args[0]), s.kept) { // a daemon has writing of its own to do
			s.fail("it changed")
		}
		for _, r := range s.sim.Requests()[s.asked:] {
			if r.Method != http.MethodGet {
				s.fail("%s %s", r.Method, r.Path)
			}
		}
	case "arrived":
		if n := len(s.hook.arrivals()); n != s.number(args[0]) {
			s.fail("%d requests arrived", n)
		}
	case "holds":
		if bytes.Contains(s.content(args[0]), []byte(strings.Join(args[1:], " "))) == not {
			s.fail("it does not hold so")
		}
	case "cut":
		if err := os.Truncate(filepath.Join(s.dir, args[0]), int64(s.number(args[1]))); err != nil {
			s.fail("%v", err)
		}
	case "remove":
		if err := os.Remove(filepath.Join(s.dir, args[0])); err != nil {
			s.fail("%v", err)
		}
	case "exists":
		if _, err := os.Stat(filepath.Join(s.dir, args[0])); (err != nil) != not {
			s.fail("%v", err)
		}
	default:
		s.fail("there is no such command")
	}
}

// keys compares the keys of an object, which a first argument like .last_run or .destinations.0 leads to.
func (s *script) keys(want []string) {
	var v any
	if err := json.Unmarshal([]byte(s.last.stdout), &v); err != nil {
		s.fail("%v", err)
	}
	if path, ok := strings.CutPrefix(want[0], "."); ok {
		want = want[1:]
		for p := range strings.SplitSeq(path, ".") {
			if list, ok := v.([]any); ok {
				v = list[s.number(p)]
				continue
			}
			v = v.(map[string]any)[p]
		}
	}
	if got := slices.Sorted(maps.Keys(v.(map[string]any))); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		s.fail("keys %v", got)
	}
}

func (s *script) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.fail("%v", err)
	}
	return d
}

// late compares which calls' events came with the header.
func (s *script) late(want []string) {
	for _, a := range s.hook.arrivals() {
		told := a.header.Get("X-VInfer-Sync-Late")
		if late := slices.Contains(want, a.CallID); late && told != "true" || !late && told != "" {
			s.fail("%s of %s: X-VInfer-Sync-Late %q", a.Event, a.CallID, told)
		}
	}
	for _, id := range want {
		if !slices.ContainsFunc(s.hook.arrivals(), func(a arrival) bool { return a.CallID == id }) {
			s.fail("%s did not arrive", id)
		}
	}
}

// signed verifies what arrived as a handler of VInfer's own webhooks does.
func (s *script) signed(secret string, n int) {
	got := s.hook.arrivals()
	if len(got) != n {
		s.fail("%d requests arrived", len(got))
	}
	keys := map[string]bool{}
	for _, a := range got {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(a.body)
		if a.header.Get("X-VInfer-Signature") != hex.EncodeToString(mac.Sum(nil)) {
			s.fail("the signature is wrong: %s", a.body)
		}
		k := a.header.Get("Idempotency-Key")
		if k == "" || keys[k] || a.header.Get("X-VInfer-Sync-Attempt") != "1" {
			s.fail("headers %v", a.header)
		}
		keys[k] = true
		var body map[string]any
		if err := json.Unmarshal(a.body, &body); err != nil {
			s.fail("%v", err)
		}
		want := []string{"call_id", "campaign_id", "contact", "disposition", "duration_seconds", "event", "language", "neuronlens", "timestamp", "transcript_url"}
		if a.Event == "call.transcription_ready" {
			want = []string{"call_id", "campaign_id", "contact", "disposition", "duration_seconds", "event", "language", "neuronlens", "timestamp", "transcript", "transcript_url"}
		}
		if got := slices.Sorted(maps.Keys(body)); !slices.Equal(got, want) {
			s.fail("%s has the keys %v", a.Event, got)
		}
	}
}
