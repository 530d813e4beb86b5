package admin

import (
	"time"

	"github.com/vinfer-sync/vinfer-sync/alert"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

// Facts are what the metrics and the dashboard show, all of one moment.
type Facts struct {
	alert.Facts
	Status     engine.Status
	Schedule   string        // as configured
	Lag        time.Duration // over which an operator is called; 0: never
	StoreBytes int64         // size of the state file
}
