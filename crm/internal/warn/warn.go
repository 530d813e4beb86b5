// Package warn tells operators what does not change from call to call: once a day, not with every call.
package warn

import (
	"sync"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// remind is how often the same is told.
const remind = 24 * time.Hour

// Daily warns of each thing once a day. The zero value is ready; it is safe for concurrent use.
type Daily struct {
	mu   sync.Mutex
	told map[string]time.Time
}

// Warn adds a warning to p unless one of the same key was given within the last day.
func (d *Daily) Warn(p *crm.Progress, key, format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at, ok := d.told[key]; ok && time.Since(at) < remind {
		return
	}
	if d.told == nil {
		d.told = map[string]time.Time{}
	}
	d.told[key] = time.Now()
	p.Warn(format, args...)
}
