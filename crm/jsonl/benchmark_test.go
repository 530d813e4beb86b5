package jsonl_test

import (
	"path/filepath"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
)

func BenchmarkWrite(b *testing.B) {
	crmtest.Benchmark(b, func(b *testing.B) crm.Writer {
		w := open(b, filepath.Join(b.TempDir(), "calls.jsonl"))
		b.Cleanup(func() { _ = w.Close() })
		return w
	})
}
