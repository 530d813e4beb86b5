package vinfer

import (
	"bytes"
	"strings"
	"testing"
)

func BenchmarkDecode(b *testing.B) {
	page := []byte(`{"data":[` + strings.Repeat(guideRow+",", 99) + guideRow + `],"total":100}`)
	for b.Loop() {
		if _, err := decodePage(bytes.NewReader(page), ""); err != nil {
			b.Fatal(err)
		}
	}
}
