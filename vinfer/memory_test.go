package vinfer

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// swelling is a client of a server whose answers are small on the wire and huge when unpacked: head, then piece again and
// again to about so many MiB, then tail.
func swelling(t *testing.T, contentType, head, piece, tail string, mib int) *Client {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, head)
	chunk := []byte(strings.Repeat(piece, 1<<20/len(piece)))
	for range mib {
		_, _ = z.Write(chunk)
	}
	_, _ = io.WriteString(z, tail)
	_ = z.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(packed.Bytes())
	}))
	t.Cleanup(srv.Close)
	c, err := New(Config{BaseURL: srv.URL, RetryWait: time.Nanosecond, Key: func() (secret.Text, error) { return secret.New("k"), nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// allocated returns how many MiB f allocates, live or not: more than it can ever hold at once.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) >> 20
}

func TestAHugeListingTakesLittleMemory(t *testing.T) {
	row := `{"id":"a","contact":{"phone":"+911"}},`
	for _, tt := range []struct {
		name, head, piece, tail string
		most                    uint64 // MiB, of four tries
		err                     string
	}{
		{"numbers", "[", "0,", "0]", 8, "none of its first 1001 rows is a call"},
		{"empty objects", `{"data":[`, "{},", "{}]}", 8, "none of its first 1001 rows is a call"},
		{"calls", "[", row, row[:len(row)-1] + "]", 2000, "more than 100000 rows"},
		{"one row", `[{"id":"`, "abcdefgh", `"}]`, 80, ""},
		{"one row of brackets", "[", "[", "]", 40, "cut off"},
		{"lists of lists", "[", "[],", "[]]", 8, "none of its first 1001 rows is a call"},
		{"members", "{", `"a":0,`, `"data":[]}`, 8, "more than 1000 members"},
		{"a member", `{"x":"`, "abcdefgh", `","data":[]}`, 8, ""},
		{"blanks", "[", "  ", "]", 8, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := swelling(t, "application/json", tt.head, tt.piece, tt.tail, 24)
			var err error
			got := allocated(func() { _, err = c.Calls(t.Context(), Query{Limit: 100}, News) })
			if tt.err == "" && err != nil || tt.err != "" && (!errors.Is(err, ErrUnreadable) || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("%v", err)
			}
			if got > tt.most {
				t.Errorf("%d MiB were allocated", got)
			}
		})
	}
}

func TestHugeDetailsTakeLittleMemory(t *testing.T) {
	c := swelling(t, "application/json", `{"id":"a"`, `,"a":0`, "}", 24)
	var err error
	if got := allocated(func() { _, err = c.Call(t.Context(), "a", Unfinished) }); !errors.Is(err, ErrUnreadable) || !strings.Contains(err.Error(), "more than 1 MiB") || got > 20 {
		t.Errorf("%v; %d MiB were allocated", err, got)
	}
}

// A transcript that is too long is cut, with a word, whatever it looks like.
func TestAHugeTranscriptIsCut(t *testing.T) {
	for _, tt := range []struct {
		name, contentType, head, piece, tail string
		segments                             bool
	}{
		{"plain text", "text/plain; charset=utf-8", "", "नमस्ते ", "", false},
		{"one text", "application/json", `{"transcript":"`, `नमस्ते \u0928\"`, `"}`, false},
		{"segments", "application/json", `{"status":"completed","segments":[`, `{"speaker":"agent","text":"नमस्ते","start":1.5},`, `{"text":"x"}]}`, true},
		{"lines", "application/json", "[", `"नमस्ते",`, `"x"]`, true},
		{"empty segments", "application/json", `{"segments":[{"text":"hello"},`, `{},`, `{}]}`, true},
		{"latin1", "text/plain; charset=iso-8859-1", "", "Jos\xe9 ", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := swelling(t, tt.contentType, tt.head, tt.piece, tt.tail, 24)
			var tr Transcript
			var err error
			got := allocated(func() { tr, err = c.Transcript(t.Context(), c.base.String()+"/t", "", Transcripts) })
			if err != nil {
				t.Fatal(err)
			}
			words, last := len(tr.Text), tr.Text
			for _, s := range tr.Segments {
				words, last = words+len(s.Text)+len(s.Speaker), s.Text
			}
			if (len(tr.Segments) > 0) != tt.segments || !strings.HasSuffix(last, cutNote) || !utf8.ValidString(last) || words > maxWords+200 {
				t.Errorf("%d segments, %d bytes of words, the end is %q", len(tr.Segments), words, last[max(0, len(last)-120):])
			}
			if got > 120 {
				t.Errorf("%d MiB were allocated", got)
			}
		})
	}
}

func TestMend(t *testing.T) {
	const doc = `{"status":"done","n":12,"segments":[{"speaker":"agent","text":"h\u00e9 \\ \"नम\" 😀","start":[1,{"a":null}]},{"text":"b"}],"x":{}}`
	for cut := 1; cut <= len(doc); cut++ {
		if got := closeJSON([]byte(doc[:cut])); checkJSON(got) != nil || !utf8.Valid(got) {
			t.Errorf("%s became %s", doc[:cut], got)
		}
	}
	if got := string(closeJSON([]byte(doc))); got != doc {
		t.Errorf("a whole document became %s", got)
	}
	if got, want := string(closeJSON([]byte(doc[:strings.Index(doc, "नम")+3]))), `{"status":"done","n":12,"segments":[{"speaker":"agent","text":"h\u00e9 \\ \"न"}]}`; got != want {
		t.Errorf("got %s\nnot %s", got, want)
	}
}

// What a page holds goes with it: the buffer that it was read into is used again for the next row.
func TestRowsOutliveTheirBuffer(t *testing.T) {
	var b strings.Builder
	for i := range 5000 {
		b.WriteString(`,{"id":"call_` + strconv.Itoa(i) + `","name":"n` + strconv.Itoa(i) + `","timestamp":"x1"}` + `,{"id":"c` + strconv.Itoa(i) + `","campaign_id":"p` + strconv.Itoa(i) + `"}`)
	}
	p, err := decodePage(strings.NewReader("["+b.String()[1:]+"]"), "")
	if err != nil || len(p.Calls) != 5000 || len(p.Broken) != 5000 {
		t.Fatal(len(p.Calls), len(p.Broken), err)
	}
	for i := range 5000 {
		n := strconv.Itoa(i)
		if c, w := p.Calls[i], p.Broken[i]; c.ID != "c"+n || c.CampaignID != "p"+n || w.ID != "call_"+n || !strings.Contains(string(w.Raw), `"n`+n+`"`) {
			t.Fatalf("%d: %+v %s", i, c, w.Raw)
		}
	}
}
