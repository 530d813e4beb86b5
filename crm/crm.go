// Package crm says what it means to write a finished call to a CRM: the entry that is written, the writer that does
// it, what it must keep between attempts, and how it says what went wrong.
//
// Each kind of CRM is a package below this one. A writer keeps no state of its own that it could not lose, has no
// schedule and retries nothing: the engine calls it again.
//
// # Writers to CRMs whose contacts others change too
//
// They take Settings, and share what is below crm/internal: package phone (the spellings to search for, and the exact comparison), people
// (which contact), step (each record once), text (what the CRM has no field for), record (the frame of a Write, which most kinds give only a Schema to),
// and internal/httpx for the requests. Their Write is a list of steps:
//
//  1. people.Book.Resolve finds the contact, or makes it with its status, and saves it. Skipped and Refused come from there. The wish not to be
//     called belongs to the number: Resolve notes it on all other records of the number too, and on one that is made after the wish.
//  2. people.Book.Recall: a call whose activity the CRM has with the same outcome has set its status, whatever the refs say. Then the status
//     (Book.Status: SetStatus, protect and an equal one are seen to), the wish not to be called (only ever set) and a missing name
//     (Book.NewName) go to the contact in one request, if there is anything to send. It comes before the activity: a status that the CRM refuses rejects the call before half of it is there.
//  3. step.Do for the activity (unless Entry.NoActivity), the transcript link on the contact's timeline, and the task: ref known,
//     update if something changed; else look by the call's id, else create, and after a failed create look again. The
//     remote id is saved before the next request.
//  4. For TranscriptReady: nothing of the contact or the activity is updated, as the entry's call may be older than what was
//     written; what is missing is made, and the transcript becomes a note.
//
// An update reads the record, lays the new text over the held one (text.Body.Over: what the call does not have stays, and so
// does what people added) and sends only fields that differ and are not empty. A record that a person deleted is left
// so (step.ErrGone). Fields that the call can do without go through step.Optional.
package crm

import (
	"context"
	"fmt"
	"maps"
	"time"
)

// Event says why an entry is written. The values are the names of VInfer's webhook events, and one of ours.
type Event string

// The events, in the order in which one call goes through them.
const (
	CallCompleted   Event = "call.completed"           // first news of a call that has ended
	DispositionSet  Event = "call.disposition_set"     // the disposition was set or changed after CallCompleted
	CallUpdated     Event = "call.updated"             // something else about the call changed (ours, not VInfer's)
	TranscriptReady Event = "call.transcription_ready" // the transcript is there: Entry.Transcript is set
)

// Entry is one thing to write: a call, what is to become of its contact, and perhaps its transcript. An Entry is
// read-only for the writer.
type Entry struct {
	Event    Event
	Key      string // idempotency key: one for one revision of one event of one call; ASCII letters, digits and '-'
	Revision int    // 1 for the first state of the call that was queued, then counting
	Attempt  int    // 1 for the first attempt at this entry
	Late     bool   // the contact's newer call has already been written to this destination

	Call Call

	// Status is the lead status that the mapping gives the call's disposition; empty: the mapping gives none.
	// It may be written to the contact only if SetStatus holds: it does not for a call older than the one that
	// last set the contact's status, nor where the step is switched off.
	Status    string
	SetStatus bool

	// Before are the refs of the newest other call of the same number that was written to this destination; nil: none is known, or this is the newest.
	// By them a contact is found that the CRM's search does not show yet.
	Before Refs

	DoNotCall  bool        // the contact asked not to be called again (dnd, dnc)
	NoActivity bool        // the destination wants no call activity (steps: {activity: false})
	Task       *Task       // a follow-up to create; nil: none
	Transcript *Transcript // set if and only if Event is TranscriptReady
}

// Call is a finished call. A zero field is one that the call does not have: it must never empty a field that the CRM has.
// All times are UTC.
type Call struct {
	ID             string
	Campaign       string
	Contact        Contact
	Direction      string   // "outbound" or "inbound"
	Status         string   // "completed" or "failed"
	Disposition    string   // normalised: lower case, underscores, synonyms resolved ("callback_requested", "dnc")
	RawDisposition string   // as VInfer sent it
	Duration       *float64 // seconds from the answer; 0: never connected; nil: not known
	Language       string   // BCP 47
	StartedAt      time.Time
	EndedAt        time.Time // completion
	TranscriptURL  string    // needs the VInfer key to open
	Sentiment      string    // a word, or a number from -1 to 1
	QAScore        *float64  // 0 to 100
	Summary        string
	CallbackAt     time.Time // when the contact asked to be called back
}

// Contact is the person who was called.
type Contact struct {
	Phone    string // as VInfer sent it; empty: unknown
	E164     string // the same as +<country><number>; empty when it is no valid number
	National string // digits as dialled inside the country, no leading 0; empty when E164 is
	Name     string
}

// Task is a follow-up to create once for a call.
type Task struct {
	Title string
	Due   time.Time // UTC
	Owner string    // the CRM's id or name of a user; empty: the contact's owner or the CRM's default
}

// Transcript is what was said.
type Transcript struct {
	Text     string    // the whole as lines "agent: …", "customer: …"; plain text, any script
	Segments []Segment // empty when VInfer sent plain text
	Language string
	Summary  string
}

// Segment is one utterance. Start and End are seconds from the beginning of the call; both 0: unknown.
type Segment struct {
	Speaker string // "agent", "customer" or as VInfer sent it
	Text    string
	Start   float64
	End     float64
}

