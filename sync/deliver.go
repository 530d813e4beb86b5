package sync

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/lease"
	"github.com/vinfer-sync/vinfer-sync/internal/mask"
	"github.com/vinfer-sync/vinfer-sync/internal/number"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

const (
	sameErrors = 8 // rejections in a row that halt a destination
	soloFails  = 10
	soloTime   = 24 * time.Hour
)

// run delivers until ctx ends, and returns when nothing is on its way any more. Each job has a goroutine of its own from its claim until its
// outcome is durable; only then is the next job of its lane begun.
func (c *dispatcher) run(ctx context.Context) {
	var attempts sync.WaitGroup
	defer attempts.Wait()
	for refs := c.next(ctx); len(refs) > 0; refs = c.next(ctx) {
		for _, job := range c.claim(ctx, refs) {
			attempts.Go(func() { c.settle(ctx, job, c.attempt(ctx, job)) })
		}
	}
}

// attempt delivers a job as soon as there is a seat for it. It is released untried if the process ends before, or the destination is found
// to be unwell.
func (c *dispatcher) attempt(ctx context.Context, job *store.Job) store.Outcome {
	untried := store.Outcome{Job: job.JobRef, Verdict: store.Release, At: time.Now().UTC()}
	if !c.seats.take(ctx, isLive(job.JobRef)) {
		return untried
	}
	defer c.seats.give()
	if !c.beginWrite() {
		return untried
	}
	defer c.endWrite()
	began := time.Now()
	o := c.deliver(job)
	c.observe(job, o, time.Since(began))
	return o
}

// claim claims jobs and returns those that are there and can be read.
func (c *dispatcher) claim(ctx context.Context, refs []store.JobRef) (jobs []*store.Job) {
	done := c.e.busy.begin(c.claimActivity)
	defer done()
	claimed, err := c.e.o.Store.Claim(ctx, refs)
	if err != nil {
		if ctx.Err() == nil { // else the process ends
			c.e.log.Error("cannot claim jobs", keyDest, c.d.Name, keyCall, refs[0].ID, "jobs", len(refs), keyError, err)
		}
		for _, ref := range refs {
			c.claimAgain(ref)
		}
		return nil
	}
	for i, ref := range refs {
		switch job, err := claimed[i].Job, claimed[i].Err; {
		case err != nil:
			c.e.log.Error("cannot claim a job", keyDest, c.d.Name, keyCall, ref.ID, keyError, err)
			c.claimAgain(ref)
		case job == nil:
			c.end(ref, nil, 0)
			c.released()
		default:
			job.Urgent = ref.Urgent
			jobs = append(jobs, job)
		}
	}
	return jobs
}

// claimAgain puts a job off that could not be claimed.
func (c *dispatcher) claimAgain(ref store.JobRef) {
	ref.Due = time.Now().Add(c.e.backoff(5))
	c.end(ref, &ref, 0)
}

