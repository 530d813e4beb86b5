package main

import (
	"maps"
	"testing"
)

func TestEnvLines(t *testing.T) {
	got := envLines("# VINFER_API_KEY=old\n; X=1\nVINFER_API_KEY=ab=c\r\n A='b c'\nB=\"\"\n=x\nnothing\nC=\"\n")
	want := map[string]string{"VINFER_API_KEY": "ab=c", "A": "b c", "B": "", "C": "\""}
	if !maps.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
