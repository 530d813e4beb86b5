package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/config"
)

func TestCheckWarnsOfAScheduleThatIsTooShort(t *testing.T) {
	for _, x := range []struct {
		schedule string
		took     time.Duration
		want     string
	}{
		{"@every 5s", 4 * time.Second, ""},
		{"@every 5s", 6 * time.Second, `"@every 10s" fits`},
		{"*/1 * * * *", 3 * time.Minute, `"@every 5m" fits`},
	} {
		var out bytes.Buffer
		table := &checkTable{}
		table.schedule(&config.Config{Schedule: x.schedule}, x.took)
		if err := table.end(&screen{clock: clock{time.UTC}, out: &out}, false); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); (x.want == "") != (got == "") || !strings.Contains(got, x.want) {
			t.Errorf("%s, polls of %v: %q", x.schedule, x.took, got)
		}
	}
}
