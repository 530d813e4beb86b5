package people

import (
	"context"
	"errors"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// CheckOwner tells whether the CRM knows the user who is configured to own what is made; nothing if none is. find returns the user's id, empty
// if there is none: missing says so then.
func CheckOwner(ctx context.Context, name, missing string, find func(ctx context.Context, name string) (string, error)) []crm.Finding {
	if name == "" {
		return nil
	}
	id, err := find(ctx, name)
	if err == nil && id == "" {
		err = errors.New(missing)
	}
	return []crm.Finding{{Subject: "owner", Detail: name, Err: err}}
}
