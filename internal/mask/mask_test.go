package mask

import "testing"

func TestPhones(t *testing.T) {
	for in, want := range map[string]string{
		`{"phone":"+919876543210"}`:               `{"phone":"+xxxxxxxxxx10"}`,
		"98765 43210 and 9876543210":              "xxxxx xxx10 and xxxxxxxx10",
		"+91 98765 43210":                         "+xx xxxxx xxx10",
		"0091-98765.43210, tel9876543210":         "xxxx-xxxxx.xxx10, telxxxxxxxx10",
		"98_123_456_78 98/1234/5678":              "xx_xxx_xxx_xx xx/xxxx/xx78",
		"98_123_456_78":                           "xx_xxx_xxx_78",
		"98/1234/5678, +91/98765/43210":           "xx/xxxx/xx78, +xx/xxxxx/xxx10",
		"on 28/11/2026, 2026/11/28 and 1/2/2026":  "on 28/11/2026, 2026/11/28 and 1/2/2026",
		"call_1234567890/x, GET /v1/calls/12/34":  "call_1234567890/x, GET /v1/calls/12/34",
		"call 9876543210 now":                     "call xxxxxxxx10 now",
		"+91-98765-43210":                         "+xx-xxxxx-xxx10",
		"(022) 2345.6789":                         "(xxx) xxxx.xx89",
		"234 5678, 2345678":                       "xxx xx78, xxxxx78",
		"phone9876543210x":                        "phonexxxxxxxx10x",
		"tel:%2B919876543210":                     "tel:%2Bxxxxxxxxxx10",
		"contact_9876543210":                      "contact_xxxxxxxx10",
		"9876-54-3210":                            "xxxx-xx-xx10",
		"cal_9Hm3kP7qZ and call_1234567890":       "cal_9Hm3kP7qZ and call_1234567890",
		"job_1234567 camp_99999999":               "job_1234567 camp_99999999",
		"at 2024-01-15T10:35:22Z, 2024-01-15":     "at 2024-01-15T10:35:22Z, 2024-01-15",
		"550e8400-e29b-41d4-a716-446655440000":    "550e8400-e29b-41d4-a716-446655440000",
		"dial tcp 192.168.100.200:8443: refused":  "dial tcp 192.168.100.200:8443: refused",
		"987.654.321.098":                         "xxx.xxx.xxx.x98",
		"status 404, 12 of 345 in 67 ms":          "status 404, 12 of 345 in 67 ms",
		"98765%2043210":                           "xxxxx xxx10",
		"९८७६५ ४३२१०":                             "xxxxx xxx१०",
		"10.20.30.40:9477 took 1234 ms":           "10.20.30.40:9477 took 1234 ms",
		"call_1234567890 at 2026-01-31T09:14:03Z": "call_1234567890 at 2026-01-31T09:14:03Z",
		"call_0001 ended 2026-01-31":              "call_0001 ended 2026-01-31",
		"duration 145, status 422, 100":           "duration 145, status 422, 100",
		"":                                        "",
	} {
		if got := Phones(in); got != want {
			t.Errorf("Phones(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestPhone(t *testing.T) {
	for in, want := range map[string]string{
		"+919876543210": "+xxxxxxxxxx10", "98765 43210": "xxxxx xxx10", "९८७६५४३२१०": "xxxxxxxx१०", "1234": "xxxx", "12345": "xxx45", "": "",
	} {
		if got := Phone(in); got != want {
			t.Errorf("Phone(%q) = %q, want %q", in, got, want)
		}
	}
}
