package vinfer

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func f64(f float64) *float64 { return &f }

func utc(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

const guideRow = `{"call_id": "call_abc123", "campaign_id": "camp_xyz456", "contact": {"phone": "+919876543210", "name": "Priya Sharma"}, "disposition": "interested", "duration_seconds": 145,
 "language": "hi-IN", "timestamp": "2024-01-15T10:35:22Z", "transcript_url": "https://api.vinfer.ai/v1/transcription/job_def789/transcript",
 "neuronlens": {"sentiment": "positive", "qa_score": 87, "summary": "Customer confirmed interest in the top-up loan product."}}`

const referencePage = `{"data": [{"id": "cal_9Hm3kP7qZ", "campaign_id": "cmp_4Rv8sT1wX", "contact": {"phone": "+919876543210", "name": "Priya Sharma"}, "status": "completed", "disposition": "escalated",
  "duration_seconds": 142, "language": "hi-IN", "started_at": "2024-02-01T09:14:03Z", "ended_at": "2024-02-01T09:16:25Z"}], "total": 1, "limit": 25, "offset": 0}`

func TestDecodeTheDocumentedRows(t *testing.T) {
	p, err := decodePage(strings.NewReader(`[`+guideRow+`]`), "")
	if err != nil {
		t.Fatal(err)
	}
	want := Call{
		ID: "call_abc123", CampaignID: "camp_xyz456", Phone: "+919876543210", Name: "Priya Sharma", Disposition: "interested",
		DurationSeconds: f64(145), Language: "hi-IN", EndedAt: utc("2024-01-15T10:35:22Z"),
		TranscriptURL: "https://api.vinfer.ai/v1/transcription/job_def789/transcript",
		Sentiment:     "positive", QAScore: f64(87), Summary: "Customer confirmed interest in the top-up loan product.",
	}
	if len(p.Calls) != 1 || !reflect.DeepEqual(p.Calls[0], want) || p.Total != -1 || p.Limit != 0 || p.Rows != 1 {
		t.Errorf("read %+v", p)
	}
	p, err = decodePage(strings.NewReader(referencePage), "")
	if err != nil {
		t.Fatal(err)
	}
	want = Call{
		ID: "cal_9Hm3kP7qZ", CampaignID: "cmp_4Rv8sT1wX", Phone: "+919876543210", Name: "Priya Sharma", Status: "completed",
		Disposition: "escalated", DurationSeconds: f64(142), Language: "hi-IN",
		StartedAt: utc("2024-02-01T09:14:03Z"), EndedAt: utc("2024-02-01T09:16:25Z"),
	}
	if len(p.Calls) != 1 || !reflect.DeepEqual(p.Calls[0], want) || p.Total != 1 || p.Limit != 25 || p.Rows != 1 {
		t.Errorf("read %+v", p)
	}
}

func TestDecodeRow(t *testing.T) {
	end := utc("2024-01-15T10:35:22Z")
	for _, tt := range []struct {
		name, row string
		want      Call
		broken    string // in the error
	}{
		{"nothing but an id", `{"id":"a"}`, Call{ID: "a"}, ""},
		{"nulls", `{"id":"a","contact":null,"disposition":null,"timestamp":null,"duration_seconds":null,"neuronlens":null,"status":null}`, Call{ID: "a"}, ""},
		{"an id as number", `{"id":12345678901234567890123}`, Call{ID: "12345678901234567890123"}, ""},
		{"numbers as text", `{"id":"a","duration_seconds":"12.5","qa_score":"90"}`, Call{ID: "a", DurationSeconds: f64(12.5), QAScore: f64(90)}, ""},
		{"other case is another name", `{"id":"a","ID":"b","Call_ID":"c"}`, Call{ID: "a"}, ""},
		{"a doubled name", `{"id":"a","id":"b"}`, Call{ID: "b"}, ""},
		{"both ids", `{"id":"evt_1","call_id":"a"}`, Call{ID: "a"}, ""},
		{"a flat contact", `{"id":"a","contact_phone":"+911","contact_name":"N"}`, Call{ID: "a", Phone: "+911", Name: "N"}, ""},
		{"flat names", `{"id":"a","phone":"+911","name":"N"}`, Call{ID: "a", Phone: "+911", Name: "N"}, ""},
		{"a contact as number", `{"id":"a","contact":919876543210}`, Call{ID: "a", Phone: "919876543210"}, ""},
		{"a phone with an exponent", `{"id":"a","contact":{"phone":9.1987654321e11}}`, Call{ID: "a", Phone: "919876543210"}, ""},
		{"a contact as name", `{"id":"a","contact":"Priya"}`, Call{ID: "a", Name: "Priya"}, ""},
		{"a flat neuronlens", `{"id":"a","sentiment":-0.4,"qa_score":8,"summary":"S"}`, Call{ID: "a", Sentiment: "-0.4", QAScore: f64(8), Summary: "S"}, ""},
		{"senseless optional fields", `{"id":"a","duration_seconds":"abc","qa_score":{},"language":[],"campaign_id":true,"neuronlens":7}`, Call{ID: "a"}, ""},
		{"a senseless duration", `{"id":"a","duration_seconds":-1}`, Call{ID: "a"}, ""},
		{"a huge duration", `{"id":"a","duration_seconds":1e300}`, Call{ID: "a"}, ""},
		{"0 seconds are known", `{"id":"a","duration_seconds":0}`, Call{ID: "a", DurationSeconds: f64(0)}, ""},
		{"status", `{"id":"a","status":"In-Progress","direction":"INBOUND"}`, Call{ID: "a", Status: "in_progress", Direction: "inbound"}, ""},
		{"a call-back", `{"id":"a","callback_time":"2024-01-15 10:00"}`, Call{ID: "a", CallbackAt: "2024-01-15 10:00"}, ""},
		{"jobs", `{"id":"a","transcription_job_id":77}`, Call{ID: "a", TranscriptJob: "77"}, ""},
		{"a job within", `{"id":"a","transcription":{"id":"j","url":"u"}}`, Call{ID: "a", TranscriptJob: "j", TranscriptURL: "u"}, ""},
		{"a disposition within", `{"id":"a","disposition":{"code":1,"name":"paid"}}`, Call{ID: "a", Disposition: "paid"}, ""},
		{"invalid UTF-8", "{\"id\":\"a\",\"name\":\"P\xffya\"}", Call{ID: "a", Name: "P\uFFFDya"}, ""},
		{"ended_at before timestamp", `{"id":"a","ended_at":"2024-01-15T10:35:22Z","timestamp":"2024-01-15T11:00:00Z"}`, Call{ID: "a", EndedAt: end}, ""},
		{"in progress with a timestamp", `{"id":"a","status":"in_progress","ended_at":null,"timestamp":"2024-01-15T10:35:22Z"}`, Call{ID: "a", Status: "in_progress", StartedAt: end}, ""},
		{"a senseless start, but an end", `{"id":"a","started_at":"x","ended_at":"2024-01-15T10:35:22Z"}`, Call{ID: "a", EndedAt: end}, ""},
		{"no time yet", `{"id":"a","timestamp":"0001-01-01T00:00:00Z","started_at":0}`, Call{ID: "a"}, ""},

		{"a senseless timestamp", `{"id":"a","timestamp":"banana"}`, Call{ID: "a"}, "6 characters of text"},
		{"a senseless end beside a start", `{"id":"a","started_at":"2024-01-15T10:35:22Z","ended_at":{}}`, Call{ID: "a"}, "not a time"},
		{"a senseless start alone", `{"id":"a","started_at":"30 February"}`, Call{ID: "a"}, "30 February"},
		{"a time in no age", `{"id":"a","timestamp":"9024-01-15T10:35:22Z"}`, Call{ID: "a"}, "not a time"},
		{"no id", `{"timestamp":"2024-01-15T10:35:22Z"}`, Call{}, "id"},
		{"an id that is none", `{"id":{}}`, Call{}, "id"},
		{"an empty id", `{"id":" "}`, Call{}, "id"},
		{"an id that lost characters", "{\"id\":\"a\xff\"}", Call{}, "id"},
		{"an endless id", `{"id":"` + strings.Repeat("a", 300) + `"}`, Call{}, "id"},
		{"null", `null`, Call{}, "object"},
		{"text", `"call"`, Call{}, "object"},
		{"nothing usable", `{"id":"a","contact":[]}`, Call{ID: "a"}, "usable"},
		{"a zone that is not known", `{"id":"a","timestamp":"Sat, 28 Nov 2026 18:37:34 IST"}`, Call{ID: "a"}, "not a time"},
		{"a phone for a time", `{"id":"a","timestamp":"+91 98765 43210"}`, Call{ID: "a"}, "+xx xxxxx xxx10"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decodeRow(json.RawMessage(tt.row))
			if tt.broken != "" {
				if err == nil || !strings.Contains(err.Error(), tt.broken) || got.ID != tt.want.ID {
					t.Errorf("read %+v, %v", got, err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("read %+v, %v", got, err)
			}
		})
	}
}

func TestDecodeTimes(t *testing.T) {
	for in, want := range map[string]string{
		"2024-01-15T10:35:22Z":             "2024-01-15T10:35:22Z",
		"2024-01-15T10:35:22.123456Z":      "2024-01-15T10:35:22.123456Z",
		"2024-01-15T16:05:22+05:30":        "2024-01-15T10:35:22Z",
		"2024-01-15T16:05:22+0530":         "2024-01-15T10:35:22Z",
		"2024-01-15T05:35:22-05":           "2024-01-15T10:35:22Z",
		"2024-01-15 10:35:22":              "2024-01-15T10:35:22Z",
		"2024-01-15 10:35:22 UTC":          "2024-01-15T10:35:22Z",
		"2024-01-15 16:05:22.5 +05:30":     "2024-01-15T10:35:22.5Z",
		"2024-01-15t10:35:22z":             "2024-01-15T10:35:22Z",
		"2024-01-15T10:35":                 "2024-01-15T10:35:00Z",
		"20240115T103522Z":                 "2024-01-15T10:35:22Z",
		"2016-12-31T23:59:60Z":             "2016-12-31T23:59:59Z",
		"2024-01-15T10:60:22Z":             "",
		"1705314922":                       "2024-01-15T10:35:22Z",
		"1705314922.5":                     "2024-01-15T10:35:22.5Z",
		"1705314922000":                    "2024-01-15T10:35:22Z",
		"1.705314922e9":                    "2024-01-15T10:35:22Z",
		"1705314922123456":                 "2024-01-15T10:35:22.123456Z",
		"1705314922123456789":              "2024-01-15T10:35:22.123456789Z",
		"Mon, 15 Jan 2024 10:35:22 GMT":    "2024-01-15T10:35:22Z",
		"Mon, 15 Jan 2024 10:35:22 UTC":    "2024-01-15T10:35:22Z",
		"Mon, 15 Jan 2024 10:35:22 gmt":    "2024-01-15T10:35:22Z",
		"Mon, 15 Jan 2024 16:05:22 +0530":  "2024-01-15T10:35:22Z",
		"Mon, 5 Feb 2024 10:35:22 GMT":     "2024-02-05T10:35:22Z",
		"15 Jan 2024 16:05:22 +0530 (IST)": "2024-01-15T10:35:22Z",
		"2024-01-15 16:05:22 +0530 IST":    "",
		"2024-01-15 10:35:22 +0000 UTC":    "2024-01-15T10:35:22Z",
		"Mon, 15 Jan 2024 16:05:22 IST":    "", // India, Israel or Ireland
		"Mon, 15 Jan 2024 05:35:22 EST":    "",
		"Mon, 15 Jan 2024 02:35:22 PDT":    "",
		"Mon, 15 Jan 2024 11:35:22 CET":    "",
		"Mon, 15 Jan 2024 18:35:22 SGT":    "",
		"2024-01-15 16:05:22 IST":          "",
		"2024-01-15T16:05:22IST":           "",
		"20240115103522":                   "", // digits of a date, which as milliseconds would be the year 2611
		"2024-01-15":                       "", // which moment of the day is not known
		"2024-02-30T10:00:00Z":             "",
		"12345":                            "",
		"-1":                               "",
		"NaN":                              "",
		"1e400":                            "",
		"banana":                           "",
		"2024-01-15T10:35:22Z and so on":   "",

		"Mon Jan 15 2024 16:05:22 GMT+0530 (India Standard Time)": "2024-01-15T10:35:22Z",
	} {
		got, err := ParseTime(in, nil)
		if want == "" {
			if err == nil {
				t.Errorf("%q was read as %v", in, got)
			}
		} else if err != nil || !got.Equal(utc(want)) || got.Location() != time.UTC {
			t.Errorf("%q was read as %v, %v", in, got, err)
		}
	}
}

// A time that names no zone is in the one that the caller knows; no other is moved by it, nor by this machine's.
func TestParseTimeInAZone(t *testing.T) {
	india := time.FixedZone("IST", 19800)
	local := time.Local
	defer func() { time.Local = local }()
	time.Local = india //nolint:gosmopolitan // as on a machine in India, where Go knows IST
	for in, want := range map[string]string{
		"2026-11-30T01:36:36":             "2026-11-29T20:06:36Z",
		"2026-11-30 01:36":                "2026-11-29T20:06:00Z",
		"20261130T013636":                 "2026-11-29T20:06:36Z",
		"2026-11-30T01:36:36+0530":        "2026-11-29T20:06:36Z",
		"2026-11-30T01:36:36z":            "2026-11-30T01:36:36Z",
		"2026-11-30t01:36:36":             "2026-11-29T20:06:36Z",
		"2026-11-30 01:36:36 UTC":         "2026-11-30T01:36:36Z",
		"2026-11-30 01:36:36 utc":         "2026-11-30T01:36:36Z",
		"1796002596":                      "2026-11-30T01:36:36Z",
		"1796002596000":                   "2026-11-30T01:36:36Z",
		"Mon, 30 Nov 2026 01:36:36 GMT":   "2026-11-30T01:36:36Z",
		"Mon, 30 Nov 2026 01:36:36 +0530": "2026-11-29T20:06:36Z",
		"Mon, 30 Nov 2026 01:36:36 IST":   "",
		"tomorrow at five":                "",
		"":                                "",
	} {
		got, err := ParseTime(in, india)
		if want == "" {
			if err == nil {
				t.Errorf("%q was read as %v", in, got)
			}
		} else if err != nil || !got.Equal(utc(want)) {
			t.Errorf("%q was read as %v, %v", in, got, err)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"2026-11-30 01:36:36 UTC", "Mon Jan 15 2024 16:05:22 GMT+0530 (India Standard Time)", "20240115T103522Z", "1705314922"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if at, err := ParseTime(s, time.FixedZone("", 19800)); err == nil && (at.Year() < 1980 || at.Year() > 2100 || at.Location() != time.UTC) {
			t.Fatal(at)
		}
	})
}

func TestDecodePage(t *testing.T) {
	for _, tt := range []struct {
		name, body         string
		rows, total, limit int
	}{
		{"bare", `[{"id":1}]`, 1, -1, 0},
		{"data", `{"data":[{"id":1}],"total":"7","limit":"50"}`, 1, 7, 50},
		{"calls", ` {"calls":[]}`, 0, -1, 0},
		{"results", `{"results":[{"id":1},{"id":1}],"total":null}`, 2, -1, 0},
		{"items", "\xef\xbb\xbf{\"items\":[null]}", 1, -1, 0},
		{"wrapped", `{"data":{"calls":[{"id":1}],"total":3}}`, 1, 3, 0},
		{"meta", `{"data":[],"meta":{"total":3,"limit":4}}`, 0, 3, 4},
		{"senseless counts", `{"data":[],"total":-4,"limit":1e99}`, 0, -1, 0},
		{"a success", `{"success":true,"status":"ok","data":[]}`, 0, -1, 0},
		{"an error that is none", `{"error":null,"data":[]}`, 0, -1, 0},
	} {
		p, err := decodePage(strings.NewReader(tt.body), "")
		if err != nil || p.Rows != tt.rows || p.Total != tt.total || p.Limit != tt.limit || p.Rows != len(p.Calls)+len(p.Broken) {
			t.Errorf("%s: %+v, %v", tt.name, p, err)
		}
	}
	for _, body := range []string{
		"", " ", "<html>", "null", "{}", `"data"`, "7", `{"data":null}`, `{"data":{}}`, `{"data":"none"}`, `{"error":"no"}`,
		`{"error":{"code":"x"},"data":[]}`, `{"success":false,"data":[]}`, `{"status":"error","data":[]}`, `{"data":[{"id":1},{"i`, `[] []`, `{"Data":[]}`, `{"data":{"id":1}}`, "\xff\xfe",
	} {
		if p, err := decodePage(strings.NewReader(body), ""); !errors.Is(err, ErrUnreadable) {
			t.Errorf("%q was read as %+v, %v", body, p, err)
		}
	}
}

func TestBrokenRowsAreKept(t *testing.T) {
	long := `{"id":"` + strings.Repeat("é", 100_000) + `"}`
	quoted := `{"id":"` + strings.Repeat(`\"`, 100_000) + `"}`
	p, err := decodePage(strings.NewReader("[{\"id\":\"a\"},7,{\"id\":\"b\",\"timestamp\":\"banana\",\"name\":\"\xff\"},"+long+","+quoted+"]"), "")
	if err != nil || len(p.Calls) != 1 || len(p.Broken) != 4 || p.Rows != 5 {
		t.Fatalf("%+v, %v", p, err)
	}
	if p.Broken[1].ID != "b" || p.Broken[0].ID != "" {
		t.Errorf("%+v", p.Broken)
	}
	for _, b := range p.Broken {
		if len(b.Raw) > maxRaw || !json.Valid(b.Raw) || b.Err == "" {
			t.Errorf("%d bytes of %.40s: %s", len(b.Raw), b.Raw, b.Err)
		}
		if _, err := json.Marshal(b); err != nil {
			t.Error(err)
		}
	}
}

func TestDecodeCall(t *testing.T) {
	for _, body := range []string{guideRow, `{"data":` + guideRow + `}`, `{"call":` + guideRow + `}`} {
		c, err := decodeCall([]byte(body), "", "call_abc123")
		if err != nil || c.ID != "call_abc123" || c.Phone == "" {
			t.Errorf("%+v, %v", c, err)
		}
	}
	c, err := decodeCall([]byte(`{"id":"a","transcript_job_id":"job_1","recording_url":"https://x/y?sig=1"}`), "", "a")
	if err != nil || c.TranscriptJob != "job_1" {
		t.Errorf("%+v, %v", c, err)
	}
	for _, body := range []string{`{}`, `[]`, `{"error":"x"}`, `{"id":"other"}`, `<p>`, `{"id":"call_abc123","timestamp":"banana"}`, ``} {
		if c, err := decodeCall([]byte(body), "", "call_abc123"); !errors.Is(err, ErrUnreadable) {
			t.Errorf("%q was read as %+v, %v", body, c, err)
		}
	}
}

func TestDecodeTranscript(t *testing.T) {
	two := []Segment{{Speaker: "agent", Text: "नमस्ते", End: 1.5}, {Speaker: "customer", Text: "வணக்கம்", Start: 1.5, End: 62}}
	segs := `[{"speaker":"Agent","text":"नमस्ते","start":0,"end":1.5,"confidence":0.9},{"speaker":"CUSTOMER","text":"வணக்கம்","start":"1.5","end":"01:02"},{"speaker":"agent","text":""},7]`
	for _, tt := range []struct {
		name, contentType, body string
		want                    Transcript
		err                     error
	}{
		{"segments", "", `{"segments":` + segs + `,"summary":"S","sentiment":"neutral","qa_score":80,"language":"hi-IN"}`, Transcript{Segments: two, Summary: "S", Sentiment: "neutral", QAScore: f64(80), Language: "hi-IN"}, nil},
		{"bare", "", segs, Transcript{Segments: two}, nil},
		{"other names", "", `{"utterances":[{"role":"agent","content":"hello","start_ms":500,"end_ms":900}]}`, Transcript{Segments: []Segment{{Speaker: "agent", Text: "hello", Start: 0.5, End: 0.9}}}, nil},
		{"a job", "", `{"id":"j","status":"completed","result":{"transcript":` + segs + `,"neuronlens":{"summary":"S"}}}`, Transcript{Segments: two, Summary: "S"}, nil},
		{"wrapped twice", "", `{"data":{"transcription":{"segments":` + segs + `}}}`, Transcript{Segments: two}, nil},
		{"a text", "", `{"transcript":"hello there"}`, Transcript{Text: "hello there"}, nil},
		{"a result that is a text", "", `{"status":"completed","result":"hello there"}`, Transcript{Text: "hello there"}, nil},
		{"JSON text", "application/json", `"hello"`, Transcript{Text: "hello"}, nil},
		{"plain text", "text/plain; charset=utf-8", "Agent: नमस्ते\nCustomer: hi\xff", Transcript{Text: "Agent: नमस्ते\nCustomer: hi\uFFFD"}, nil},
		{"plain text with clocks", "text/plain", "[00:01] Agent: hi", Transcript{Text: "[00:01] Agent: hi"}, nil},
		{"lines", "", `["Agent: hi"]`, Transcript{Segments: []Segment{{Text: "Agent: hi"}}}, nil},
		{"segments before text", "", `{"text":"all","segments":["one"]}`, Transcript{Segments: []Segment{{Text: "one"}}}, nil},

		{"processing", "", `{"status":"processing","text":"so far"}`, Transcript{}, ErrNotReady},
		{"in progress", "", `{"data":{"status":"In Progress"}}`, Transcript{}, ErrNotReady},
		{"pending within", "", `{"status":"ok","job":{"status":"queued"}}`, Transcript{}, ErrNotReady},
		{"empty", "", ``, Transcript{}, ErrNotReady},
		{"null", "", `null`, Transcript{}, ErrNotReady},
		{"no words", "", `{"segments":[],"text":""}`, Transcript{}, ErrNotReady},
		{"a mere success", "", `{"status":"completed","result":"success"}`, Transcript{}, ErrNotReady},
		{"failed", "", `{"status":"failed"}`, Transcript{}, ErrNotFound},
		{"HTML", "text/html", `<html>login</html>`, Transcript{}, ErrUnreadable},
		{"HTML as text", "text/plain", `<html>login</html>`, Transcript{}, ErrUnreadable},
		{"cut off", "application/json", `{"segments":[{"te`, Transcript{}, ErrUnreadable},
		{"cut off as text", "text/plain", `{"segments":[{"te`, Transcript{}, ErrUnreadable},
		{"audio", "audio/mpeg", "ID3\x00", Transcript{}, ErrUnreadable},
	} {
		got, _, err := decodeTranscript(tt.contentType, []byte(tt.body))
		if !errors.Is(err, tt.err) || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
	}
}
