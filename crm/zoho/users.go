package zoho

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// user returns the id of a user by id, e-mail address or name.
func (a *api) user(ctx context.Context, name string) (string, error) {
	if _, err := strconv.ParseUint(name, 10, 64); err == nil {
		return name, nil
	}
	a.mu.Lock()
	id := a.users[name]
	a.mu.Unlock()
	if id != "" {
		return id, nil
	}
	var out struct {
		Users []record `json:"users"`
	}
	q := url.Values{"type": {"ActiveUsers"}, "per_page": {"200"}}
	if err := a.do(ctx, request{method: http.MethodGet, path: "/users", query: q, shape: "GET users"}, &out); err != nil {
		return "", err
	}
	for _, u := range out.Users {
		if strings.EqualFold(u.text("email"), name) || strings.EqualFold(u.text("full_name"), name) {
			id = u.text("id")
		}
	}
	if id == "" {
		return "", crm.Rejected(fmt.Errorf("there is no active user %q in Zoho, who is to be the owner", name), "GET users")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.users[name] = id
	return id, nil
}
