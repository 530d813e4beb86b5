// Package vinfersync holds the one file of the repository's root that the program carries with it: the example configuration.
package vinfersync

import _ "embed"

// Example is config.example.yaml: every key with its default, and every kind of destination.
//
//go:embed config.example.yaml
var Example string