// deliver makes one attempt and says what became of it.
func (c *dispatcher) deliver(job *store.Job) store.Outcome {
	done := c.e.busy.begin(c.deliverActivity)
	defer done()
	o := store.Outcome{Job: job.JobRef, Refs: job.Refs}
	entry, notes, refusal, err := c.e.entry(c.d, job)
	o.Sort = sortOf(&entry)
	if err != nil {
		o.Verdict, o.Error, o.At = store.Dead, err.Error(), time.Now().UTC()
		o.Signature = "unusable entry"
		return o
	}
	if skip, reason := c.d.skipsJob(job); skip != "" {
		o.Verdict, o.Error, o.At, o.LeftOut = store.Skip, skip, time.Now().UTC(), []string{reason}
		return o
	}
	if refusal != "" {
		o.Verdict, o.Error, o.At = store.Dead, refusal, time.Now().UTC()
		return o
	}
	progress := crm.NewProgress(job.Refs, func(r crm.Refs) error {
		return c.e.o.Store.SaveRefs(context.WithoutCancel(c.e.writes), job.JobRef, r)
	})
	if notes.unreadTime != "" {
		progress.Warn("the call-back time %q is not understood: the follow-up is due as if the call named none", notes.unreadTime)
	}
	began := time.Now()
	err = c.write(entry, progress)
	now := time.Now().UTC()
	o.At, o.Refs, o.Warnings = now, progress.Outcome(), progress.Warnings
	if err != nil {
		o.Error = err.Error()
	}
	if err != nil && c.e.writes.Err() != nil {
		o.Verdict = store.Release // the process ends; what was done stands in the refs
		return o
	}
	switch crm.VerdictOf(err) {
	case crm.Delivered:
		c.succeeded()
		o.Verdict = store.Delivered
		o.SetStatus = entry.SetStatus
		o.LaneRefs = progress.Refs.OfNumber()
		o.TaskLeft = !notes.taskLeft.IsZero()
		o.LeftOut = c.leftOf(job, &entry, &o)
		o.Transcript = job.Kind == store.CallJob && job.First && c.e.wantsTranscript(c.d, entry.Call) && !c.e.specOf(job.Backfill).NoTranscripts
	case crm.Reject:
		c.answered()
		o.Verdict, o.Request = store.Dead, crm.Request(err)
		o.Signature, o.HaltAfter = signatureOf(err.Error()), sameErrors
	case crm.Skip:
		c.answered()
		o.Verdict = store.Skip
		o.LeftOut = c.leftOf(job, &entry, &o)
	case crm.Refuse:
		c.answered()
		o.Verdict = store.Dead // without a signature: it says nothing of the destination
	case crm.Halt:
		o.Verdict = store.Release
		if herr := c.e.o.Store.Hold(c.d.Name, store.Hold{Reason: err.Error(), At: now}); herr != nil {
			c.e.log.Error("cannot keep the halt", keyDest, c.d.Name, keyError, herr)
		}
		if c.halt(err.Error()) {
			c.e.log.Error("destination halted; its calls are kept", keyDest, c.d.Name, keyError, err, "remedy", "fix the cause, then: vinfer-sync resume "+c.d.Name)
		}
	case crm.Throttle:
		o.Verdict = store.Release
		// The job keeps its turn: the destination waits, and what ends that wait (another credential, resume) must not find the job put off.
		o.Limited = true
		c.keepThrottle(c.throttled(crm.Wait(err), err, began, now), err.Error())
	case crm.Postpone:
		c.answered()
		o.Verdict = store.Release
		o.Due = now.Add(min(max(crm.Wait(err), c.e.o.Backoff), postponeMax))
	case crm.Retry:
		o.Verdict = store.Retry
		o.Due, o.CountFail = c.failed(job.JobRef, err, began, now)
		if o.CountFail && job.Fails+1 >= soloFails && !job.FirstFail.IsZero() && now.Sub(job.FirstFail) >= soloTime && c.succeededSince(job.FirstFail) {
			o.Verdict = store.Dead
			o.Error = fmt.Sprintf("given up after %d failures over %s while other calls passed: %s", job.Fails+1, now.Sub(job.FirstFail).Round(time.Minute), o.Error)
		}
	}
	return o
}

// skipsJob returns why the destination does not want a job that it has had nothing of yet: the configuration may have changed while it
// waited, or it is a dead letter that is tried again after just that.
func (d *Destination) skipsJob(job *store.Job) (why, reason string) {
	if !job.First || job.Kind != store.CallJob || d.takesAll() {
		return "", ""
	}
	body, err := decode(job.Body)
	if err != nil {
		return "", "" // told by entry
	}
	return d.skips(body.Call)
}

// write calls the writer and turns its panic into an error: one broken call must not end the service.
func (c *dispatcher) write(entry crm.Entry, p *crm.Progress) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = crm.Rejected(fmt.Errorf("the %s writer failed on this call: %s", c.d.Kind, mask.Phones(fmt.Sprint(r))), "")
		}
	}()
	if err := lease.Allows(c.e.writes); err != nil {
		return err
	}
	return c.d.Writer.Write(c.e.writes, entry, p)
}

