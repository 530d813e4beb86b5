package sync

import (
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// A call that alone fails is given up after a day and ten failures, while others pass; where everything fails nothing is, however long.
func TestGivenUpOnlyWhenItFailsAlone(t *testing.T) {
	for name, alone := range map[string]bool{"alone": true, "with all others": false} {
		t.Run(name, func(t *testing.T) {
			victim, attempts := "", 0
			change := func(o *Options) {
				o.Start, o.Schedule, o.AuditDays = time.Now().Add(-24*time.Hour), "@every 10m", 0
				o.Destinations[0].Writer.(*recorder).answer = func(e crm.Entry, _ int) error { // under the recorder's lock
					if victim == "" {
						victim = e.Call.ID
					}
					if alone && e.Call.ID != victim {
						return nil
					}
					attempts++
					return errSick
				}
			}
			inLab(t, simulator.Options{Dialect: simulator.Reference, Calls: 10, Rate: 0.05, Seed: 2}, change, func(l *lab) {
				l.pass(23 * time.Hour)
				if st := l.stats(); st.Dead != 0 || st.Pending == 0 {
					t.Fatalf("within the day %d dead, %d pending", st.Dead, st.Pending)
				}
				l.pass(3 * time.Hour)
				dead, err := l.o.Store.DeadLetters("", true, 0, 10)
				if err != nil {
					t.Fatal(err)
				}
				if !alone {
					if len(dead) != 0 {
						t.Errorf("%d dead letters of a destination that answers nothing", len(dead))
					}
					return
				}
				if len(dead) != 1 || dead[0].ID != victim || !strings.Contains(dead[0].Error, "given up after") || attempts < soloFails {
					t.Errorf("after %d attempts: %+v", attempts, dead)
				}
				if len(l.delivered()) < 50 {
					t.Errorf("only %d others were delivered", len(l.delivered()))
				}
			})
		})
	}
}
