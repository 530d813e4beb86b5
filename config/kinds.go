package config

import (
	"errors"
	"time"

	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// SQLite configures the sqlite kind.
type SQLite struct {
	Path string `yaml:"path"`
}

// Validate checks it.
func (c *SQLite) Validate() error {
	if c.Path == "" {
		return errors.New("path: is needed")
	}
	return nil
}

// JSONL configures the jsonl kind.
type JSONL struct {
	Path string `yaml:"path"`
}

// Validate checks it.
func (c *JSONL) Validate() error {
	if c.Path == "" {
		return errors.New("path: is needed")
	}
	return nil
}

// Webhook configures the webhook kind.
type Webhook struct {
	URL     string        `yaml:"url"`
	Secret  secret.Text   `yaml:"secret"`
	Timeout time.Duration `yaml:"timeout"`
	Events  []string      `yaml:"events"`
}

// Validate checks it.
func (c *Webhook) Validate() error {
	if c.URL == "" {
		return errors.New("url: is needed")
	}
	return nil
}
