package store

import (
	"encoding/json"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/internal/number"
)

func TestComplete(t *testing.T) {
	for _, c := range []struct{ older, newer, want string }{
		{`{"name":"A","summary":"s"}`, `{"name":"B"}`, `{"name":"B","summary":"s"}`},
		{`{"name":"A"}`, `{"name":"B","summary":"s"}`, `{"name":"B","summary":"s"}`},
		{`{"qa":1.50,"deep":{"a":[1,2]}}`, `{"name":"<B>"}`, `{"deep":{"a":[1,2]},"name":"\u003cB\u003e","qa":1.50}`},
		{`{"name":"A"}`, `{"name":null}`, `{"name":null}`},
		{``, `{"name":"B"}`, `{"name":"B"}`},
		{`{"name":"A"}`, ``, ``},
		{`{"name":"A"}`, `null`, `null`},
		{`[1]`, `{"name":"B"}`, `{"name":"B"}`},
		{`{"name":"A"}`, `text`, `text`},
	} {
		if got := string(Complete([]byte(c.older), []byte(c.newer))); got != c.want {
			t.Errorf("%s completed by %s is %s, want %s", c.newer, c.older, got, c.want)
		}
	}
}

// What is completed stays JSON, has all members of the newer one as they were, and completing it again changes nothing.
func FuzzComplete(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":{"c":[]}}`), []byte(`{"a":2}`))
	f.Add([]byte(`{"a":1,"a":2}`), []byte(`{"b":1e400}`))
	f.Add([]byte(`{`), []byte(`[]`))
	f.Fuzz(func(t *testing.T, older, newer []byte) {
		got := Complete(older, newer)
		var n, o, g map[string]json.RawMessage
		if json.Unmarshal(newer, &n) != nil || n == nil {
			if string(got) != string(newer) {
				t.Errorf("%q became %q", newer, got)
			}
			return
		}
		if err := json.Unmarshal(got, &g); err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		_ = json.Unmarshal(older, &o)
		for k := range g {
			if _, mine := n[k]; !mine && o[k] == nil {
				t.Errorf("%q came from nowhere", k)
			}
		}
		if again := Complete(older, got); string(again) != string(got) {
			t.Errorf("%q became %q", got, again)
		}
	})
}

// What is about whom: a call's body by whom it called, any other text by a number or an id that stands in it, however it is written.
func TestForgettingIsAbout(t *testing.T) {
	body := func(id, phone, summary string) []byte {
		return []byte(`{"id":"` + id + `","phone":"` + phone + `","summary":"` + summary + `"}`)
	}
	person := &Forgetting{Number: number.Parse("09876543210", "IN").Key(), Region: "IN"}
	call := &Forgetting{IDs: []string{"cal_1"}, Region: "IN"}
	for _, c := range []struct {
		f    *Forgetting
		body []byte
		want bool
	}{
		{person, body("x", "+919876543210", ""), true},
		{person, body("x", "098765 43210", ""), true},
		{person, body("x", "+919876543211", "asked to call +919876543210"), false},
		{person, []byte(`{"id":"x","phone":"+9198765`), false},
		{person, []byte(`{"id":"x","phone":"+919876543210`), true}, // a body that was damaged
		{person, nil, false},
		{call, body("cal_1", "+919876543210", ""), true},
		{call, body("cal_12", "+919876543210", "cal_1"), false},
		{&Forgetting{}, body("", "", ""), false},
	} {
		if got := c.f.IsAbout(c.body); got != c.want {
			t.Errorf("%s: %v", c.body, got)
		}
	}
	for _, c := range []struct {
		f    *Forgetting
		text string
		want bool
	}{
		{person, `{"call_id":7,"contact":{"phone":"+91 98765-43210"}`, true},
		{person, `{"id":"x","phone":"+919876543211","note":"9876543210"}`, true}, // a row that nobody understood is any text
		{person, `422: +919876543210 is no number`, true},
		{person, `422: +919876543211 is no number, of 12345`, false},
		{call, `{"id":"cal_1","ended":[]}`, true},
		{call, `{"id":"cal_12","ended":[]}`, false},
		{call, `cal_12, cal_1`, true},
	} {
		if got := c.f.IsMentionedIn([]byte(c.text)); got != c.want {
			t.Errorf("%s: %v", c.text, got)
		}
	}
}
