package salesforce

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// Limits of texts, in characters.
const (
	bodyLimit    = 32_000 // Task.Description
	summaryLimit = 8_000  // in it: there must be room for the transcript, should the org have no notes
	subjectLimit = 255    // as every line of text
)

// How Tasks are found again.
const (
	byExternalID = iota // the field is an external id: upsert, and a look that an index serves
	byField             // it is an ordinary field: a look, then a create
	byObject            // there is none: CallObject, which every Task has, keeps the id
)

// References of the queries for the call's Tasks, and for notes.
const (
	partTasks = "Task"
	partKnown = "KnownTask"
	partNotes = "Notes"
)

// job is one entry on its way.
type job struct {
	w     *Writer
	e     *crm.Entry
	p     *crm.Progress
	key   string  // of the call's Task
	store int     // how Tasks are found again
	task  *entity // what the org says of them

	contacts []people.Record // the first one gets the Tasks and the notes
	held     []object        // the call's Tasks that the org has
	looked   bool            // held is known
	notes    map[string]string
	activity string // id of the call's Task; empty: there is none
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`)

// keyOf returns what stands for a call in a key: its id, unless that has characters that do not go well with paths (a dot may be
// taken for a file's ending).
func keyOf(call string) string {
	if plainKey.MatchString(call) {
		return call
	}
	sum := sha256.Sum256([]byte(call))
	return "call-" + hex.EncodeToString(sum[:16])
}

// upsert is, among what is hidden, that Tasks can be upserted by the key.
const upsert = "(upsert)"

// callback is what the key of a follow-up ends in.
const callback = "-callback"

// callField returns the field that holds the key.
func (w *Writer) callField() string { return w.s.Field(fieldCall, Fields[fieldCall]) }

// keyField is the field of Tasks that holds the key in this org.
func (j *job) keyField() string {
	if j.store == byObject {
		return "CallObject"
	}
	return j.w.callField()
}

// store tells how the org's Tasks are found again.
func (w *Writer) store(tasks *entity) int {
	f := tasks.field(w.callField())
	switch {
	case f == nil, w.hidden.has(partTasks, w.callField()):
		return byObject
	case f.ExternalID && !w.hidden.has(partTasks, upsert):
		return byExternalID
	}
	return byField
}

// taskColumns are the fields of Tasks that are compared.
func (w *Writer) taskColumns() []string {
	all := []string{"Id", "Subject", "Description", "Status", "WhoId", "ActivityDate", "CallType"}
	for _, f := range w.extraFields() {
		if !slices.Contains(all, f) && w.hasTaskField(f) {
			all = append(all, f)
		}
	}
	slices.Sort(all[1:])
	return w.hidden.without(partTasks, all)
}

// hasTaskField tells whether the org shows us a field of Tasks.
func (w *Writer) hasTaskField(name string) bool {
	tasks, known := w.tasks.Held("")
	return !known || tasks.field(name) != nil
}

// known returns the ids of the call's Tasks that the refs have.
func (j *job) known() (ids []string) {
	for _, ref := range []string{"activity", "task"} {
		if id := j.p.Refs[ref]; recordID.MatchString(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// wanted are the queries that go along with those for contacts.
func (j *job) wanted() (parts []request) {
	if !j.looked && j.store == byExternalID && (!j.e.NoActivity || j.e.Task != nil) {
		where := j.keyField() + " IN " + list(j.key, j.key+callback)
		if ids := j.known(); len(ids) > 0 {
			where += " OR Id IN " + list(ids...)
		}
		parts = append(parts, queryPart(partTasks, j.soql(where)))
	}
	if id := j.p.Refs[people.Ref]; j.notes == nil && !j.w.hidden.has(partNotes, "*") && text.HasNote(j.e) && j.p.Refs["note"] == "" && id != "" && !strings.Contains(id, ",") {
		_, id, _ = strings.Cut(id, "/")
		parts = append(parts, queryPart(partNotes, notesOf(id)))
	}
	return parts
}

func (j *job) soql(where string) string {
	columns := j.w.taskColumns()
	if !slices.Contains(columns, j.keyField()) {
		columns = append(columns, j.keyField())
	}
	return "SELECT " + strings.Join(columns, ", ") + " FROM Task WHERE " + where
}

// brought takes what wanted asked for.
func (j *job) brought(rows map[string][]object) {
	if all, ok := rows[partTasks]; ok {
		j.held, j.looked = all, true
	}
	if all, ok := rows[partNotes]; ok {
		j.notes = titles(all)
	}
}

// look asks for the call's Tasks, if that is not known yet. Where no index serves the key it is asked for among the contact's Tasks.
func (j *job) look(ctx context.Context) error {
	if j.e.NoActivity && j.e.Task == nil {
		return nil
	}
	for !j.looked {
		parts := j.wanted()
		if j.store != byExternalID {
			where := j.keyField() + " IN " + list(j.key, j.key+callback) + " AND WhoId = " + j.who()
			if j.who() == "null" {
				where += " AND ActivityDate = " + j.day()
			}
			parts = []request{queryPart(partTasks, j.soql(where))}
			if ids := j.known(); len(ids) > 0 {
				parts = append(parts, queryPart(partKnown, j.soql("Id IN "+list(ids...))))
			}
		}
		rows, err := j.w.api.ask(ctx, parts)
		if err != nil {
			if j.w.hide(err) {
				continue
			}
			return j.w.again(err)
		}
		j.brought(rows)
		j.held = append(j.held, rows[partKnown]...)
	}
	return nil
}

// who returns the contact for SOQL.
func (j *job) who() string {
	if id := j.whoID(); id != "" {
		return quote(id)
	}
	return "null"
}

// whoID returns the id of the contact that Tasks hang on; a converted lead takes none.
func (j *job) whoID() string {
	if len(j.contacts) == 0 || j.contacts[0].Superseded {
		return ""
	}
	_, id, _ := strings.Cut(j.contacts[0].ID, "/")
	return id
}

// day returns the call's date.
func (j *job) day() string {
	at := j.e.Call.StartedAt
	if at.IsZero() {
		at = j.e.Call.EndedAt
	}
	return date(j.w.s.In(at))
}

// one returns the Task of a key, or of an id that the refs have.
func (j *job) one(ref, key string) object {
	id := j.p.Refs[ref]
	for _, o := range j.held {
		if id != "" && sameID(o.Text("Id"), id) {
			return o
		}
	}
	for _, o := range j.held {
		if id == "" && o.Text(j.keyField()) == key {
			return o
		}
	}
	return nil
}

// sameID compares ids, which have 15 or 18 characters.
func sameID(a, b string) bool { return len(a) >= 15 && len(b) >= 15 && a[:15] == b[:15] }
