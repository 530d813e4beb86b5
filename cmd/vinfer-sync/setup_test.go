package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

// provisioner is a destination that has something to be set up.
type provisioner struct {
	crm.Writer
	changes []crm.Change
	err     error
}

func (p provisioner) Provision(context.Context, bool) ([]crm.Change, error) { return p.changes, p.err }

// TestSetupTellsWhatIsLeft: the exit code says whether something is to be done by hand, alike for all kinds.
func TestSetupTellsWhatIsLeft(t *testing.T) {
	byHand := crm.Change{Subject: "field Call.cVinferCallId", Detail: "make it by hand"}
	optional := crm.Change{Subject: "field Calls.vinfer_language_c", Detail: "if you want it", Optional: true}
	for name, test := range map[string]struct {
		of   crm.Writer
		dry  bool
		says string
		code int
	}{
		"nothing to set up":   {struct{ crm.Writer }{}, false, "nothing to set up", exitFine},
		"nothing left":        {provisioner{}, false, "nothing to do", exitFine},
		"made":                {provisioner{changes: []crm.Change{{Subject: "field x", Done: true}}}, false, "done", exitFine},
		"by hand":             {provisioner{changes: []crm.Change{{Subject: "field x", Done: true}, byHand}}, false, "to do", exitLeft},
		"by hand, a dry run":  {provisioner{changes: []crm.Change{byHand}}, true, "to do", exitFine},
		"optional":            {provisioner{changes: []crm.Change{optional}}, false, "optional", exitFine},
		"optional, a dry run": {provisioner{changes: []crm.Change{optional}}, true, "to do", exitFine},
		"it fails":            {provisioner{err: io.ErrUnexpectedEOF}, false, "", exitLeft},
	} {
		var out strings.Builder
		table := &checkTable{}
		err := table.setup(t.Context(), engine.Destination{Name: "sales", Writer: test.of}, test.dry)
		if perr := table.end(&screen{clock: clock{time.UTC}, out: &out}, false); perr != nil {
			t.Fatal(perr)
		}
		code := exitFine
		var exit *exitError
		if errors.As(err, &exit) {
			code = exit.code
		} else if err != nil {
			code = exitLeft
		}
		if code != test.code || !strings.Contains(out.String(), test.says) {
			t.Errorf("%s: %d, %q, %v", name, code, out.String(), err)
		}
	}
}
