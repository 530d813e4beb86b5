package odoo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/cache"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// named are the arguments of a method, by name.
type named = map[string]any

// server speaks to Odoo. It is safe for concurrent use.
type server struct {
	cfg    Config
	client *httpx.Client
	known  cache.Cache[map[string]bool] // fields, by model and what was asked

	mu    sync.Mutex
	major int   // of the server's version; 0: not asked yet
	json2 bool  // the API that is spoken
	uid   int64 // of the key's user, for JSON-RPC
}

// refresh is how long what Odoo's administrators rarely change is taken for true.
const refresh = 10 * time.Minute

// ready finds out what the server speaks, once.
func (s *server) ready(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.major == 0 {
		if err := s.version(ctx); err != nil {
			return err
		}
	}
	if s.json2 || s.uid != 0 {
		return nil
	}
	if s.cfg.Database == "" || s.cfg.User == "" {
		return crm.Halted(fmt.Errorf("odoo %d speaks JSON-RPC, which needs database and user in the configuration", s.major))
	}
	var uid any
	if err := s.rpc(ctx, "common", "authenticate", []any{s.cfg.Database, s.cfg.User, s.cfg.APIKey.Reveal(), named{}}, &uid); err != nil {
		return err
	}
	n, ok := uid.(float64)
	if !ok || n <= 0 {
		return crm.Halted(errors.New("odoo refuses the user and the API key: keys of internal users live three months at most; make a new one and put it into api_key"))
	}
	s.uid = int64(n)
	return nil
}

// version asks for the version: by the page that 19 has, by JSON-RPC elsewhere.
func (s *server) version(ctx context.Context) error {
	type info struct {
		Version []any `json:"version_info"`
		Server  []any `json:"server_version_info"`
	}
	var v info
	if s.cfg.API != APIJSONRPC {
		a, err := s.client.Send(ctx, httpx.Request{Method: http.MethodGet, Path: "/web/version", Shape: "GET /web/version"})
		if err != nil {
			return err
		}
		if a.Status != http.StatusNotFound {
			if err := httpx.Verdict(a, "GET /web/version"); err != nil {
				return err
			}
			if err := a.JSON(&v); err != nil {
				return err
			}
		}
	}
	if len(v.Version) == 0 {
		if err := s.rpc(ctx, "common", "version", []any{}, &v); err != nil {
			return err
		}
		v.Version = v.Server
	}
	s.major = majorOf(v.Version)
	if s.major == 0 {
		return fmt.Errorf("%s tells no version: is it Odoo?", s.client.Base().Host)
	}
	s.json2 = s.cfg.API == APIJSON2 || s.cfg.API != APIJSONRPC && s.major >= 19
	return nil
}

// majorOf reads the first part of version_info: a number, or "saas~18" in Odoo's cloud.
func majorOf(info []any) int {
	if len(info) == 0 {
		return 0
	}
	switch v := info[0].(type) {
	case float64:
		return int(v)
	case string:
		n := 0
		_, _ = fmt.Sscanf(strings.TrimPrefix(v, "saas~"), "%d", &n)
		return n
	}
	return 0
}

// call calls a method of a model, of the records if ids are given, and decodes its result into out (nil: it is not wanted).
func (s *server) call(ctx context.Context, model, method string, ids []int64, args named, out any) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if s.json2 {
		body := named{}
		for k, v := range args {
			body[k] = v
		}
		if ids != nil {
			body["ids"] = ids
		}
		return s.post(ctx, "/json/2/"+model+"/"+method, model+"."+method, body, func(a *httpx.Answer) error { return decode(a, out) })
	}
	positional := []any{}
	if ids != nil {
		positional = append(positional, ids)
	}
	// What they take is called vals here and values there, by model and version: by position it has no name.
	switch method {
	case "create":
		positional, args = append(positional, args["vals_list"]), named{}
	case "write":
		positional, args = append(positional, args["vals"]), named{}
	}
	return s.rpc(ctx, "object", "execute_kw",
		[]any{s.cfg.Database, s.uid, s.cfg.APIKey.Reveal(), model, method, positional, args}, out)
}

func decode(a *httpx.Answer, out any) error {
	if out == nil {
		return nil
	}
	return a.JSON(out)
}

