package vinfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzPage(f *testing.F) {
	for _, s := range []string{
		referencePage, "[" + guideRow + "]", `{"data":{"calls":[{"id":1}]},"total":1}`, `[{"id":"a","timestamp":1705314922}]`, "[7,null,{\"id\":\"\xff\"}]",
		`[{"id":"a","qa_score":NaN},{"id":"b",}]`, "\xff\xfe[\x00]\x00",
	} {
		for _, contentType := range []string{"", "application/json; charset=iso-8859-1", "a/b;charset=utf-16", "a/b;charset=shift_jis"} {
			f.Add([]byte(s), contentType)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, contentType string) {
		p, err := decodePage(bytes.NewReader(b), contentType)
		if err != nil {
			if !errors.Is(err, ErrUnreadable) {
				t.Fatal(err)
			}
			return
		}
		if p.Rows != len(p.Calls)+len(p.Broken) || p.Total < -1 || p.Limit < 0 {
			t.Fatalf("%+v", p)
		}
		for _, c := range p.Calls {
			sane(t, c)
		}
		for _, b := range p.Broken {
			if !json.Valid(b.Raw) || len(b.Raw) > maxRaw || b.Err == "" {
				t.Fatalf("%+v", b)
			}
		}
	})
}

// What is taken apart in place must be what encoding/json finds.
func FuzzScan(f *testing.F) {
	for _, s := range []string{referencePage, guideRow, `{"a\"b":[1,{"c":"]}"},-2.5e3,null , true], "é":{} }`, `[ ]`, `[[],["\\"]]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o, isObject := asObject(b) // whatever it is, it must end
		l := slices.Collect(elements(b))
		if !json.Valid(b) {
			return
		}
		var wantObject map[string]json.RawMessage
		if err := json.Unmarshal(b, &wantObject); (err == nil && wantObject != nil) != isObject {
			t.Fatalf("an object: %v, %v", isObject, err)
		}
		for name, want := range wantObject {
			if utf8.Valid(b) && string(o.get(name)) != string(want) {
				t.Fatalf("%q is %s, not %s", name, o.get(name), want)
			}
		}
		var wantList []json.RawMessage
		if err := json.Unmarshal(b, &wantList); len(l) != len(wantList) {
			t.Fatalf("a list of %d, %v", len(l), err)
		}
		for i := range wantList {
			if string(l[i]) != string(wantList[i]) {
				t.Fatalf("element %d is %s, not %s", i, l[i], wantList[i])
			}
		}
		var s string
		if json.Unmarshal(b, &s) == nil && b[0] == '"' && text(b) != strings.TrimSpace(s) {
			t.Fatalf("%q, not %q", text(b), s)
		}
	})
}

func FuzzCall(f *testing.F) {
	for _, s := range []string{guideRow, `{"data":` + guideRow + `}`, `{"id":"call_abc123","duration_seconds":"1e3","ended_at":"2024-01-15 10:35:22 +0530"}`} {
		f.Add([]byte(s), "call_abc123")
	}
	f.Fuzz(func(t *testing.T, b []byte, id string) {
		c, err := decodeCall(b, "", id)
		if err == nil && c.ID != id {
			t.Fatalf("asked for %q, read %q", id, c.ID)
		}
		if err == nil && id != "" {
			sane(t, c)
		}
	})
}

// sane checks what every call that is handed out must keep to.
func sane(t *testing.T, c Call) {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatalf("%+v cannot be stored: %v", c, err)
	}
	var back Call
	if err := json.Unmarshal(b, &back); err != nil || !reflect.DeepEqual(back, c) {
		t.Fatalf("%+v came back from the store as %+v: %v", c, back, err)
	}
	if c.ID == "" || c.DurationSeconds != nil && (*c.DurationSeconds < 0 || *c.DurationSeconds > 1e6) {
		t.Fatalf("%+v", c)
	}
	if !c.StartedAt.IsZero() && c.Completed().Before(c.StartedAt) && c.EndedAt.IsZero() {
		t.Fatalf("it ends before it starts: %+v", c)
	}
}

func FuzzTranscript(f *testing.F) {
	f.Add("application/json", []byte(`{"status":"completed","result":{"segments":[{"speaker":"agent","text":"hi","start":"00:01","end":2}]}}`))
	f.Add("text/plain", []byte("[00:01] Agent: नमस्ते"))
	f.Add("", []byte(`{"data":{"transcript":"hello there","neuronlens":{"qa_score":"7"}}}`))
	f.Fuzz(func(t *testing.T, contentType string, b []byte) {
		tr, _, err := decodeTranscript(contentType, b)
		if err == nil {
			if len(tr.Segments) == 0 && tr.Text == "" {
				t.Fatal("a transcript without words")
			}
			if _, err := json.Marshal(tr); err != nil {
				t.Fatal(err)
			}
		} else if !errors.Is(err, ErrNotReady) && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrUnreadable) {
			t.Fatal(err)
		}
	})
}

// A document that was cut anywhere is one again when it is mended.
func FuzzMend(f *testing.F) {
	f.Add([]byte(referencePage), uint(17))
	f.Add([]byte(`{"a":"\\u00e9\\\\","b":[1,"é",{}]}`), uint(9))
	f.Fuzz(func(t *testing.T, b []byte, cut uint) {
		doc := bytes.TrimSpace(b)
		if !json.Valid(doc) || !utf8.Valid(doc) || doc[0] != '{' && doc[0] != '[' {
			return
		}
		if cut = cut % uint(len(doc)); cut == 0 {
			return
		}
		if got := closeJSON(doc[:cut]); !json.Valid(got) || !utf8.Valid(got) {
			t.Fatalf("%s became %s", doc[:cut], got)
		}
	})
}

func FuzzRates(f *testing.F) {
	f.Add("1000", "999", "1705314922", "5")
	f.Add("1e18", "-1", "1705314922000", "Mon, 15 Jan 2024 10:35:22 GMT")
	now := utc("2024-01-15T10:35:00Z")
	f.Fuzz(func(t *testing.T, limit, remaining, reset, after string) {
		if n := parseCount(limit); n < -1 || n > maxLimit {
			t.Fatal(n)
		}
		if n := parseCount(remaining); n < -1 || n > maxLimit {
			t.Fatal(n)
		}
		if r := readReset(reset, now); !r.IsZero() && (r.Before(now.Add(pastReset)) || r.After(now.Add(maxWindow))) {
			t.Fatal(r)
		}
		if d, ok := retryAfter(after, now); ok && (d < 0 || d > maxRetryAfter) {
			t.Fatal(d)
		}
	})
}
