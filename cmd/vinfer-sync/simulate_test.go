package main

import (
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// The help names whatever can go wrong, and a share is one.
func TestSimulateHelpAndShares(t *testing.T) {
	t.Parallel()
	help := simulateCommand().Long
	for name := range strings.SplitSeq(simulator.Names(), ", ") {
		if !strings.Contains(help, name) {
			t.Errorf("the help does not name %s", name)
		}
	}
	for _, flag := range []string{"--late", "--late-dispositions", "--vanishing", "--long", "--unending"} {
		for _, share := range []string{"1.5", "-0.1", "NaN"} {
			c := simulateCommand()
			c.SetArgs([]string{flag, share, "--listen", "127.0.0.1:0"})
			if err := c.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), flag) {
				t.Errorf("%s %s: %v", flag, share, err)
			}
		}
	}
}
