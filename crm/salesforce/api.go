package salesforce

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/token"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
	"github.com/vinfer-sync/vinfer-sync/internal/mask"
)

// root is where all of the API is.
const root = "/services/data/" + version

// object is a record as Salesforce sends and takes it.
type object map[string]any

func (o object) text(field string) string {
	s, _ := o[field].(string)
	return s
}

// api speaks to one org. It is safe for concurrent use.
type api struct {
	cfg    Config
	client *httpx.Client // to the org
	logins *httpx.Client // to where tokens come from
	tokens *token.Source
	quota  quota

	mu             sync.Mutex
	instance, user string // of the last token
}

func newAPI(cfg Config, workers int) (*api, error) {
	base, err := origin("url", cfg.URL)
	if err != nil {
		return nil, err
	}
	login, err := origin("login_url", or(cfg.LoginURL, cfg.URL))
	if err != nil {
		return nil, err
	}
	hide := []string{cfg.ClientSecret.Reveal(), cfg.PrivateKey.Reveal(), cfg.ClientID}
	client, err := httpx.New(base, cfg.Config, workers, hide...)
	if err != nil {
		return nil, err
	}
	a := &api{cfg: cfg, client: client, logins: client, quota: quota{host: base.Host, keep: cfg.KeepFree}}
	if login.String() != base.String() {
		if a.logins, err = httpx.New(login, cfg.Config, 1, hide...); err != nil {
			return nil, err
		}
	}
	a.tokens = token.New(a.login)
	return a, nil
}

func (a *api) close() error { return errors.Join(a.client.Close(), a.logins.Close()) }

// fault is one of the errors of an answer.
type fault struct {
	Code    string   `json:"errorCode"`
	Message string   `json:"message"`
	Fields  []string `json:"fields"`
}

// refused is an answer that is no 2xx. It unwraps to the verdict.
type refused struct {
	error
	status int
	part   string // the composite request's part that it is about
	faults []fault
	body   []byte
}

func (r *refused) Unwrap() error { return r.error }

// has tells whether err has one of the error codes.
func has(err error, codes ...string) bool {
	var r *refused
	return errors.As(err, &r) && slices.ContainsFunc(r.faults, func(f fault) bool { return slices.Contains(codes, f.Code) })
}

// statusOf returns the status that the error is about; 0: none.
func statusOf(err error) int {
	var r *refused
	if errors.As(err, &r) {
		return r.status
	}
	return 0
}

// call makes one request and decodes its answer into out, unless that is nil. path is below root; body nil: none. A token that is
// refused is replaced once: then nothing was done.
func (a *api) call(ctx context.Context, method, path string, query url.Values, body any, header http.Header, out any) error {
	shape := method + " " + shapeOf(path)
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return crm.Rejected(fmt.Errorf("encode %s: %w", shape, err), shape)
		}
		shape += names(body)
	}
	for again := false; ; again = true {
		bearer, err := a.tokens.Token(ctx)
		if err != nil {
			return err
		}
		sent, err := a.quota.open()
		if err != nil {
			return err
		}
		answer, err := a.send(ctx, method, path, query, raw, header, bearer)
		if err != nil {
			a.quota.done(sent, nil, 0)
			return err
		}
		a.quota.done(sent, answer.Header, answer.Status)
		if answer.Status == http.StatusUnauthorized {
			a.tokens.Refused(bearer)
			if !again {
				continue
			}
		}
		if answer.Status/100 != 2 {
			return a.refuse(answer, shape)
		}
		if out == nil {
			return nil
		}
		return answer.JSON(out)
	}
}

func (a *api) send(ctx context.Context, method, path string, query url.Values, raw []byte, header http.Header, bearer string) (*httpx.Answer, error) {
	u := a.client.Base()
	u.Path = root + path
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(raw))
	if err != nil {
		return nil, crm.Halted(fmt.Errorf("make a request: %s", mask.Text(err.Error(), bearer)))
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Accept", "application/json")
	if raw != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	return a.client.Do(req)
}