// rpc calls a JSON-RPC service. It answers 200 to everything, with an error inside.
func (s *server) rpc(ctx context.Context, service, method string, args []any, out any) error {
	shape := service + "." + method
	if len(args) > 4 {
		shape = fmt.Sprintf("%v.%v", args[3], args[4])
	}
	body := named{"jsonrpc": "2.0", "method": "call", "id": 1, "params": named{"service": service, "method": method, "args": args}}
	return s.post(ctx, "/jsonrpc", shape, body, func(a *httpx.Answer) error {
		var answer struct {
			Result json.RawMessage `json:"result"`
			Error  *struct {
				Message string `json:"message"`
				Data    fault  `json:"data"`
			} `json:"error"`
		}
		if err := a.JSON(&answer); err != nil {
			return err
		}
		if answer.Error != nil {
			if answer.Error.Data.Message == "" {
				answer.Error.Data.Message = answer.Error.Message
			}
			if err := s.fault(answer.Error.Data, shape); err != nil {
				return err
			}
			return fmt.Errorf("odoo could not do %s: %s", shape, s.words(answer.Error.Data.Message))
		}
		if out == nil || answer.Result == nil {
			return nil
		}
		if err := json.Unmarshal(answer.Result, out); err != nil {
			return fmt.Errorf("odoo answers %s with something else than expected", shape)
		}
		return nil
	})
}

func (s *server) post(ctx context.Context, path, shape string, body any, read func(*httpx.Answer) error) error {
	header := http.Header{}
	if strings.HasPrefix(path, "/json/2/") {
		header.Set("Authorization", "bearer "+s.cfg.APIKey.Reveal())
		if s.cfg.Database != "" {
			header.Set("X-Odoo-Database", s.cfg.Database)
		}
	}
	a, err := s.client.Send(ctx, httpx.Request{Method: http.MethodPost, Path: path, Header: header, Body: body, Shape: shape})
	if err != nil {
		return err
	}
	if a.Status/100 != 2 {
		var f fault
		if json.Unmarshal(a.Body, &f) == nil {
			if err := s.fault(f, shape); err != nil {
				return err
			}
			if f.Name != "" {
				a.Body = []byte(f.Message) // without the traceback
			}
		}
		return httpx.Verdict(a, shape)
	}
	return read(a)
}

// fields returns which of the named fields a model has.
func (s *server) fields(ctx context.Context, model string, names ...string) (map[string]bool, error) {
	return s.known.Get(ctx, model+"\n"+strings.Join(names, "\n"), func(ctx context.Context) (map[string]bool, time.Duration, error) {
		var got map[string]any
		err := s.call(ctx, model, "fields_get", nil, named{"allfields": names, "attributes": []string{"type"}}, &got)
		has := map[string]bool{}
		for name := range got {
			has[name] = true
		}
		return has, refresh, err
	})
}

// row is one record as search_read returns it. Odoo says false for what is empty.
type row map[string]any

func (r row) text(field string) string {
	v, _ := r[field].(string)
	return v
}

func (r row) id() int64 {
	v, _ := r["id"].(float64)
	return int64(v)
}

func (r row) yes(field string) bool {
	v, _ := r[field].(bool)
	return v
}

// ref returns a many2one field: the id and the name of another record.
func (r row) ref(field string) (int64, string) {
	pair, _ := r[field].([]any)
	if len(pair) != 2 {
		return 0, ""
	}
	id, _ := pair[0].(float64)
	name, _ := pair[1].(string)
	return int64(id), name
}

// on names the record that two fields point to.
func (r row) on(model, id string) string {
	n, _ := r[id].(float64)
	return nameOf(r.text(model), int64(n))
}

// find returns the records of a model that fit the domain, archived ones too.
func (s *server) find(ctx context.Context, model string, domain []any, fields []string, limit int) (rows []row, err error) {
	err = s.call(ctx, model, "search_read", nil, named{
		"domain": domain, "fields": fields, "limit": limit, "order": "id", "context": named{"active_test": false},
	}, &rows)
	return rows, err
}

// majorVersion is the first part of the server's version, 0 before the first call.
func (s *server) majorVersion() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.major
}
