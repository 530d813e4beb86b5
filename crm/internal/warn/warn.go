// Package warn tells operators what does not change from call to call: once a day, not with every call.
package warn

import (
	"context"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/cache"
)

// remind is how often the same is told.
const remind = 24 * time.Hour

// Daily warns of each thing once a day. The zero value is ready; it is safe for concurrent use.
type Daily struct{ told cache.Cache[struct{}] }

// Warn adds a warning to p unless one of the same key was given within the last day.
func (d *Daily) Warn(p *crm.Progress, key, format string, args ...any) {
	_, _ = d.told.Get(context.Background(), key, func(context.Context) (struct{}, time.Duration, error) {
		p.Warn(format, args...)
		return struct{}{}, remind, nil
	})
}