func (c *dispatcher) succeededSince(t time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastSuccess.After(t)
}

// settle records an outcome, however long that takes, and makes way for the next job of its lane.
func (c *dispatcher) settle(ctx context.Context, job *store.Job, o store.Outcome) {
	done := c.e.busy.begin(c.settleActivity)
	defer done()
	if o.Verdict == store.Dead && o.Signature != "" && c.isHalted() {
		o.Verdict = store.Release // halted meanwhile, for this very error most likely: it stays in the outbox with the others
	}
	var s store.Settled
	scans := c.scansBegun()
	for n := 1; ; n++ {
		var err error
		s, err = c.e.o.Store.Settle(context.WithoutCancel(ctx), o)
		if err == nil {
			c.e.unrecorded.Store(0)
			break
		}
		// The disk is full, most likely. The call may have been delivered: it must not be forgotten that it was.
		if c.e.unrecorded.CompareAndSwap(0, time.Now().UnixNano()) {
			c.e.log.Error("cannot record a delivery; trying on", keyDest, c.d.Name, keyCall, o.Job.ID, keyError, err)
		}
		if c.e.writes.Err() != nil || ctx.Err() != nil && n > 5 {
			c.e.log.Error("ended without recording a delivery; it will be repeated", keyDest, c.d.Name, keyCall, o.Job.ID)
			return
		}
		c.e.busy.beat()
		_ = pause(context.WithoutCancel(ctx), min(c.e.backoff(n), 10*time.Second)) // it cannot end early
	}
	c.report(job, o, s)
	ahead := s.Next
	if ahead != nil && job.Urgent {
		ahead.Urgent = true // the live job that waits in this lane is still to come
	}
	if ahead != nil && o.Verdict == store.Release && !o.Due.IsZero() && ahead.Due.Before(o.Due) {
		ahead.Due = o.Due
	}
	if o.Verdict == store.Release && ctx.Err() == nil && o.Due.IsZero() && c.isHalted() {
		ahead = nil // found again by the scan after resume
	}
	c.end(o.Job, ahead, scans)
}

func (c *dispatcher) isHalted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.halted != ""
}

// What the log says of a call that was refused. One of a series of the same refusals is put back when the series halts the destination.
const (
	msgKept    = "call refused; it is kept as a dead letter"
	msgRefused = "call refused; it is a dead letter unless the destination halts for the same reason"
)

// report tells the operator what is worth it, and the watcher what it has to do now.
func (c *dispatcher) report(job *store.Job, o store.Outcome, s store.Settled) {
	warnings := o.Warnings
	if o.TaskLeft && job.Backfill == 0 {
		warnings = append(slices.Clip(warnings), "the call's follow-up task was overdue and is skipped")
	}
	for _, w := range warnings {
		c.mu.Lock()
		say, unsaid := c.warningLog.allow(time.Now())
		c.mu.Unlock()
		c.log(say, w, unsaid, keyDest, c.d.Name, keyCall, o.Job.ID)
	}
	if s.Halted != "" {
		c.halt(s.Halted)
		c.e.log.Error("destination halted: the same error for call after call; those that were refused are back in the outbox", keyDest, c.d.Name, keyError, o.Error,
			"remedy", "fix the cause, then: vinfer-sync resume "+c.d.Name)
		return
	}
	switch o.Verdict {
	case store.Dead:
		c.mu.Lock()
		c.dead++
		say, unsaid := c.refusalLog.allow(time.Now())
		c.mu.Unlock()
		msg := msgKept
		if o.Signature != "" {
			msg = msgRefused
		}
		c.log(say, msg, unsaid, keyDest, c.d.Name, keyCall, o.Job.ID, keyError, o.Error, "remedy", "vinfer-sync dead list")
	case store.Delivered:
		if o.Transcript {
			c.e.watcher.wake()
		}
	case store.Retry:
		c.e.log.Debug("will try again", keyDest, c.d.Name, keyCall, o.Job.ID, "attempt", job.Attempts+1, "at", rfc3339(o.Due), keyError, o.Error)
	case store.Release, store.Skip:
	}
}

