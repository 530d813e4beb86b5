package zoho

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// user asks for the id of an active user by id, e-mail address or name; empty: there is none.
func (a *api) user(ctx context.Context, name string) (id string, err error) {
	if _, err := strconv.ParseUint(name, 10, 64); err == nil {
		return name, nil
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
	return id, nil
}
