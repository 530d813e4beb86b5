package vinfersync_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// licences are those that what the program is built of may have, by words that only each of them has.
var licences = map[string]string{
	"MIT":        "Permission is hereby granted, free of charge",
	"BSD":        "Redistribution and use in source and binary forms",
	"Apache-2.0": "Apache License Version 2.0",
	"MPL-2.0":    "Mozilla Public License",
	"ISC":        "Permission to use, copy, modify, and/or distribute this software",
}

// What is linked into the program has a licence that a program under MIT can live with.
func TestLicences(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}", "./cmd/vinfer-sync").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		path, dir, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || seen[path] {
			continue
		}
		seen[path] = true
		files, err := filepath.Glob(filepath.Join(dir, "LICEN[CS]E*"))
		if err != nil {
			t.Fatal(err)
		}
		fits := false
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, words := range licences {
				fits = fits || strings.Contains(strings.Join(strings.Fields(string(b)), " "), words)
			}
		}
		if !fits {
			t.Errorf("%s has none of the licences that are taken: %q", path, files)
		}
	}
	if len(seen) < 10 {
		t.Errorf("only %d modules seen", len(seen))
	}
}
