package salesforce

import (
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
	"github.com/vinfer-sync/vinfer-sync/internal/mask"
)

// assertionLasts is how long a signed assertion is good: Salesforce takes up to five minutes, clocks included.
const assertionLasts = 3 * time.Minute

// login asks for an access token. Its answer does not say how long it lasts (the org's session timeout): until it is refused.
func (a *api) login(ctx context.Context) (string, time.Duration, error) {
	const path = "/services/oauth2/token"
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {a.cfg.ClientID}, "client_secret": {a.cfg.ClientSecret.Reveal()}}
	assertion := ""
	if !a.cfg.PrivateKey.Empty() {
		var err error
		if assertion, err = a.assert(time.Now()); err != nil {
			return "", 0, crm.Halted(err)
		}
		form = url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}
	}
	answer, err := a.logins.Send(ctx, httpx.Request{Method: http.MethodPost, Path: path, Body: form, Shape: "POST " + path})
	if err != nil {
		return "", 0, err
	}
	if assertion != "" {
		answer.Body = []byte(strings.ReplaceAll(string(answer.Body), assertion, "[redacted]"))
	}
	if err := httpx.Verdict(answer, "POST "+path); err != nil {
		if v := crm.VerdictOf(err); v == crm.Reject || v == crm.Halt {
			err = crm.Halted(fmt.Errorf("no access token: %w: look at url, client_id and %s", err, a.flow()))
		}
		return "", 0, err
	}
	var t struct {
		Token    string `json:"access_token"`
		Instance string `json:"instance_url"`
		ID       string `json:"id"` // a URL that ends in the ids of the org and of the user
	}
	if err := answer.JSON(&t); err != nil {
		return "", 0, err
	}
	if t.Token == "" {
		return "", 0, fmt.Errorf("%s answers without an access token: is url the org's My Domain?", a.logins.Base().Host)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.instance, a.user = t.Instance, t.ID[strings.LastIndexByte(t.ID, '/')+1:]
	return t.Token, 0, nil
}

// flow names the key by which tokens are asked for.
func (a *api) flow() string {
	if a.cfg.PrivateKey.Empty() {
		return "client_secret, and whether the app has the client credentials flow and a Run As user"
	}
	return "private_key, username and audience, and whether the user is authorised for the app"
}

// assert signs that the app asks for the user.
func (a *api) assert(now time.Time) (string, error) {
	key, err := a.cfg.key()
	if err != nil {
		return "", err
	}
	login := a.logins.Base()
	claims, err := json.Marshal(map[string]any{
		"iss": a.cfg.ClientID, "sub": a.cfg.Username, "aud": cmp.Or(a.cfg.Audience, login.Scheme+"://"+login.Host), "exp": now.Add(assertionLasts).Unix(),
	})
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign with private_key: %w", err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// foreign returns the address of the org that the last token is for, if that is not the one that is configured. Requests go to
// the configured one all the same: the token is for no other.
func (a *api) foreign() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	u, err := url.Parse(a.instance)
	if a.instance == "" || err == nil && strings.EqualFold(u.Host, a.client.Base().Host) {
		return ""
	}
	return mask.Text(a.instance)
}
