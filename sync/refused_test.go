package sync

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// A request for the first page that is refused once costs a run at most: never a call.
func TestARefusalThatPassesLosesNoCall(t *testing.T) {
	for _, code := range []int{http.StatusBadRequest, http.StatusUnprocessableEntity} {
		for _, noTotal := range []bool{false, true} {
			t.Run(fmt.Sprint(code, " without totals ", noTotal), func(t *testing.T) {
				rows := past(230)
				a := newAPI(t, true, rows...)
				a.noTotal = noTotal
				refused := 0
				a.hook = func(w http.ResponseWriter, q *http.Request, _ int) bool {
					if v := q.URL.Query(); v.Get("limit") != "100" || v.Get("offset") != "" || refused > 0 {
						return false
					}
					refused++
					http.Error(w, `{"error":"try again"}`, code)
					return true
				}
				rec := &recorder{}
				r := newRig(t, a, rec, nil)
				if _, err := r.e.RunOnce(t.Context()); err != nil {
					r.once()
				}
				sameIDs(t, rec.ids(crm.CallCompleted), idsOf(rows))
				if refused != 1 {
					t.Errorf("%d requests were refused", refused)
				}
			})
		}
	}
}
