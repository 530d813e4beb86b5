package people

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/cache"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/warn"
)

// unknownFor is for how long a user whom the CRM does not know is not asked for again.
const unknownFor = 10 * time.Minute

// Owners finds the users who are to own what is made, by what the configuration calls them. An unknown one loses no call: somebody else owns what is made, and
// a warning says so. It is safe for concurrent use.
type Owners struct {
	find func(ctx context.Context, name string) (id string, err error)

	told warn.Daily
	ids  cache.Cache[string] // empty: there is none
}

// NewOwners returns Owners. find asks the CRM for a user's id, empty if there is none; a name that is an id already needs no request.
func NewOwners(find func(ctx context.Context, name string) (id string, err error)) *Owners {
	return &Owners{find: find}
}

// ID returns the id of a user; empty: no name is given, or the CRM knows no such user.
func (o *Owners) ID(ctx context.Context, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	return o.ids.Get(ctx, strings.ToLower(name), func(ctx context.Context) (string, time.Duration, error) {
		id, err := o.find(ctx, name)
		if id == "" {
			return "", unknownFor, err
		}
		return id, cache.Forever, err
	})
}

// Or returns the id of the user who is named, and otherwise where none is, or the CRM knows no such user: of that it warns once a day.
func (o *Owners) Or(ctx context.Context, name, otherwise string, p *crm.Progress) (string, error) {
	id, err := o.ID(ctx, name)
	if err != nil || id != "" {
		return id, err
	}
	if name != "" {
		o.told.Warn(p, name, "there is no active user %q: the contact's owner or who writes gets what is made", name)
	}
	return otherwise, nil
}

// Check tells whether the CRM knows the user who is configured to own what is made; nothing if none is. missing says that there is none.
func (o *Owners) Check(ctx context.Context, name, missing string) []crm.Finding {
	if name == "" {
		return nil
	}
	id, err := o.find(ctx, name)
	if err == nil && id == "" {
		err = errors.New(missing)
	}
	return []crm.Finding{{Subject: "owner", Detail: name, Err: err}}
}
