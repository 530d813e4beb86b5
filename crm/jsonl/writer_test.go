package jsonl_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/jsonl"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childFile); path != "" {
		child(path)
		return
	}
	goleak.VerifyTestMain(m)
}

func TestWriter(t *testing.T) {
	crmtest.Run(t, crmtest.Target{NoContacts: true, New: func(t *testing.T) crmtest.Destination {
		path := filepath.Join(t.TempDir(), "calls.jsonl")
		return crmtest.Destination{
			Open:  func(t *testing.T) crm.Writer { return open(t, path) },
			State: func(t *testing.T) crmtest.State { return crmtest.State{Deliveries: deliveries(t, path)} },
		}
	}})
}

func open(t testing.TB, path string) *jsonl.Writer {
	t.Helper()
	w, err := jsonl.New(jsonl.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

var attempt = regexp.MustCompile(`"attempt":\d+,`)

// deliveries reads the file and fails the test if a line is not whole.
func deliveries(t testing.TB, path string) (out []crmtest.Delivery) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for l := range bytes.Lines(b) {
		var head struct{ Event, Key string }
		if err := json.Unmarshal(l, &head); err != nil || !bytes.HasSuffix(l, []byte("\n")) {
			t.Fatalf("a torn line: %q", l)
		}
		out = append(out, crmtest.Delivery{Key: head.Key, Event: head.Event, Body: attempt.ReplaceAll(l, nil)})
	}
	return out
}
