// Command sbom prints the software bill of materials of a release: CycloneDX 1.6 in JSON.
//
//	sbom VERSION GOARCH...
//
// It lists each module that is linked into the program for any of the architectures, the module that the container
// image's certificate authorities come from, and Go's standard library, with licences, hashes and who needs whom. The
// time of the document is SOURCE_DATE_EPOCH, and nothing else in it depends on the machine.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	mainModule = "github.com/vinfer-sync/vinfer-sync"
	program    = "./cmd/vinfer-sync"
	roots      = "./packaging/roots"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: sbom VERSION GOARCH...")
		os.Exit(2)
	}
	if err := write(os.Stdout, os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func write(out io.Writer, version string, arches []string) error {
	made, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	parts := inventory{}
	for _, arch := range arches {
		if err := parts.add(program, arch); err != nil {
			return err
		}
	}
	if err := parts.add(roots, arches[0]); err != nil {
		return err
	}
	b, err := parts.document(version, time.Unix(made, 0).UTC())
	if err != nil {
		return err
	}
	// The serial number names the content.
	sum := sha256.Sum256(b)
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // a UUID of version 8, whose bits are free
	serial := fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
	_, err = out.Write(append(bytes.Replace(b, []byte(serialPlace), []byte(serial), 1), '\n'))
	return err
}

// goPackage is what go list says of a package.
type goPackage struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Module     *struct {
		Path, Version, Dir, Sum string
		Main                    bool
		Replace                 *struct{ Path string }
	}
}

// part is a module that is linked into something of the release.
type part struct {
	path, version, sum string
	licences           []string
	needs              map[string]bool // paths of modules
}

// inventory has the parts by their path; the standard library's is stdlib.
type inventory map[string]*part

// add adds what the package is built of for an architecture.
func (inv inventory) add(pkg, arch string) error {
	c := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Imports,Module", pkg) //nolint:gosec,noctx // the packages are those named above; it ends by itself
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	c.Stderr = os.Stderr
	listed, err := c.Output()
	if err != nil {
		return fmt.Errorf("go list %s for %s: %w", pkg, arch, err)
	}
	owner := map[string]string{} // of packages; a package comes after those that it imports
	for dec := json.NewDecoder(bytes.NewReader(listed)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("go list %s: %w", pkg, err)
		}
		at, err := inv.of(p)
		if err != nil {
			return err
		}
		owner[p.ImportPath] = at.path
		for _, imported := range p.Imports {
			if needed := owner[imported]; needed != "" && needed != at.path {
				at.needs[needed] = true
			}
		}
	}
}

// of returns the part that a package belongs to.
func (inv inventory) of(p goPackage) (*part, error) {
	at := part{path: "stdlib", needs: map[string]bool{}}
	dir := ""
	switch m := p.Module; {
	case p.Standard:
		out, err := exec.Command("go", "env", "GOVERSION", "GOROOT").Output() //nolint:noctx // it ends by itself
		if err != nil {
			return nil, fmt.Errorf("go env: %w", err)
		}
		version, root, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		at.version, dir = strings.TrimPrefix(version, "go"), root
	case m.Replace != nil:
		return nil, fmt.Errorf("%s is replaced by %s: say here what that means", m.Path, m.Replace.Path)
	default:
		at.path, at.version, at.sum, dir = m.Path, m.Version, m.Sum, m.Dir
		if m.Main {
			at.version = ""
		}
	}
	if known := inv[at.path]; known != nil {
		return known, nil
	}
	var err error
	if at.licences, err = licencesIn(dir); err != nil {
		return nil, fmt.Errorf("%s: %w", at.path, err)
	}
	inv[at.path] = &at
	return &at, nil
}

// licences are SPDX's names, and words that only that licence has.
var licences = []struct{ id, words string }{
	{"MIT", "Permission is hereby granted, free of charge"},
	{"BSD-3-Clause", "may be used to endorse or promote products derived"},
	{"BSD-2-Clause", "Redistribution and use in source and binary forms"},
	{"Apache-2.0", "Apache License Version 2.0"},
	{"MPL-2.0", "Mozilla Public License"},
	{"ISC", "Permission to use, copy, modify, and/or distribute this software"},
}

// licencesIn finds out what the files of a module's directory license it under.
func licencesIn(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "LICEN[CS]E*"))
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, l := range licences {
			if strings.Contains(strings.Join(strings.Fields(string(text)), " "), l.words) && (l.id != "BSD-2-Clause" || !found["BSD-3-Clause"]) {
				found[l.id] = true
			}
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no known licence in %s (%d files)", dir, len(files))
	}
	return slices.Sorted(maps.Keys(found)), nil
}

const serialPlace = "urn:uuid:to-be-made-of-the-content"

type (
	object = map[string]any
	list   = []any
)

// document makes CycloneDX of the inventory. Maps are written in the order of their keys.
func (inv inventory) document(version string, made time.Time) ([]byte, error) {
	self := inv[mainModule]
	if self == nil {
		return nil, fmt.Errorf("%s is not part of itself", mainModule)
	}
	self.version = version
	components, dependencies := list{}, list{}
	for _, path := range slices.Sorted(maps.Keys(inv)) {
		p := inv[path]
		if p != self {
			c, err := p.component()
			if err != nil {
				return nil, err
			}
			components = append(components, c)
		}
		needs := list{}
		for _, needed := range slices.Sorted(maps.Keys(p.needs)) {
			needs = append(needs, inv[needed].purl())
		}
		dependencies = append(dependencies, object{"ref": p.purl(), "dependsOn": needs})
	}
	about, err := self.component()
	if err != nil {
		return nil, err
	}
	about["type"] = "application"
	return json.MarshalIndent(object{
		"$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "serialNumber": serialPlace,
		"metadata":   object{"timestamp": made.Format(time.RFC3339), "lifecycles": list{object{"phase": "build"}}, "component": about},
		"components": components, "dependencies": dependencies,
	}, "", "  ")
}

// purl is the package URL, by which databases of weaknesses know a module.
func (p *part) purl() string {
	return "pkg:golang/" + p.path + "@" + strings.ReplaceAll(p.version, "+", "%2B")
}

func (p *part) component() (object, error) {
	ids := list{}
	for _, id := range p.licences {
		ids = append(ids, object{"license": object{"id": id}})
	}
	c := object{"type": "library", "bom-ref": p.purl(), "purl": p.purl(), "name": p.path, "version": p.version, "licenses": ids}
	if p.sum != "" {
		// What go.sum has: a SHA-256 of the module's files and their names.
		sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(p.sum, "h1:"))
		if err != nil {
			return nil, fmt.Errorf("%s has the sum %s: %w", p.path, p.sum, err)
		}
		c["hashes"] = list{object{"alg": "SHA-256", "content": hex.EncodeToString(sum)}}
	}
	return c, nil
}
