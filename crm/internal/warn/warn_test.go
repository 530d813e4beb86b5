package warn_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/warn"
)

func TestDaily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d warn.Daily
		told := func(key string) int {
			p := crm.NewProgress(nil, nil)
			d.Warn(p, key, "of %s", key)
			return len(p.Warnings)
		}
		if a, b, again := told("a"), told("b"), told("a"); a != 1 || b != 1 || again != 0 {
			t.Errorf("%d %d %d", a, b, again)
		}
		time.Sleep(24 * time.Hour)
		if told("a") != 1 {
			t.Error("not told again a day later")
		}
	})
}
