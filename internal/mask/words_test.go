package mask

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWords(t *testing.T) {
	for in, want := range map[string]string{
		"<html><head><title>x</title><style>a{}</style></head><body><h1>Bad&nbsp;Gateway</h1><p>nginx</p>": "Bad Gateway nginx",
		`{"message":"key s3cr3t+/= is wrong"}`:       `{"message":"key [redacted] is wrong"}`,
		"key s3cr3t%2B%2F%3D is wrong":               "key [redacted] is wrong",
		"a\x00b\x1b[31mred\r\n  two\tlines":          "ab[31mred two lines",
		"a \u202eb":                                  "a b",
		"\xff\xfebinary":                             "binary",
		"नमस्ते, क्षमा करें":                         "नमस्ते, क्षमा करें",
		`\u0928\u092e\u0938\u094d\u0924\u0947`:       "नमस्ते",
		`"\u002b919876543210"`:                       `"+xxxxxxxxxx10"`,
		"<b>98765</b><i>43210</i>":                   "xxxxx xxx10",
		"1 < 2 and 3 > 2":                            "1 < 2 and 3 > 2",
		"<script>alert('s3cr3t+/=')</script>no":      "no",
		"s3cr<b></b>3t+/=":                           "s3cr 3t+/=",
		"cut <off":                                   "cut",
		`{"phone":"+91 98765-43210","id":"call_12"}`: `{"phone":"+xx xxxxx-xxx10","id":"call_12"}`,
		"2024-01-15 was wrong":                       "2024-01-15 was wrong",
		`{"phone":"+9198765`:                         `{"phone":"+xxxxx65`,
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