// log warns of what may be said, and leaves the rest to who debugs.
func (c *dispatcher) log(loud bool, msg string, unsaid int, attrs ...any) {
	level := slog.LevelDebug
	if loud {
		level = slog.LevelWarn
	}
	if unsaid > 0 {
		attrs = append(attrs, "others_since", unsaid)
	}
	c.e.log.Log(context.Background(), level, msg, attrs...)
}

// entryNotes is what an entry does not show.
type entryNotes struct {
	taskLeft   time.Time // when its follow-up task was due, which is left out; zero: none is
	unreadTime string    // the call-back time as sent, where it is not understood; without phone numbers
}

// entry makes of a job what the writer gets. refusal: why it must not be written at all.
func (e *Engine) entry(d *Destination, job *store.Job) (entry crm.Entry, notes entryNotes, refusal string, err error) {
	body, err := decode(job.Body)
	if err != nil {
		return entry, notes, "", err
	}
	c := e.call(body.Call, job.When)
	entry = crm.Entry{Revision: job.Revision, Attempt: job.Attempts + 1, Late: job.Older && job.Kind == store.CallJob, Before: job.Before, Call: c, NoActivity: d.Off.Activity}
	switch {
	case job.Kind == store.TranscriptJob:
		entry.Event = crm.TranscriptReady
		entry.Transcript = transcript(body.Transcript)
	case job.First:
		entry.Event = crm.CallCompleted
	case strings.IndexByte(string(job.Changed), tagDisposition) >= 0:
		entry.Event = crm.DispositionSet
	default:
		entry.Event = crm.CallUpdated
	}
	entry.Key = key(entry.Event, job)
	if d.Off.Link {
		entry.Call.TranscriptURL = ""
	}
	rule, known := d.Mapping.rule(c.Disposition, c.RawDisposition)
	if !known && d.Mapping.Unknown == UnknownDead {
		return entry, notes, fmt.Sprintf("disposition %q is not in the mapping, and mapping.unknown is dead", c.RawDisposition), nil
	}
	entry.Status = rule.Status
	entry.SetStatus = rule.Status != "" && !job.OlderStatus && !d.Off.Status && job.Kind == store.CallJob
	entry.DoNotCall = c.Disposition == "dnc"
	if raw := body.Call.CallbackAt; job.Kind == store.CallJob && c.CallbackAt.IsZero() {
		notes.unreadTime = mask.Phones(raw)
	}
	if !d.Off.Task && job.Kind == store.CallJob {
		if entry.Task, err = d.Mapping.task(rule, c, d.Owner); err != nil {
			return entry, notes, "", err
		}
		// A follow-up that is long overdue helps nobody: in a backfill there would be thousands.
		if t := entry.Task; t != nil && !e.specOf(job.Backfill).WithTasks && t.Due.Before(time.Now().Add(-e.o.Lookback)) {
			due, again := t.Due, time.Now().UTC().Truncate(time.Second)
			if _, appendOnly := d.Writer.(crm.AppendOnly); appendOnly {
				again = job.Seen // the same at each attempt: a receiver drops what comes again under one key
			}
			if job.Backfill != 0 || !d.Mapping.overdue(t, c.EndedAt, again, e.o.Lookback) {
				entry.Task, notes.taskLeft = nil, due
			}
		}
	}
	return entry, notes, "", nil
}

// call makes of VInfer's call what writers get.
func (e *Engine) call(v vinfer.Call, when time.Time) crm.Call {
	c := callOf(v, e.o.Region, e.zone)
	if c.EndedAt.IsZero() {
		c.EndedAt = when
	}
	if c.TranscriptURL == "" && v.TranscriptJob != "" {
		c.TranscriptURL = e.o.API.TranscriptURL(v.TranscriptJob)
	}
	return c
}

