package sync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
	"github.com/vinfer-sync/vinfer-sync/store/bolt"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// logged is a log that may be written to while it is read.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// night runs the daemon through ten hours from 20:00 on, polling every five minutes, and returns the log at info from 21:00 on. story
// is called in the middle.
func night(t *testing.T, o simulator.Options, answer func(crm.Entry) error, story func(*simulator.Server)) (log []string) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(20 * time.Hour) // a bubble begins at midnight
		sim := simulator.New(o)
		dial, hangUp := sim.Pipe()
		defer hangUp()
		st, err := bolt.Open(filepath.Join(t.TempDir(), "state.db"), bolt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		api, err := vinfer.New(vinfer.Config{BaseURL: "http://vinfer.invalid/v1", Dial: dial, Key: func() (secret.Text, error) { return secret.New("k"), nil }})
		if err != nil {
			t.Fatal(err)
		}
		var out logged
		e, err := New(Options{
			Name: "night", API: api, Store: st, Schedule: "@every 5m", Lookback: 15 * time.Minute, Settle: time.Hour, MaxCall: 4 * time.Hour,
			Logger: slog.New(slog.NewTextHandler(&out, nil)),
			Destinations: []Destination{
				{Name: "sick", Kind: "test", Writer: &recorder{answer: func(e crm.Entry, _ int) error { return answer(e) }}},
				{Name: "well", Kind: "test", Writer: &recorder{}},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx, nil) }()
		time.Sleep(time.Hour)
		begun := len(out.String())
		time.Sleep(4 * time.Hour)
		story(sim)
		time.Sleep(5 * time.Hour)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		log = strings.Split(strings.TrimSpace(out.String()[begun:]), "\n")
		if log[0] == "" {
			log = nil
		}
		api.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return log
}

// counted counts the log's lines by message.
func counted(log []string) map[string]int {
	n := map[string]int{}
	for _, line := range log {
		_, rest, _ := strings.Cut(line, "msg=")
		msg, _, _ := strings.Cut(rest, " ")
		if strings.HasPrefix(rest, `"`) {
			msg, _, _ = strings.Cut(rest[1:], `"`)
		}
		n[msg]++
	}
	return n
}

func TestQuietNight(t *testing.T) {
	log := night(t, simulator.Options{Seed: 1, Calls: 20}, func(crm.Entry) error { return nil }, func(*simulator.Server) {})
	if len(log) > 0 {
		t.Errorf("nothing happened, and the log says:\n%s", strings.Join(log, "\n"))
	}
}

func TestNightWithADestinationDown(t *testing.T) {
	down := func(from, to int) func(crm.Entry) error {
		return func(crm.Entry) error {
			if h := time.Now().UTC().Hour(); h >= from || h < to {
				return errors.New("crm.example answers 503 Service Unavailable")
			}
			return nil
		}
	}
	log := night(t, simulator.Options{Seed: 1, Calls: 20, Rate: 0.3}, down(22, 4), func(*simulator.Server) {})
	n := counted(log)
	if runs := n["run"]; runs < 60 || runs > 9*12+1 {
		t.Errorf("%d summaries of about 108 runs", runs)
	}
	delete(n, "run")
	if fmt.Sprint(n) != "map[destination fails; it is tried now and then until it answers:1 destination works again:1]" {
		t.Errorf("besides the summaries: %v\n%s", n, strings.Join(log, "\n"))
	}
}

func TestNightWithADestinationThatComesAndGoes(t *testing.T) {
	log := night(t, simulator.Options{Seed: 1, Calls: 20, Rate: 3}, func(crm.Entry) error {
		if time.Now().Minute()%10 < 5 {
			return errors.New("crm.example answers 503 Service Unavailable")
		}
		return nil
	}, func(*simulator.Server) {})
	n := counted(log)
	fails, works := n["destination fails; it is tried now and then until it answers"], n["destination works again"]
	if fails < 20 || fails > 10*logEvery || works > fails+1 {
		t.Errorf("the log says %d times of about 54 that the destination fails, and %d times that it works again", fails, works)
	}
	if !strings.Contains(strings.Join(log, "\n"), "others_since=") {
		t.Error("the log does not say how many it left out")
	}
}

func TestNightWithVInferDown(t *testing.T) {
	log := night(t, simulator.Options{Seed: 1, Calls: 20}, func(crm.Entry) error { return nil }, func(s *simulator.Server) {
		s.Fault(simulator.Fault{Kind: simulator.Status, Status: 502, Count: -1})
		time.Sleep(3 * time.Hour)
		s.Clear()
	})
	n := counted(log)
	if n["poll failed; the cursor stays"] > 5 || n["poll works again"] != 1 || len(log) > 8 {
		t.Errorf("%v\n%s", n, strings.Join(log, "\n"))
	}
}

func TestNightOfRefusals(t *testing.T) {
	var k atomic.Int32
	log := night(t, simulator.Options{Seed: 1, Calls: 20, Rate: 0.5}, func(crm.Entry) error {
		if k.Add(1)%2 == 0 {
			return crm.Rejected(errors.New("422: the phone is not valid"), "")
		}
		return nil
	}, func(*simulator.Server) {})
	if said := counted(log)[msgRefused]; said < 20 || said > 10*logEvery {
		t.Errorf("%d of about 135 refusals are in the log", said)
	}
	if !strings.Contains(strings.Join(log, "\n"), "others_since=") {
		t.Error("the log does not say how many it left out")
	}
}