// Refs are the remote ids that a writer created or found for one call, by step: "contact", "activity", "note",
// "task", or names of the writer's own. They outlive the process.
type Refs map[string]string

// Wish is the name of the ref that says that the contact asked not to be called again, and Asked its value for calls that did not say so themselves.
const (
	Wish  = "do_not_call"
	Asked = "asked"
)

// OfNumber returns what of a call's refs belongs to its number: the engine hands it on to the number's newest call, whose refs are the Before of the next
// one. A person may say of an older call, too, that nobody should call again, and delete the contact.
func (r Refs) OfNumber() Refs {
	if r[Wish] == "" {
		return nil
	}
	return Refs{Wish: Asked}
}

// Progress is what one call has already got at one destination. The engine makes one for each Write, filled with
// the refs of all earlier attempts and entries of the same call; the writer goes on from there. What Refs holds when Write
// returns is kept with the outcome, so a writer's last step needs no Save: it sets its ref and returns.
type Progress struct {
	Refs     Refs     // never nil
	Warnings []string // what an operator should know though the write succeeded
	save     func(Refs) error
	gone     []string // what Forget took out
}

// NewProgress returns a Progress that starts from refs (which it copies) and calls save after each step; save may be nil.
func NewProgress(refs Refs, save func(Refs) error) *Progress {
	p := &Progress{Refs: maps.Clone(refs), save: save}
	if p.Refs == nil {
		p.Refs = Refs{}
	}
	return p
}

// Save records the remote id of a finished step and returns when it is durable. A writer calls it after each step
// that made something and before its next request, so that a process that dies in between does not make it twice. If it fails
// the writer returns the error at once.
func (p *Progress) Save(step, id string) error {
	if p.Refs[step] == id {
		return nil
	}
	p.Refs[step] = id
	if p.save == nil {
		return nil
	}
	return p.save(p.Outcome())
}

// Forget takes a ref out, for good with the next Save or when Write returns.
func (p *Progress) Forget(step string) {
	if _, there := p.Refs[step]; there {
		delete(p.Refs, step)
		p.gone = append(p.gone, step)
	}
}

// Outcome returns the refs as they are to be kept: one that was forgotten is empty, which takes it out of those that are kept already.
func (p *Progress) Outcome() Refs {
	out := maps.Clone(p.Refs)
	for _, step := range p.gone {
		if _, again := out[step]; !again {
			out[step] = ""
		}
	}
	return out
}

// Warn notes something that an operator should know though the write goes on. It must not hold secrets or full phone numbers.
func (p *Progress) Warn(format string, args ...any) {
	p.Warnings = append(p.Warnings, fmt.Sprintf(format, args...))
}

// Writer writes calls to one destination.
type Writer interface {
	// Write writes e and returns nil once the destination has accepted all of it.
	//
	// It is called again with the same entry, and with the refs saved so far, after an error, after a lost answer and after the
	// process was killed at any point; wherever the destination has any means to tell, the outcome is that of one
	// call. It is called with a newer revision of a call, or with its transcript, and the refs of the earlier entry.
	// Entries of one contact come one after the other, those of different contacts side by side: Write must be safe for concurrent use.
	//
	// The error tells the engine what to do (VerdictOf): Rejected for an entry that can never be accepted, Halted
	// for a destination that needs an operator, Throttled to wait, Skipped and Refused for an entry that the configuration keeps from the
	// destination, any other to try again later. When ctx ends, Write
	// returns soon, with an error for which errors.Is(err, ctx.Err()) holds. Errors hold no secret and no full phone number.
	Write(ctx context.Context, e Entry, p *Progress) error
}

// AppendOnly is implemented by writers to destinations that keep every delivery apart and have no key to recognise
// one by (webhook, JSON lines, a program). For them a revision once attempted is frozen: what changed later follows
// as an entry of its own. Other writers are given the newest revision.
type AppendOnly interface {
	AppendOnly()
}

// Finding is one line of what Check found.
type Finding struct {
	Subject string // what was looked at: "key", "lead statuses", "field vinfer_call_id"
	Err     error  // nil: fine
	Detail  string // one line for the operator: what was seen, or what to do
}

// Checker is implemented by writers that can look whether the destination is ready, without writing to it.
type Checker interface {
	// Check returns what it found, worst last not required. It writes nothing. statuses are the lead statuses that
	// the mapping can produce; a CRM with a fixed list tells which are unknown there. Where Provision has something to make that is not optional and
	// that no write makes by itself, a finding has an Err.
	Check(ctx context.Context, statuses []string) []Finding
}

// Match is the contact that a call would be written to.
type Match struct {
	ID    string // empty: none; one would be created or the call skipped, as configured
	Label string // for people: name or link; no full phone number
	Count int    // how many matched
	None  bool   // no contact is looked for or made: the number is missing, impossible or one of Settings.OwnNumbers
}

// Finder is implemented by writers that can tell which contact they would write to, without writing.
type Finder interface {
	Find(ctx context.Context, c Contact) (Match, error)
}

// Change is one thing that Provision made or would make.
type Change struct {
	Subject string // "field Call.vinfer_call_id"
	Done    bool   // false: it would be made (dry run), or must be made by hand as Detail says
	// Optional: nothing is lost without it. Neither setup nor check fails for what is optional and not there.
	Optional bool
	Detail   string
}

// Provisioner is implemented by writers whose destination needs something set up (fields, tables).
type Provisioner interface {
	// Provision makes what is missing, or with dryRun only says what it would make. Running it again changes nothing.
	Provision(ctx context.Context, dryRun bool) ([]Change, error)
}