// FirstEntry returns the first entry of a call by a mapping, for a look at what would be written. It has no transcript.
func FirstEntry(v vinfer.Call, m Mapping, owner, region string, zone *time.Location) (crm.Entry, error) {
	if err := m.compile(); err != nil {
		return crm.Entry{}, err
	}
	c := callOf(v, region, zone)
	rule, _ := m.rule(c.Disposition, c.RawDisposition)
	task, err := m.task(rule, c, owner)
	return crm.Entry{
		Event: crm.CallCompleted, Key: "look", Revision: 1, Attempt: 1, Call: c, Status: rule.Status, SetStatus: rule.Status != "", DoNotCall: c.Disposition == "dnc", Task: task,
	}, err
}

// callOf makes a call of what VInfer's API tells by itself. A call-back time without a zone is in zone.
func callOf(v vinfer.Call, region string, zone *time.Location) crm.Call {
	c := crm.Call{
		ID: v.ID, Campaign: v.CampaignID, Contact: crm.Contact{Phone: v.Phone, Name: v.Name}, Direction: v.Direction, Status: v.Status,
		Disposition: Disposition(v.Disposition), RawDisposition: v.Disposition, Duration: v.DurationSeconds, Language: v.Language,
		StartedAt: v.StartedAt, EndedAt: v.Completed(), TranscriptURL: v.TranscriptURL,
		Sentiment: v.Sentiment, QAScore: v.QAScore, Summary: v.Summary, CallbackAt: callbackTime(v.CallbackAt, zone),
	}
	n := number.Parse(v.Phone, region)
	c.Contact.E164, c.Contact.National = n.E164, n.National
	if c.Direction == "" {
		c.Direction = "outbound"
	}
	if c.Status == "" {
		c.Status = "completed"
	}
	return c
}

// callbackTime reads a requested time; one without a zone is in the given one. Zero: none, or not understood.
func callbackTime(s string, zone *time.Location) time.Time {
	t, err := vinfer.ParseTime(s, zone)
	if err != nil {
		return time.Time{}
	}
	return t
}

// key is the idempotency key of one revision of one event. The content is part of it: a store that was lost and made again counts revisions from 1 again.
func key(ev crm.Event, job *store.Job) string {
	body := sha256.Sum256(job.Body)
	b := make([]byte, 0, 192)
	b = append(append(b, job.ID...), '\n')
	b = append(append(b, ev...), '\n')
	b = append(strconv.AppendInt(b, int64(job.Revision), 10), '\n')
	sum := sha256.Sum256(hex.AppendEncode(b, body[:]))
	return "vs1-" + hex.EncodeToString(sum[:16])
}

func transcript(t *vinfer.Transcript) *crm.Transcript {
	if t == nil {
		return &crm.Transcript{}
	}
	out := &crm.Transcript{Text: t.Text, Language: t.Language, Summary: t.Summary}
	var b strings.Builder
	for _, s := range t.Segments {
		out.Segments = append(out.Segments, crm.Segment{Speaker: s.Speaker, Text: s.Text, Start: s.Start, End: s.End})
		if s.Speaker != "" {
			b.WriteString(s.Speaker + ": ")
		}
		b.WriteString(s.Text + "\n")
	}
	if out.Text == "" {
		out.Text = strings.TrimSuffix(b.String(), "\n")
	}
	return out
}

var particulars = regexp.MustCompile(`"[^"]*"|'[^']*'|[0-9a-fA-F-]{8,}|\d+`)

// signatureOf returns an error without what differs from call to call: quoted values, ids and digits. The HTTP status is kept.
func signatureOf(s string) string {
	status := statusCode.FindString(s)
	s = particulars.ReplaceAllString(s, "#")
	if len(s) > 300 {
		s = s[:300]
	}
	return status + " " + s
}

// Reason returns an error without what differs from call to call, to tell whether two calls were refused for the same reason.
func Reason(s string) string { return signatureOf(s) }

var statusCode = regexp.MustCompile(`\b[45]\d\d\b`)
