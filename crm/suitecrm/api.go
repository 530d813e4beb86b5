package suitecrm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/token"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

const mime = "application/vnd.api+json"

// api speaks the V8 API. It is safe for concurrent use.
type api struct {
	cfg    Config
	client *httpx.Client
	tokens *token.Source

	width atomic.Int32 // widthUnknown, wide or narrow

	mu     sync.Mutex
	fields map[string]fieldList // by module
}

type fieldList struct {
	at    time.Time
	names map[string]bool
}

// refresh is how long what SuiteCRM's administrators rarely change is taken for true.
const refresh = 10 * time.Minute

func newAPI(cfg Config, workers int) (*api, error) {
	base, err := httpx.Origin("url", cfg.URL)
	if err != nil {
		return nil, err
	}
	client, err := httpx.New(base, cfg.Config, workers, cfg.ClientSecret.Reveal())
	if err != nil {
		return nil, err
	}
	a := &api{cfg: cfg, client: client, fields: map[string]fieldList{}}
	a.tokens = token.New(a.login)
	return a, nil
}

// login asks for an access token. It lasts an hour unless the server is configured otherwise.
func (a *api) login(ctx context.Context) (string, time.Duration, error) {
	body, err := json.Marshal(map[string]string{
		"grant_type": "client_credentials", "client_id": a.cfg.ClientID, "client_secret": a.cfg.ClientSecret.Reveal(),
	})
	if err != nil {
		return "", 0, crm.Halted(err)
	}
	answer, err := a.send(ctx, http.MethodPost, "/Api/access_token", nil, body, "")
	if err != nil {
		return "", 0, err
	}
	if err := httpx.Verdict(answer, "POST /Api/access_token"); err != nil {
		if crm.VerdictOf(err) == crm.Reject { // 400 and 404: the client is not known, or this is no SuiteCRM
			err = crm.Halted(fmt.Errorf("no access token: %w: look at url, client_id and client_secret", err))
		}
		return "", 0, err
	}
	var t struct {
		Token   string  `json:"access_token"`
		Expires float64 `json:"expires_in"`
	}
	if err := answer.JSON(&t); err != nil {
		return "", 0, err
	}
	if t.Token == "" {
		return "", 0, fmt.Errorf("%s answers without an access token: is url that of SuiteCRM?", a.client.Base().Host)
	}
	return t.Token, time.Duration(min(t.Expires, 1e6)) * time.Second, nil
}

func (a *api) send(ctx context.Context, method, path string, query url.Values, body []byte, bearer string) (*httpx.Answer, error) {
	u := a.client.Base()
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/")+path, ""
	u.RawQuery = query.Encode() // a + in it would match nothing
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, crm.Halted(fmt.Errorf("make a request: %s", httpx.Mask(err.Error())))
	}
	req.Header.Set("Content-Type", mime)
	req.Header.Set("Accept", mime)
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	return a.client.Do(req)
}

// do sends a request with a token, and once more with a new one if that was refused: then nothing was done.
func (a *api) do(ctx context.Context, method, path string, query url.Values, body any, shape string, out any) error {
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return crm.Rejected(fmt.Errorf("encode %s: %w", shape, err), shape)
		}
	}
	for again := false; ; again = true {
		bearer, err := a.tokens.Token(ctx)
		if err != nil {
			return err
		}
		answer, err := a.send(ctx, method, path, query, raw, bearer)
		if err != nil {
			return err
		}
		if answer.Status == http.StatusUnauthorized {
			a.tokens.Refused(bearer)
			if !again {
				continue
			}
		}
		return a.read(answer, shape, out)
	}
}

// errDenied is what SuiteCRM answers to what a role does not allow. Of one record it is a Reject, of a module it halts.
var errDenied = errors.New("the role of the client's user does not allow it")

// halting makes a lack of rights for a whole module a reason to stop.
func halting(err error) error {
	if errors.Is(err, errDenied) {
		return crm.Halted(err)
	}
	return err
}

// errExists is what SuiteCRM answers to a record whose id it has or has had.
var errExists = errors.New("a record with this id is there, or was")

var (
	exists  = regexp.MustCompile(`(?i)already exist`)
	denied  = regexp.MustCompile(`AccessDenied|NotAllowed|does not have access`)
	noUser  = regexp.MustCompile(`^Users module with id|^Module id is empty when trying to get Users`) // the client's own is gone
	missing = regexp.MustCompile(`(?i)not found|not exist|is deleted|could not (?:be )?load`)
	badName = regexp.MustCompile(`(?i)propert(?:y|ies)|field|column|option`)
)

func (a *api) read(answer *httpx.Answer, shape string, out any) error {
	if answer.Status/100 != 2 {
		var said struct {
			Errors struct {
				Detail string `json:"detail"`
			} `json:"errors"`
		}
		_ = json.Unmarshal(answer.Body, &said)
		detail := said.Errors.Detail
		if detail != "" {
			answer.Body = []byte(detail)
		}
		err := httpx.Verdict(answer, shape)
		// SuiteCRM says 400 to all of these.
		switch rejected := answer.Status == http.StatusBadRequest || answer.Status == http.StatusNotFound; {
		case rejected && noUser.MatchString(detail):
			return crm.Halted(fmt.Errorf("%w: the user of the OAuth2 client was deleted", err))
		case rejected && denied.MatchString(detail):
			what, _, _ := strings.Cut(shape, " {")
			return fmt.Errorf("%w: %s: %w", errDenied, what, err)
		case rejected && exists.MatchString(detail):
			return fmt.Errorf("%w: %w", errExists, err)
		case rejected && missing.MatchString(detail) && !badName.MatchString(detail): // 400, not 404
			return fmt.Errorf("%w: %w", step.ErrGone, err)
		}
		return err
	}
	if out == nil {
		return nil
	}
	return answer.JSON(out)
}

