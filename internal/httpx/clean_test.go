package httpx

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestMaskPhones(t *testing.T) {
	for in, want := range map[string]string{
		"+919876543210":                          "+**********10",
		"call 9876543210 now":                    "call ********10 now",
		"+91 98765 43210":                        "+**********10",
		"+91-98765-43210":                        "+**********10",
		"(022) 2345.6789":                        "(*********89",
		`"phone":"+919876543210"`:                `"phone":"+**********10"`,
		"phone9876543210x":                       "phone********10x",
		"tel:%2B919876543210":                    "tel:%2B**********10",
		"98765%2043210":                          "********10",
		"९८७६५४३२१०":                             "********१०",
		"contact_9876543210":                     "contact_********10",
		"9876-54-3210":                           "********10",
		"cal_9Hm3kP7qZ and call_1234567890":      "cal_9Hm3kP7qZ and call_1234567890",
		"job_1234567 camp_99999999":              "job_1234567 camp_99999999",
		"at 2024-01-15T10:35:22Z, 2024-01-15":    "at 2024-01-15T10:35:22Z, 2024-01-15",
		"550e8400-e29b-41d4-a716-446655440000":   "550e8400-e29b-41d4-a716-446655440000",
		"dial tcp 192.168.100.200:8443: refused": "dial tcp 192.168.100.200:8443: refused",
		"987.654.321.098":                        "**********98",
		"status 404, 12 of 345 in 67 ms":         "status 404, 12 of 345 in 67 ms",
		"":                                       "",
	} {
		if got := MaskPhones(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestWords(t *testing.T) {
	for in, want := range map[string]string{
		"<html><head><title>x</title><style>a{}</style></head><body><h1>Bad&nbsp;Gateway</h1><p>nginx</p>": "Bad Gateway nginx",
		`{"message":"key s3cr3t+/= is wrong"}`:  `{"message":"key [redacted] is wrong"}`,
		"key s3cr3t%2B%2F%3D is wrong":          "key [redacted] is wrong",
		"a\x00b\x1b[31mred\r\n  two\tlines":     "ab[31mred two lines",
		"a \u202eb":                             "a b",
		"\xff\xfebinary":                        "binary",
		"नमस्ते, क्षमा करें":                    "नमस्ते, क्षमा करें",
		`\u0928\u092e\u0938\u094d\u0924\u0947`:  "नमस्ते",
		`"\u002b919876543210"`:                  `"+**********10"`,
		"<b>98765</b><i>43210</i>":              "********10",
		"1 < 2 and 3 > 2":                       "1 < 2 and 3 > 2",
		"<script>alert('s3cr3t+/=')</script>no": "no",
		"s3cr<b></b>3t+/=":                      "s3cr 3t+/=",
		"cut <off":                              "cut",
	} {
		if got := Words([]byte(in), "s3cr3t+/="); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestWordsAreShort(t *testing.T) {
	got := Words([]byte(strings.Repeat("क्षमा ", 100_000)))
	if n := utf8.RuneCountInString(got); n > maxWords+1 || !strings.HasSuffix(got, "…") {
		t.Errorf("%d characters: %s", n, got)
	}
	// A secret that the cut goes through does not show its beginning.
	body := strings.Repeat("<i>", (maxSource-8)/3) + "s3cr3t-of-length"
	if got := Words([]byte(body), "s3cr3t-of-length"); strings.Contains(got, "s3c") {
		t.Errorf("got %s", got)
	}
}

func FuzzWords(f *testing.F) {
	f.Add("<p>+91 98765 43210 token</p>", "token")
	f.Add(`{"a":"\u0041"}`, "aaaa")
	f.Fuzz(func(t *testing.T, body, secret string) {
		got := Words([]byte(body), secret)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > maxWords+1 || strings.ContainsAny(got, "\n\r\x00\x1b") {
			t.Errorf("%q gives %q", body, got)
		}
		if len(secret) >= 4 && !strings.Contains(redacted, secret) && strings.Contains(got, secret) {
			t.Errorf("%q shows %q: %q", body, secret, got)
		}
		run := 0
		for _, r := range got {
			if r >= '0' && r <= '9' {
				if run++; run > 9 && !strings.Contains(got, "_") && !strings.Contains(got, "-") {
					t.Errorf("%q shows a number: %q", body, got)
				}
			} else {
				run = 0
			}
		}
	})
}
