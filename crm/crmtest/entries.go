package crmtest

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// Texts are what people say and attackers send. They must arrive as they are.
var Texts = map[string]string{
	"hindi":     "नमस्ते, मुझे कल सुबह दस बजे फ़ोन कीजिए। क्षमा करें!",
	"tamil":     "வணக்கம், நாளை காலை பத்து மணிக்கு அழைக்கவும்",
	"emoji":     "ok 👍🏽 👨‍👩‍👧‍👦 🇮🇳",
	"html":      `<script>alert("1")</script><b>&amp;</b> a < b > c`,
	"formula":   `=HYPERLINK("http://evil.example","click")`,
	"plus":      "+cmd|' /C calc'!A0",
	"quotes":    `Robert'); DROP TABLE calls;-- "x" \' \" %_ ''`,
	"template":  "{{.Secret}} ${HOME} $(id) `id` %s %d",
	"nul":       "before\x00after",
	"lines":     "agent: one\ncustomer: two\r\n\tthree\u2028four",
	"long":      strings.Repeat("लंबा text ", 4000),
	"backslash": `C:\new\table \u0041`,
}

// base is the completion of the first call.
var base = time.Date(2024, 1, 15, 10, 35, 22, 0, time.UTC)

// Completed returns the first news of call n, of a contact of its own.
func Completed(n int) crm.Entry {
	duration, score := 145.0, 87.0
	id := fmt.Sprintf("cal_test%05d", n)
	ended := base.Add(time.Duration(n) * time.Minute)
	return crm.Entry{
		Event: crm.CallCompleted, Key: strings.ReplaceAll(id, "_", "-") + "-completed-1", Revision: 1, Attempt: 1,
		Call: crm.Call{
			ID: id, Campaign: "cmp_4Rv8sT1wX", Contact: contact(n), Direction: "outbound", Status: "completed", Disposition: "interested",
			RawDisposition: "interested", Duration: &duration, Language: "hi-IN", StartedAt: ended.Add(-145 * time.Second), EndedAt: ended,
			TranscriptURL: "https://api.vinfer.ai/v1/transcription/job_def789/transcript", Sentiment: "positive", QAScore: &score,
			Summary: "Customer confirmed interest in the top-up loan product.",
		},
		Status: "Hot Lead", SetStatus: true,
	}
}

// Full returns the first news of call n with everything that an entry can ask for: a status, a task, an escalation, no more calls.
func Full(n int) crm.Entry {
	e := Completed(n)
	e.Call.Disposition, e.Call.RawDisposition = "escalated", "Escalated"
	e.Call.CallbackAt = e.Call.EndedAt.Add(2 * time.Hour)
	e.DoNotCall = true
	e.Task = &crm.Task{Title: "Call back " + e.Call.Contact.Name, Due: e.Call.CallbackAt}
	return e
}

// Transcribed returns the entry of call n's transcript.
func Transcribed(n int) crm.Entry {
	e := Completed(n)
	e.Call = Full(n).Call
	e.Event, e.Key = crm.TranscriptReady, strings.Replace(e.Key, "completed", "transcript", 1)
	e.SetStatus, e.Status = false, ""
	e.Transcript = &crm.Transcript{
		Text: "agent: नमस्ते\ncustomer: Yes, tomorrow.", Language: "hi-IN", Summary: "Asks for a call tomorrow.",
		Segments: []crm.Segment{
			{Speaker: "agent", Text: "नमस्ते", Start: 0, End: 1.25},
			{Speaker: "customer", Text: "Yes, tomorrow.", Start: 1.5, End: 3},
		},
	}
	return e
}

// Revised returns the next revision of e, whose disposition is another.
func Revised(e crm.Entry, disposition, status string) crm.Entry {
	e.Revision++
	e.Event = crm.DispositionSet
	e.Key = fmt.Sprintf("%s-disposition-%d", strings.ReplaceAll(e.Call.ID, "_", "-"), e.Revision)
	e.Call.Disposition, e.Call.RawDisposition, e.Status = disposition, disposition, status
	return e
}

func contact(n int) crm.Contact {
	national := fmt.Sprintf("98765%05d", n)
	return crm.Contact{Phone: "+91" + national, E164: "+91" + national, National: national, Name: "Priya Sharma " + strconv.Itoa(n)}
}

func phoneOf(call string) string { return "+9198765" + strings.TrimPrefix(call, "cal_test") }
