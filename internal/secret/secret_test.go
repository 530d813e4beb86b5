package secret

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestNothingPrintsIt(t *testing.T) {
	const value = "s3cr3t-value"
	x := struct {
		Key  Text
		Ptr  *Text
		List map[string]Text
	}{Key: New(value)}
	x.Ptr, x.List = &x.Key, map[string]Text{"a": x.Key}
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&b, verb+"\n", x)
		fmt.Fprintf(&b, verb+"\n", x.Key)
	}
	j, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	b.Write(j)
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "key", x.Key, "all", x)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "key", x.Key, "all", x)
	if s := b.String(); strings.Contains(s, value) || strings.Contains(s, fmt.Sprintf("%x", value)) || !strings.Contains(s, mask) {
		t.Errorf("printed:\n%s", s)
	}
	if x.Key.Reveal() != value {
		t.Error("lost")
	}
}

func TestEmpty(t *testing.T) {
	if x := New(""); !x.Empty() || x.String() != "" || x.Reveal() != "" {
		t.Errorf("%v", x)
	}
}