// bean is one record, as JSON:API has it.
type bean struct {
	Type       string     `json:"type"`
	ID         string     `json:"id,omitempty"`
	Attributes attributes `json:"attributes,omitempty"`
}

type attributes map[string]any

// UnmarshalJSON reads an object, or [], as PHP writes one without entries: a user who is no administrator is shown nothing of others.
func (a *attributes) UnmarshalJSON(raw []byte) error {
	if string(raw) == "[]" {
		return nil
	}
	return json.Unmarshal(raw, (*map[string]any)(a))
}

func (b bean) text(name string) string {
	s, _ := b.Attributes[name].(string)
	return s
}

// plain is the text of a field. SuiteCRM escapes what it stores, once or twice by its version, and again what it reads.
func (b bean) plain(name string) string {
	s := b.text(name)
	for range 4 {
		next := html.UnescapeString(s)
		if next == s {
			break
		}
		s = next
	}
	return s
}

func (b bean) time(name string) time.Time {
	for _, layout := range []string{time.RFC3339, time.DateTime} {
		if t, err := time.Parse(layout, b.text(name)); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

type single struct {
	Data bean `json:"data"`
}

type list struct {
	Data []bean `json:"data"`
}

// get reads one record; step.ErrGone: there is none, or it was deleted.
func (a *api) get(ctx context.Context, module, id string, fields ...string) (bean, error) {
	var out single
	q := url.Values{"fields[" + module + "]": {strings.Join(fields, ",")}}
	err := a.do(ctx, http.MethodGet, "/Api/V8/module/"+module+"/"+url.PathEscape(id), q, nil, "GET "+module, &out)
	if err == nil && out.Data.text("deleted") == "1" {
		err = step.ErrGone
	}
	return out.Data, err
}

// find returns the records that fit one of the filters, the last changed first.
func (a *api) find(ctx context.Context, module string, filters url.Values, fields []string, limit int) ([]bean, error) {
	var out list
	q := url.Values{
		"fields[" + module + "]": {strings.Join(fields, ",")}, "filter[operator]": {"or"}, "page[size]": {fmt.Sprint(limit)}, "sort": {"-date_modified"},
	}
	for k, v := range filters {
		q[k] = v
	}
	err := a.do(ctx, http.MethodGet, "/Api/V8/module/"+module, q, nil, "GET "+module, &out)
	return out.Data, halting(err)
}

// create makes a record; errExists: there is, or was, one with the id.
func (a *api) create(ctx context.Context, b bean) (string, error) {
	return a.write(ctx, b.harmless(), func(b bean) (string, error) {
		var out single
		if err := a.do(ctx, http.MethodPost, "/Api/V8/module", nil, map[string]any{"data": b}, shapeOf("POST", b), &out); err != nil {
			return "", halting(err)
		}
		if out.Data.ID == "" {
			return "", fmt.Errorf("%s made a record of %s and told no id", a.client.Base().Host, b.Type)
		}
		return out.Data.ID, nil
	})
}

// change writes the attributes given and no others.
func (a *api) change(ctx context.Context, b bean) error {
	_, err := a.write(ctx, b.harmless(), func(b bean) (string, error) {
		return b.ID, a.do(ctx, http.MethodPatch, "/Api/V8/module", nil, map[string]any{"data": b}, shapeOf("PATCH", b), nil)
	})
	return err
}

// link relates two records, which may be related already, by the link field of that name. Older versions (before 7.11.8) look for one
// by themselves, and take the wrong one where two modules have several.
func (a *api) link(ctx context.Context, b, to bean, field string) error {
	path := "/Api/V8/module/" + b.Type + "/" + url.PathEscape(b.ID) + "/relationships"
	shape := "POST " + b.Type + " relationship to " + to.Type
	err := a.do(ctx, http.MethodPost, path+"/"+field, nil, map[string]any{"data": to}, shape, nil)
	if crm.VerdictOf(err) == crm.Reject {
		err = a.do(ctx, http.MethodPost, path, nil, map[string]any{"data": to}, shape, nil)
	}
	return err
}

func shapeOf(method string, b bean) string {
	return method + " " + b.Type + " {" + strings.Join(sortedKeys(b.Attributes), ", ") + "}"
}

// has returns the fields that a module has.
func (a *api) has(ctx context.Context, module string) (map[string]bool, error) {
	a.mu.Lock()
	known, ok := a.fields[module]
	a.mu.Unlock()
	if ok && time.Since(known.at) < refresh {
		return known.names, nil
	}
	var out single
	err := a.do(ctx, http.MethodGet, "/Api/V8/meta/fields/"+module, nil, nil, "GET meta of "+module, &out)
	if err != nil && crm.VerdictOf(err) != crm.Reject { // that is: older versions, and modules that the menu does not show, have no list
		return nil, err
	}
	known = fieldList{time.Now(), map[string]bool{}}
	for name := range out.Data.Attributes {
		known.names[name] = true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fields[module] = known
	return known.names, nil
}

// forget has has ask again.
func (a *api) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.fields)
}
