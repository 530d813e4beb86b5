package vinfer

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// answering is a client of a server that always answers so.
func answering(t *testing.T, status int, contentType, body string) *Client {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	c, err := New(Config{BaseURL: srv.URL, RetryWait: time.Nanosecond, Key: func() (secret.Text, error) { return secret.New("the-key-of-9"), nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestNoContentIsAPageWithoutRows(t *testing.T) {
	c := answering(t, http.StatusNoContent, "", "")
	p, err := c.Calls(t.Context(), Query{Limit: 100}, News)
	if err != nil || p.Rows != 0 || p.Total != -1 || p.Date.IsZero() {
		t.Errorf("%+v, %v", p, err)
	}
	if b, err := c.Probe(t.Context()); err != nil || !b.Empty {
		t.Errorf("%+v, %v", b, err)
	}
}

// What a page has in a wrong charset is read by the declared one; what is UTF-8 stays, whatever is declared.
func TestCharsetsOfPages(t *testing.T) {
	const name = "José नमस्ते"
	utf16 := func(e unicode.Endianness, bom unicode.BOMPolicy, s string) string {
		b, err := unicode.UTF16(e, bom).NewEncoder().String(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	row := func(name string) string { return `{"data":[{"id":"a","name":"` + name + `"}],"total":1}` }
	for _, tt := range []struct{ contentType, body, want string }{
		{"application/json; charset=ISO-8859-1", row("Jos\xe9"), "José"},
		{"application/json;charset=latin1", row("Jos\xe9"), "José"},
		{"application/json; charset=windows-1252", row("Jos\xe9 \x96 5\x80"), "José – 5€"},
		{"application/json; charset=ISO-8859-1", row(name), name},
		{"application/json; charset=ISO-8859-1", `[{"id":"a","name":"` + name + `","summary":"Jos` + "\xe9" + `"}]`, name},
		{"application/json; charset=ISO-8859-15", row("\xa4"), "€"},
		{"application/json; charset=utf-8", row("Jos\xe9"), "Jos\uFFFD"},
		{"application/json; charset=nonsense", row("Jos\xe9"), "Jos\uFFFD"},
		{"application/json", row("Jos\xe9"), "Jos\uFFFD"},
		{"application/json; charset=utf-16", utf16(unicode.LittleEndian, unicode.UseBOM, row(name)), name},
		{"application/json; charset=utf-16", utf16(unicode.BigEndian, unicode.IgnoreBOM, row(name)), name},
		{"application/json; charset=utf-16le", utf16(unicode.LittleEndian, unicode.IgnoreBOM, row(name)), name},
		{"application/json", utf16(unicode.BigEndian, unicode.UseBOM, row(name)), name},
		{"application/json; charset=utf-16", row(name), name},
		{"application/json", utf8BOM + row(name), name},
	} {
		p, err := decodePage(iotest.HalfReader(strings.NewReader(tt.body)), tt.contentType)
		if err != nil || len(p.Calls) != 1 || p.Calls[0].Name != tt.want {
			t.Errorf("%s: %+v, %v", tt.contentType, p, err)
		}
		if c, err := decodeCall([]byte(strings.NewReplacer(`"total":1`, `"x":1`, "[", "", "]", "").Replace(tt.body)), tt.contentType, "a"); !strings.Contains(tt.contentType, "16") && !strings.HasPrefix(tt.body, "[") && len(tt.body) == len(row(tt.want)) && (err != nil || c.Name != tt.want) {
			t.Errorf("details, %s: %+v, %v", tt.contentType, c, err)
		}
	}
}

func TestTranscriptsAsPlainText(t *testing.T) {
	latin1, _ := charmap.ISO8859_1.NewEncoder().String("Agent: José")
	utf16, _ := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String("Agent: नमस्ते")
	bare, _ := unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewEncoder().String("Agent: नमस्ते")
	hindi, _ := unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewEncoder().String("नमस्ते जी")
	for _, tt := range []struct{ contentType, body, want string }{
		{"text/plain", "[Agent] Hello\n[Customer] Hi", ""},
		{"text/plain", "<Agent> Hello\n<Customer> Hi", ""},
		{"text/plain; charset=utf-8", "[00:00:01.000 --> 00:00:02.500] Agent: Hello", ""},
		{"text/plain", "[1] Hello", ""},
		{"text/plain", "{Agent} Hello", ""},
		{"text/plain", "<v Agent>Hello</v>", ""},
		{"text/plain", `"Hello," said the agent`, ""},
		{"text/vtt", "WEBVTT\n\n00:01.000 --> 00:04.000\n<v Agent>Hello", ""},
		{"text/plain; charset=iso-8859-1", latin1, "Agent: José"},
		{"text/plain; charset=iso-8859-1", "Agent: José नमस्ते", ""},
		{"text/plain; charset=utf-16", utf16, "Agent: नमस्ते"},
		{"text/plain", utf16, "Agent: नमस्ते"},
		{"text/plain; charset=utf-16be", bare, "Agent: नमस्ते"},
		{"text/plain; charset=utf-16le", hindi, "नमस्ते जी"},
		{"text/plain", utf8BOM + "Agent: hi", "Agent: hi"},
		{"application/json; charset=iso-8859-1", `{"text":"Jos` + "\xe9" + `"}`, "José"},
		{"text/plain", `{"text":"hello there"}`, "hello there"},
	} {
		if tt.want == "" {
			tt.want = tt.body
		}
		if tr, _, err := decodeTranscript(tt.contentType, []byte(tt.body)); err != nil || tr.Text != tt.want {
			t.Errorf("%s, %q: %+v, %v", tt.contentType, tt.body, tr, err)
		}
	}
	for _, body := range []string{"<!DOCTYPE html><p>login", "<html>", "<?xml version='1.0'?><e/>", "<HTML lang=en>", "<!-- --><p>"} {
		if tr, _, err := decodeTranscript("text/plain", []byte(body)); !errors.Is(err, ErrUnreadable) {
			t.Errorf("%q was read as %+v, %v", body, tr, err)
		}
	}
}

// A row that is not JSON is kept, and costs neither the other rows nor the page.
func TestOneBadRowSpoilsNoOther(t *testing.T) {
	for _, bad := range []string{
		`{"id":"b","qa_score":NaN}`, `{"id":"b","qa_score":-Infinity,"x":"}"}`, `{"id":"b",}`, `{"id":"b" "x":1}`, `{'id':'b'}`, `undefined`, `{"id":"b","x":01}`,
		"{\"id\":\"b\",\"name\":\"line\nbreak\"}", `[{]}`, `{"id":"b","n":"` + strings.Repeat("x", maxRow) + `"}`,
	} {
		for _, form := range []string{`[{"id":"a"},BAD,{"id":"c"}]`, `{"data":[{"id":"a"},BAD,{"id":"c"}],"total":3}`, `{"data":{"items":[{"id":"a"}, BAD ,{"id":"c"}]}}`} {
			p, err := decodePage(strings.NewReader(strings.Replace(form, "BAD", bad, 1)), "")
			if err != nil || len(p.Calls) != 2 || p.Calls[1].ID != "c" || len(p.Broken) != 1 || p.Rows != 3 {
				t.Fatalf("%.60s in %s: %+v, %v", bad, form, p, err)
			}
			b := p.Broken[0]
			if strings.HasPrefix(bad, `{"id":"b"`) && len(bad) < 100 && b.ID != "b" {
				t.Errorf("%s is kept with the id %q", bad, b.ID)
			}
			if !utf8.Valid(b.Raw) || len(b.Raw) > maxRaw || checkJSON(b.Raw) != nil || b.Err == "" {
				t.Errorf("%.60s is kept as %.80s: %s", bad, b.Raw, b.Err)
			}
		}
	}
	p, err := decodePage(strings.NewReader(`{"total":NaN,"data":[{"id":"a"}],"limit":Infinity}`), "")
	if err != nil || p.Rows != 1 || p.Total != -1 {
		t.Errorf("a total that is no number: %+v, %v", p, err)
	}
}

func TestErrorsOfJSONSayWhere(t *testing.T) {
	for body, want := range map[string]string{
		`{"data":[{"id":"a"},{"id":"b`:     "cut off after 28 bytes, at row 2",
		`{"data":[{"id":"a"} {"id":"b"}]}`: "comma or closing bracket is missing at byte 20, at row 1",
		`{"data":[{"id":"a"}],}`:           "name is missing at byte 21",
		`{"data":[{"id":"a"}] "total":1}`:  "comma or closing brace is missing at byte 21",
		`{"data" [{"id":"a"}]}`:            "colon is missing at byte 8",
		`{"data":[{"id":"a"},]}`:           "row is missing at byte 20",
		`{"data":[]} {`:                    "more follows after its end, at byte 12",
		`{"data":`:                         "cut off after 8 bytes",
		`{"data":[{"id":"a"}],"total":12`:  "cut off after 31 bytes",
		`{"data":[{"id":"a"}`:              "cut off after 19 bytes, at row 1",
		`[7,`:                              "cut off after 3 bytes",
	} {
		_, err := decodePage(iotest.OneByteReader(strings.NewReader(body)), "")
		if !errors.Is(err, ErrUnreadable) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", body, err)
		}
	}
	p, err := decodePage(strings.NewReader(`[{"id":"a","qa_score":NaN},{"id":"b"}]`), "")
	if err != nil || !strings.Contains(p.Broken[0].Err, "not JSON at byte 22 of 25") {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := decodeCall([]byte(`{"id":"a","x":nope}`), "", "a"); err == nil || !strings.Contains(err.Error(), "not JSON at byte 16 of 19") {
		t.Error(err)
	}
}

// An answer that says of itself that it failed is no empty listing.
func TestAnErrorWithAnEmptyListIsAFailedPage(t *testing.T) {
	for _, body := range []string{
		`{"statusCode":500,"data":[]}`, `{"code":503,"data":[]}`, `{"code":"503","data":[]}`, `{"errorMessage":"no","data":[]}`, `{"success":"false","data":[]}`,
		`{"success":0,"data":[]}`, `{"status":500,"data":[]}`, `{"status":"ERROR","data":[]}`, `{"status":{"code":502,"message":"no"},"calls":[]}`, `{"errorCode":"INTERNAL_ERROR","data":[]}`,
		`{"data":{"calls":[],"error":"no"}}`, `{"meta":{"status":504},"data":[]}`, `{"error_message":"no","data":[]}`, `{"exception":"java.lang.X","items":[]}`, `{"errors":[{"x":1}],"data":[]}`,
		`{"ok":"no","data":[]}`, `{"httpStatus":401,"data":[]}`, `{"fault":{"faultstring":"x"},"data":[]}`,
	} {
		if p, err := decodePage(strings.NewReader(body), ""); !errors.Is(err, ErrUnreadable) || !errors.Is(err, errErrorAnswer) {
			t.Errorf("%s: %+v, %v", body, p, err)
		}
	}
	for _, body := range []string{
		`{"statusCode":200,"data":[]}`, `{"code":0,"data":[]}`, `{"code":"SUCCESS","message":"no error","data":[]}`, `{"errorMessage":"","data":[]}`, `{"success":"true","data":[]}`,
		`{"error":"none","data":[]}`, `{"errors":[],"data":[]}`, `{"status":200,"data":[]}`, `{"status":"ok","data":[]}`, `{"errorCode":"0","data":[]}`, `{"error":false,"data":[]}`, `{"code":20000,"data":[]}`,
		`{"message":"no calls","data":[]}`, `{"errorCode":"NO_ERROR","data":[]}`, `{"state":"completed","data":[]}`,
	} {
		if p, err := decodePage(strings.NewReader(body), ""); err != nil || p.Rows != 0 {
			t.Errorf("%s: %+v, %v", body, p, err)
		}
	}
	_, err := answering(t, 200, "application/json", `{"statusCode":500,"message":"the database of the-key-of-9 is away","data":[]}`).Calls(t.Context(), Query{}, News)
	if !errors.Is(err, ErrUnreadable) || !strings.Contains(err.Error(), `"the database of [redacted] is away"`) {
		t.Error(err)
	}
}

// What cannot be read may be what people said: an error shows its shape only.
func TestErrorsQuoteStructure(t *testing.T) {
	const secret = "Priya Sharma wants a loan"
	for _, tt := range []struct {
		contentType, body, want string
	}{
		{"text/html", "<html><title>" + secret + "</title>", "bytes of HTML or XML"},
		{"application/json", `{"rows":[{"name":"` + secret + `"}]}`, `47 bytes, an object that begins with "rows"`},
		{"application/json", `{"` + secret + `":1}`, "bytes, an object"},
		{"application/json", `{"data":[{"name":"` + secret, `bytes, an object that begins with "data"`},
		{"application/json", `[{"name":"` + secret, "bytes, a list"},
		{"application/json", `"` + secret + `"`, "bytes of text"},
		{"application/json", secret, "25 bytes of text"},
		{"application/json", "\x00\x01" + secret, "bytes, no text"},
	} {
		c := answering(t, 200, tt.contentType, tt.body)
		_, err := c.Calls(t.Context(), Query{}, News)
		_, err2 := c.Call(t.Context(), "a", News)
		for _, err := range []error{err, err2} {
			if !errors.Is(err, ErrUnreadable) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "Priya") {
				t.Errorf("%s: %v", tt.body, err)
			}
		}
	}
	// The words of an error are about the request, and what an operator needs.
	for _, tt := range []struct{ body, want string }{
		{`{"error":{"code":"invalid","message":"after is no parameter"}}`, `"after is no parameter"`},
		{`{"errors":["limit is too large"]}`, `"limit is too large"`},
		{`{"error":"invalid_request","error_description":"from is no date"}`, `"invalid_request"`},
		{`{"detail":"no"}`, `"no"`},
		{"limit is not known", `"limit is not known"`},
		{"<html>" + secret, "31 bytes of HTML or XML"},
		{`{"rows":"` + secret + `"}`, `an object that begins with "rows"`},
		{`{"error":"of +919876543210`, `an object that begins with "error"`},
	} {
		if _, err := answering(t, 400, "", tt.body).Calls(t.Context(), Query{}, News); !errors.Is(err, ErrBadRequest) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "Priya") {
			t.Errorf("%s: %v", tt.body, err)
		}
	}
	for _, row := range []string{`{"id":"a","timestamp":"` + secret + `"}`, `{"id":"a","started_at":"` + secret + `"}`} {
		if _, err := decodeRow([]byte(row)); err == nil || strings.Contains(err.Error(), "Priya") || !strings.Contains(err.Error(), fmt.Sprint(len(secret), " characters")) {
			t.Error(err)
		}
	}
}
