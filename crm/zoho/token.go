package zoho

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
	"github.com/vinfer-sync/vinfer-sync/internal/mask"
)

// Zoho grants ten access tokens in ten minutes for one refresh token and then none; one is left to whoever else uses it.
const (
	ration = 9
	window = 10 * time.Minute
	spare  = 90 * time.Second // a token that ends sooner is not taken from the file
)

// minter fetches access tokens and keeps the last one in a file, with the times at which tokens were asked for: a program that is
// started again and again must not use the ration up.
type minter struct {
	cfg    Config
	client *httpx.Client // of the accounts server
	api    *url.URL

	mu      sync.Mutex
	refused string // the last token that the API did not take
}

// kept is what the token file holds.
type kept struct {
	Of    string      `json:"of"` // fingerprint of the credentials that the token was made by
	Token string      `json:"token"`
	Until time.Time   `json:"until"`
	Asked []time.Time `json:"asked"` // tokens asked for within the window
}

// refuse says that the API did not take a token.
func (m *minter) refuse(token string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused = token
}

func (m *minter) fingerprint() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{m.cfg.accounts(), m.cfg.API(), m.cfg.ClientID, m.cfg.RefreshToken.Reveal()}, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// fetch returns the token of the file if it is good, else a new one. token.Source calls it once at a time.
func (m *minter) fetch(ctx context.Context) (string, time.Duration, error) {
	now := time.Now()
	k := m.load()
	m.mu.Lock()
	refused := m.refused
	m.mu.Unlock()
	if left := k.Until.Sub(now); k.Token != "" && k.Token != refused && left > spare && left < 2*time.Hour {
		return k.Token, left, nil
	}
	if len(k.Asked) >= ration {
		wait := k.Asked[0].Add(window).Sub(now)
		return "", 0, crm.Throttled(fmt.Errorf("%d access tokens were asked for within %s, and Zoho grants 10: waiting %s", len(k.Asked), window, wait.Round(time.Second)), wait)
	}
	k.Asked, k.Token = append(k.Asked, now), ""
	if err := m.save(k); err != nil {
		return "", 0, crm.Halted(fmt.Errorf("token_file: the access token cannot be kept: %w", err))
	}
	t, lasts, err := m.ask(ctx)
	if crm.VerdictOf(err) == crm.Halt {
		// No token was granted: with other credentials there are still as many as before.
		k.Asked = k.Asked[:len(k.Asked)-1]
		if serr := m.save(k); serr != nil {
			err = errors.Join(err, serr)
		}
	}
	if err != nil {
		return "", 0, err
	}
	k.Token, k.Until = t, now.Add(lasts)
	if err := m.save(k); err != nil {
		return "", 0, crm.Halted(fmt.Errorf("token_file: the access token cannot be kept: %w", err))
	}
	return t, lasts, nil
}

// ask asks the accounts server for a token.
func (m *minter) ask(ctx context.Context) (string, time.Duration, error) {
	answer, err := m.client.Send(ctx, httpx.Request{Method: http.MethodPost, Path: "/oauth/v2/token", Shape: "POST /oauth/v2/token", Body: url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {m.cfg.RefreshToken.Reveal()},
		"client_id": {m.cfg.ClientID}, "client_secret": {m.cfg.ClientSecret.Reveal()},
	}})
	if err != nil {
		return "", 0, err
	}
	var t struct {
		Token   string  `json:"access_token"`
		Expires float64 `json:"expires_in"`
		Domain  string  `json:"api_domain"`
		Error   string  `json:"error"`
		Why     string  `json:"error_description"`
	}
	decoded := json.Unmarshal(answer.Body, &t)
	if t.Error != "" { // whatever the status: mostly it is 200
		return "", 0, m.refusal(answer, t.Error, t.Why)
	}
	if err := httpx.Verdict(answer, "POST /oauth/v2/token"); err != nil {
		if crm.VerdictOf(err) == crm.Reject {
			err = crm.Halted(fmt.Errorf("no access token: %w: look at data_center, client_id, client_secret and refresh_token", err))
		}
		return "", 0, err
	}
	host := m.client.Base().Host
	if decoded != nil || t.Token == "" {
		return "", 0, fmt.Errorf("%s answers %d without an access token: is it Zoho's accounts server?", host, answer.Status)
	}
	if err := m.sameOrigin(t.Domain); err != nil {
		return "", 0, err
	}
	if t.Expires <= 0 || t.Expires > 86_400 {
		t.Expires = 3600
	}
	return t.Token, time.Duration(t.Expires) * time.Second, nil
}

// refusal reads why no token was given.
func (m *minter) refusal(answer *httpx.Answer, code, why string) error {
	said := m.client.Base().Host + " gives no access token: " + answer.Words([]byte(code+" "+why))
	switch low := strings.ToLower(code + " " + why); {
	case strings.Contains(low, "too many requests"), strings.Contains(low, "access_denied"), strings.Contains(low, "access denied"):
		wait, asked := answer.RetryAfter()
		if !asked {
			wait = window
		}
		return crm.Throttled(errors.New(said), wait)
	case strings.Contains(low, "invalid_code"):
		said += ": the refresh token is revoked, was replaced by newer ones (20 a user), or belongs to another data center or client"
	case strings.Contains(low, "invalid_client"):
		said += ": look at client_id, client_secret and data_center"
	case strings.Contains(low, "general_error"), strings.Contains(low, "internal"), answer.Status >= 500:
		return errors.New(said)
	}
	return crm.Halted(errors.New(said))
}

// sameOrigin refuses a token of another data centre than the one configured. The token itself goes to the configured API in any case:
// where api_url names that in full, for a sandbox or behind a proxy, the answer's api_domain may be another.
func (m *minter) sameOrigin(domain string) error {
	if domain == "" || m.cfg.APIURL != "" {
		return nil
	}
	if u, err := url.Parse(domain); err != nil || u.Scheme != m.api.Scheme || !strings.EqualFold(u.Host, m.api.Host) {
		return crm.Halted(fmt.Errorf("the access token is for api_domain %s, and the configuration says %s://%s: set data_center to where the organisation lives, or api_url",
			mask.Words([]byte(domain)), m.api.Scheme, m.api.Host))
	}
	return nil
}

// load reads the token file. One that cannot be read, or is another client's, holds nothing: it is replaced.
func (m *minter) load() (k kept) {
	b, err := os.ReadFile(m.cfg.TokenFile)
	if err == nil {
		err = json.Unmarshal(b, &k)
	}
	if err != nil || k.Of != m.fingerprint() {
		return kept{Of: m.fingerprint()}
	}
	var recent []time.Time
	for _, at := range k.Asked {
		if age := time.Since(at); age < window && age > -window {
			recent = append(recent, at)
		}
	}
	k.Asked = recent
	return k
}

// save replaces the token file at once or not at all.
func (m *minter) save(k kept) error {
	b, err := json.Marshal(k)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(m.cfg.TokenFile), filepath.Base(m.cfg.TokenFile)+".*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), m.cfg.TokenFile)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
