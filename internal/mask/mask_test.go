package mask

import "testing"

func TestPhones(t *testing.T) {
	for in, want := range map[string]string{
		`{"phone":"+919876543210"}`:     `{"phone":"+xxxxxxxxxx10"}`,
		"98765 43210 and 9876543210":    "98765 43210 and xxxxxxxx10",
		"+91 98765 43210":               "+xx xxxxx xxx10",
		"call_0001 ended 2026-01-31":    "call_0001 ended 2026-01-31",
		"duration 145, status 422, 100": "duration 145, status 422, 100",
		"":                              "",
	} {
		if got := Phones(in); got != want {
			t.Errorf("Phones(%q) = %q, want %q", in, got, want)
		}
	}
}
