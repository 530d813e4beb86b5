package record_test

import (
	"os"
	"strings"
	"testing"
)

// TestTheWalkThroughIsTheExample looks for every line of code that docs/ADDING-A-CRM.md shows in the example, which is built and held to the contract here.
func TestTheWalkThroughIsTheExample(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/ADDING-A-CRM.md")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("plain_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(doc), "\n```go\n")[1:]
	if len(blocks) < 5 {
		t.Errorf("%d blocks of code", len(blocks))
	}
	for _, b := range blocks {
		b, _, _ = strings.Cut(b, "```")
		if !strings.Contains(string(code), b) {
			t.Errorf("this is not in crm/internal/record/plain_test.go:\n%s", b)
		}
	}
}