// refuse reads an answer that is no 2xx.
func (a *api) refuse(answer *httpx.Answer, shape string) error {
	r := &refused{error: httpx.Verdict(answer, shape), status: answer.Status, faults: faultsOf(answer.Body), body: answer.Body}
	a.judge(r, false)
	return r
}

// judge corrects a verdict by the error codes, which say more than the status. part: it is about a part of a composite request,
// whose refusal says nothing of the destination as a whole.
func (a *api) judge(r *refused, part bool) {
	for _, f := range r.faults {
		switch f.Code {
		case "REQUEST_LIMIT_EXCEEDED":
			if strings.Contains(f.Message, "oncurrent") {
				r.error = crm.Throttled(r.error, firstPause)
				return
			}
			r.error = a.quota.refused(r.error)
		case "UNABLE_TO_LOCK_ROW", "SERVER_UNAVAILABLE", "QUERY_TIMEOUT", "UNKNOWN_EXCEPTION", "CANNOT_UPDATE_CONVERTED_LEAD", "ENTITY_IS_DELETED":
			// The last two: it happened since it was read, a moment ago. The next attempt reads again.
			r.error = errors.New(r.Error())
		case "STORAGE_LIMIT_EXCEEDED", "API_DISABLED_FOR_ORG", "API_CURRENTLY_DISABLED", "INVALID_SESSION_ID", "ORG_LOCKED":
			r.error = crm.Halted(r.error)
		default:
			if v := crm.VerdictOf(r.error); part && v == crm.Halt {
				r.error = crm.Rejected(errors.New(r.Error()), crm.Request(r.error))
			}
			continue
		}
		return
	}
}

// faultsOf reads the errors in an answer's body; none: it has another form.
func faultsOf(body []byte) []fault {
	var all []fault
	if json.Unmarshal(body, &all) == nil {
		return all
	}
	var one fault
	if json.Unmarshal(body, &one) == nil && one.Code != "" {
		return []fault{one}
	}
	return nil
}

// shapeOf returns a path without ids and values.
func shapeOf(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, p := range parts {
		if i > 1 && p != "describe" && !strings.HasSuffix(p, "__c") && p != "CustomField" {
			parts[i] = "ID"
		}
	}
	return "/" + strings.Join(parts, "/")
}

// names lists what a body holds, without the values.
func names(body any) string {
	o, ok := body.(object)
	if !ok {
		return ""
	}
	var all []string
	for name := range o {
		all = append(all, name)
	}
	slices.Sort(all)
	return " {" + strings.Join(all, ", ") + "}"
}

// page is the answer to a query.
type page struct {
	Records *[]object `json:"records"`
	Next    string    `json:"nextRecordsUrl"`
}

// query asks for records. Rows after the first 2,000 are not asked for: no query of ours has so many.
func (a *api) query(ctx context.Context, soql string) ([]object, error) {
	var p page
	if err := a.call(ctx, http.MethodGet, "/query", url.Values{"q": {soql}}, nil, nil, &p); err != nil {
		return nil, err
	}
	if p.Records == nil {
		return nil, fmt.Errorf("%s answers 200 to a query without records", a.client.Base().Host)
	}
	return *p.Records, nil
}

// create makes a record by itself and returns its id.
func (a *api) create(ctx context.Context, path string, body object, header http.Header) (string, error) {
	var made struct {
		ID string `json:"id"`
	}
	if err := a.call(ctx, http.MethodPost, path, nil, body, header, &made); err != nil {
		return "", err
	}
	if made.ID == "" {
		return "", fmt.Errorf("%s answers to POST %s without an id", a.client.Base().Host, shapeOf(path))
	}
	return made.ID, nil
}

// quote writes a value for SOQL.
func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\x00", "").Replace(s) + "'"
}

// list writes values for SOQL's IN.
func list(values ...string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = quote(v)
	}
	return "(" + strings.Join(quoted, ", ") + ")"
}
