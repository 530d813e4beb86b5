package kinds_test

import (
	"slices"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/kinds"
	"github.com/vinfer-sync/vinfer-sync/crm/suitecrm"
)

// TestEveryKindIsWhole looks at what the rest of the program takes from the list.
func TestEveryKindIsWhole(t *testing.T) {
	var names []string
	kinds.Each(func(name string, c kinds.Config) {
		if name == "" || slices.Contains(names, name) {
			t.Errorf("%T has the key %q", c, name)
		}
		names = append(names, name)
		if w, err := c.Open(crm.Settings{}); err == nil || w != nil {
			t.Errorf("%s opens without a configuration: %v", name, w)
		}
		if f, ok := c.(kinds.Contacts); ok && len(f.FieldNames()) == 0 {
			t.Errorf("%s has contacts, and no field can be named", name)
		}
	})
	if len(names) < 13 {
		t.Errorf("%q", names)
	}
}

func TestChosen(t *testing.T) {
	var all kinds.All
	if name, c := all.Chosen(); name != "" || c != nil {
		t.Errorf("none is set: %s %v", name, c)
	}
	all.SuiteCRM = &suitecrm.Config{URL: "https://suite.example", ClientID: "a"}
	if name, c := all.Chosen(); name != "suitecrm" || c.Identity() != "https://suite.example a" {
		t.Errorf("%s %v", name, c)
	}
}
