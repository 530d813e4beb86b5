package number_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/vinfer-sync/vinfer-sync/internal/number"
	"github.com/vinfer-sync/vinfer-sync/internal/number/numbertest"
)

// Every spelling of a number has the key of that number, and so no two numbers share one.
func TestEverySpellingIsTheNumber(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := numbertest.Draw(t, "number")
		region := rapid.SampledFrom([]string{n.Region, "IN", "US", "GB", ""}).Draw(t, "default region")
		for _, s := range n.International() {
			if got := number.Parse(s, region); got.Key() != n.E164 || got.National != n.National {
				t.Errorf("%q with region %q is %+v, want %s", s, region, got, n.E164)
			}
		}
		for _, s := range n.Local() {
			if got := number.Parse(s, n.Region); got.Key() != n.E164 || got.National != n.National {
				t.Errorf("%q at home in %s is %+v, want %s", s, n.Region, got, n.E164)
			}
		}
	})
}

func TestWordsAreNoNumbers(t *testing.T) {
	for _, s := range append(numbertest.Words, "", " ", "sip:bob@example.com", "sip:bob2@10.0.0.1", "bob@example.com") {
		if got := number.Parse(s, "IN"); got != (number.Number{}) {
			t.Errorf("%q is %+v", s, got)
		}
	}
}

// What is no possible number is told apart all the same: by its digits, or by its letters where it has some.
func TestOtherTexts(t *testing.T) {
	for s, want := range map[string]string{"12": "12", "1-2": "12", "+12": "12", "ext. 4711": "ext. 4711", "Agent 7": "agent 7", "١٢": "12", "999999999999999999999": "999999999999999999999"} {
		if got := number.Parse(s, "IN"); got.E164 != "" || got.Key() != want {
			t.Errorf("%q has key %q, want %q", s, got.Key(), want)
		}
	}
}
