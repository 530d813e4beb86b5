package hubspot

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/cache"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/pace"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// lag is how long HubSpot's search may hide a new contact. None is promised; this is several times what users report.
const lag = time.Minute

// Writer writes to one portal.
type Writer struct {
	*record.Writer
	api      *api
	s        crm.Settings
	keyed    *people.Book // for portals where contacts carry our key: what was made is found at once
	slow     *people.Book // for the others
	owners   *people.Owners
	optional step.Optional

	definitions cache.Cache[*definition] // by "calls.vinfer_call_id"
}

// New returns a Writer. It sends nothing.
func New(cfg Config, s crm.Settings) (*Writer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	base, err := cfg.base()
	if err != nil {
		return nil, err
	}
	token := cfg.AccessToken.Reveal()
	client, err := httpx.New(base, cfg.Config, s.Workers, token)
	if err != nil {
		return nil, err
	}
	searches := cmp.Or(cfg.SearchRate, defaultSearches)
	w := &Writer{
		api: &api{client, token, pace.New(defaultMax, defaultWindow), pace.New(searches, time.Second)}, s: s,
		keyed: people.NewBook(s, 0), slow: people.NewBook(s, lag),
	}
	w.owners = people.NewOwners(w.owner)
	w.Writer = record.New(schema{w}, record.Options{Settings: s, Owners: w.owners, Optional: &w.optional, Link: true})
	// A process that was killed a moment ago may have used this second's, and no answer would tell.
	w.api.searches.Occupy(min(searches, defaultSearches))
	return w, nil
}

// Close closes the idle connections.
func (w *Writer) Close() error { return w.api.client.Close() }

// schema is what the frame asks of this kind.
type schema struct{ *Writer }

// Begin chooses the Book that fits what the portal can do.
func (s schema) Begin(ctx context.Context, j *record.Job) (record.Contacts, *people.Book, error) {
	_, unique, err := s.key(ctx, contactKind)
	if unique {
		return &contacts{w: s.Writer, p: j.Progress}, s.keyed, err
	}
	return &contacts{w: s.Writer, p: j.Progress}, s.slow, err
}

// owner asks for the id of an owner who is given by id or mail address.
func (w *Writer) owner(ctx context.Context, owner string) (id string, err error) {
	if !strings.Contains(owner, "@") {
		return owner, nil
	}
	var answer list
	if err := w.api.call(ctx, http.MethodGet, ownersPath, url.Values{"email": {owner}, "limit": {"1"}}, nil, &answer); err != nil {
		return "", err
	}
	rows, err := answer.rows(w.api, "a search for owners")
	if err != nil {
		return "", err
	}
	if len(rows) > 0 {
		id = string(rows[0].ID)
	}
	return id, nil
}
