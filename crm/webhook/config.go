// Package webhook delivers calls as VInfer's own webhook events, so that a handler that was written for those works
// unchanged where VInfer cannot reach it.
//
// Every event is a POST of its own with a stable Idempotency-Key; the body under one key never changes. The receiver has no
// other means to tell a repeat, so at most the delivery that was in flight is repeated after a lost answer.
package webhook

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// Escalated is the event that is sent besides a call's own when its disposition is "escalated".
const Escalated = "call.escalated"

// DefaultTimeout is how long the receiver may take, as VInfer documents it.
const DefaultTimeout = 10 * time.Second

// DefaultEvents are the events that are sent where the configuration names none: those that VInfer documents for a call.
var DefaultEvents = []string{string(crm.CallCompleted), string(crm.DispositionSet), Escalated, string(crm.TranscriptReady)}

// Config says where the events go. Its timeout is DefaultTimeout if zero.
type Config struct {
	URL          string      `yaml:"url"`
	Secret       secret.Text `yaml:"secret"` // signs the bodies; none: they are not signed
	SecretFile   string      `yaml:"secret_file"`
	Events       []string    `yaml:"events"` // only these; empty: DefaultEvents
	httpx.Config `yaml:",inline"`
}

// Validate checks the configuration without touching a file or the network. Each fault begins with its key.
func (c Config) Validate() error {
	var faults []error
	if _, err := httpx.Origin("url", c.URL); err != nil {
		faults = append(faults, err)
	}
	if !c.Secret.Empty() && c.SecretFile != "" {
		faults = append(faults, errors.New("secret and secret_file: set one of them"))
	}
	known := append(slices.Clone(DefaultEvents), string(crm.CallUpdated))
	for _, e := range c.Events {
		if !slices.Contains(known, e) {
			faults = append(faults, fmt.Errorf("events: %q is not known; use %s", e, strings.Join(known, ", ")))
		}
	}
	for name := range c.Headers {
		if strings.HasPrefix(strings.ToLower(name), "x-vinfer-") {
			faults = append(faults, fmt.Errorf("headers: %s cannot be set: the destination sets it", name))
		}
	}
	return errors.Join(append(faults, c.Config.Validate())...)
}

// Open makes the writer, as New does.
func (c Config) Open(s crm.Settings) (crm.Writer, error) { return crm.Opened(New(c, s.Workers)) }

// Identity names what the access depends on besides the secrets.
func (c Config) Identity() string { return c.URL }

// Complete fills in the timeout and the events that VInfer documents.
func (c *Config) Complete(_, _ string) {
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if len(c.Events) == 0 {
		c.Events = slices.Clone(DefaultEvents)
	}
}

func (c Config) secret() (string, error) {
	if c.SecretFile == "" {
		return c.Secret.Reveal(), nil
	}
	b, err := os.ReadFile(c.SecretFile)
	if err != nil {
		return "", fmt.Errorf("secret_file: %w", err)
	}
	s := strings.TrimRight(string(b), "\r\n")
	if s == "" {
		return "", fmt.Errorf("secret_file: %s is empty", c.SecretFile)
	}
	return s, nil
}
