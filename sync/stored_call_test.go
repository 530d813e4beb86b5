package sync

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// A body has all that a call has.
func TestContentKeepsEveryField(t *testing.T) {
	qa, duration := 87.5, 0.0
	whole := content{
		Call: vinfer.Call{
			ID: "call_1", CampaignID: "camp", Phone: "+919876543210", Name: "प्रिया", Direction: "inbound", Status: "completed", Disposition: "interested",
			DurationSeconds: &duration, Language: "hi-IN", StartedAt: time.Date(2024, 1, 15, 10, 35, 22, 0, time.UTC), EndedAt: time.Date(2024, 1, 15, 10, 36, 0, 5e6, time.UTC),
			TranscriptURL: "https://x/t", TranscriptJob: "job", Sentiment: "-0.5", QAScore: &qa, Summary: "s", CallbackAt: "2024-01-16 10:00",
		},
		Transcript: &vinfer.Transcript{Segments: []vinfer.Segment{{Speaker: "agent", Text: "नमस्ते", Start: 1, End: 2.5}}, Language: "hi"},
	}
	call := reflect.ValueOf(whole.Call)
	for i := range call.NumField() {
		if call.Field(i).IsZero() {
			t.Errorf("the test leaves %s out", call.Type().Field(i).Name)
		}
	}
	b := encode(whole)
	if got, err := decode(b); err != nil || !reflect.DeepEqual(got, whole) {
		t.Errorf("%+v, %v", got, err)
	}
	for n := range b {
		if c, err := decode(b[:n]); err == nil && n > 0 && reflect.DeepEqual(c, whole) {
			t.Errorf("%d of %d bytes are taken for all", n, len(b))
		}
	}
	for _, bad := range []string{"", "x", "{", `{"id":1}`, `{"ended":"noon"}`} {
		if c, err := decode([]byte(bad)); err == nil || !strings.HasPrefix(err.Error(), "stored call: ") {
			t.Errorf("%q is %+v, %v", bad, c, err)
		}
	}
}
