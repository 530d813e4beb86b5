package zoho

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/cache"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// errNoQuery says that a module cannot be asked by COQL, for the scope or the edition lacks it.
var errNoQuery = errors.New("no COQL")

// query asks the database, in Zoho's query language. What it refuses is not asked for ten minutes; but where it may be that a field has been renamed or
// hidden since the fields were read, they are read anew at the next attempt.
func (a *api) query(ctx context.Context, module, statement string) ([]row, error) {
	if answered, known := a.queries.Held(module); known && !answered {
		return nil, errNoQuery
	}
	var out list
	err := a.do(ctx, httpx.Request{Method: http.MethodPost, Path: "/coql", Body: map[string]string{"select_query": statement}, Shape: "POST coql on " + module}, &out)
	switch code := codeOf(err); {
	case err == nil:
		a.queries.Put(module, true, cache.Forever)
	case code == "INVALID_QUERY" && a.outdated(module):
		return nil, fmt.Errorf("%w: the fields of %s have changed and are read again", errors.New(err.Error()), module)
	case crm.VerdictOf(err) == crm.Reject, code == "OAUTH_SCOPE_MISMATCH", code == "NO_PERMISSION":
		a.queries.Put(module, false, refresh)
		return nil, errors.Join(errNoQuery, err)
	}
	return out.Data, err
}

// canQuery tells whether a module can be queried, by trying the statement where that is not known yet.
func (a *api) canQuery(ctx context.Context, module, statement string) (bool, error) {
	if answered, known := a.queries.Held(module); known {
		return answered, nil
	}
	_, err := a.query(ctx, module, statement)
	if errors.Is(err, errNoQuery) {
		return false, nil
	}
	return err == nil, err
}

// quote makes of a value a literal of a query: a quote within is written twice.
func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(s) + "'"
}

// either joins conditions by or: COQL wants brackets around each pair.
func either(conditions []string) string {
	out := conditions[0]
	for _, c := range conditions[1:] {
		out = "(" + out + " or " + c + ")"
	}
	if len(conditions) == 1 {
		return "(" + out + ")"
	}
	return out
}

// escape makes of a value one of a search's criteria.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `(`, `\(`, `)`, `\)`, `,`, `\,`).Replace(s)
}
