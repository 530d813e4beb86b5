package records

import (
	"maps"
	"testing"
)

func TestMergeRefs(t *testing.T) {
	known := map[string]string{"contact": "7", "activity.sent": "then"}
	got := mergeRefs(known, map[string]string{"activity": "8", "activity.sent": ""})
	if !maps.Equal(got, map[string]string{"contact": "7", "activity": "8"}) || len(known) != 2 {
		t.Errorf("%q of %q", got, known)
	}
}
