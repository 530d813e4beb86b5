package sync

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// Tags of the fields whose change makes a revision. The transcript's address is left out: it may be signed and change by
// itself, and the transcript is watched for anyway. They are stored: never renumber.
const (
	tagDisposition byte = iota + 1
	tagPhone
	tagName
	tagCampaign
	tagStatus
	tagDuration
	tagLanguage
	tagStarted
	tagEnded
	tagSentiment
	tagQA
	tagSummary
	tagCallback
	tagDirection
)

// tagNames names the tags, for people.
var tagNames = map[byte]string{
	tagDisposition: "disposition", tagPhone: "phone", tagName: "name", tagCampaign: "campaign", tagStatus: "status",
	tagDuration: "duration", tagLanguage: "language", tagStarted: "start", tagEnded: "end", tagSentiment: "sentiment",
	tagQA: "QA score", tagSummary: "summary", tagCallback: "call-back time", tagDirection: "direction",
}

// fields returns the fingerprint of what the row has.
func (e *Engine) fields(c vinfer.Call) []store.Field {
	var f []store.Field
	add := func(tag byte, v string) {
		if v == "" {
			return
		}
		f = append(f, store.Field{Tag: tag, Hash: hashOf(v)})
	}
	number := func(p *float64) string {
		if p == nil {
			return ""
		}
		return strconv.FormatUint(math.Float64bits(*p), 16)
	}
	stamp := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return strconv.FormatInt(t.UnixNano(), 10)
	}
	add(tagDisposition, Disposition(c.Disposition))
	add(tagPhone, phoneKey(c.Phone, e.o.Region)) // another spelling of a number is no change
	add(tagName, c.Name)
	add(tagCampaign, c.CampaignID)
	add(tagStatus, c.Status)
	add(tagDuration, number(c.DurationSeconds))
	add(tagLanguage, c.Language)
	add(tagStarted, stamp(c.StartedAt))
	add(tagEnded, stamp(c.EndedAt))
	add(tagSentiment, c.Sentiment)
	add(tagQA, number(c.QAScore))
	add(tagSummary, c.Summary)
	add(tagCallback, c.CallbackAt)
	add(tagDirection, c.Direction)
	return f
}

// placed returns where a call stands in its contact's order, seen at a time by the server's clock. One dated ahead of that clock would be
// the contact's newest call until the clock gets there: none after it could set the status. It stands right after the time it was seen;
// those that are dated ahead by different times, as by a server that leaves out the zone, keep their order within a second.
func placed(completed, seen time.Time) time.Time {
	const second, day = float64(time.Second), float64(24 * time.Hour)
	const tolerance = 5 * time.Second // between two clocks of one server
	ahead := completed.Sub(seen)
	switch {
	case completed.IsZero():
		return seen
	case ahead <= tolerance:
		return completed
	}
	return seen.Add(time.Duration(0.9 * second * min(float64(ahead)/day, 1)))
}

// row makes of a finished call what the store ingests. only names the one destination of a backfill --to; empty: all.
func (e *Engine) row(c vinfer.Call, seen time.Time, only string) store.Row {
	r := store.Row{ID: c.ID, When: placed(c.Completed(), seen), Lane: e.lane(c.Phone, c.ID), Fields: e.fields(c), Body: encode(content{Call: c})}
	for _, co := range e.order {
		d := co.d
		if only != "" && d.Name != only {
			continue
		}
		skip, reason := d.skips(c)
		r.Targets = append(r.Targets, store.Target{Dest: d.Name, Skip: skip, Reason: reason})
	}
	return r
}

// skips returns why the destination does not want a call, for people and as it is counted; empty: it does.
func (d *Destination) skips(c vinfer.Call) (why, reason string) {
	disposition := Disposition(c.Disposition)
	if why := d.Filter.refuses(disposition, c.CampaignID, c.Language, c.DurationSeconds); why != "" {
		return why, store.LeftFiltered
	}
	if _, known := d.Mapping.rule(disposition, c.Disposition); !known && d.Mapping.Unknown == UnknownSkip {
		return fmt.Sprintf("mapping: disposition %q is not in it, and mapping.unknown is skip", c.Disposition), store.LeftUnknown
	}
	return "", ""
}

// takesAll tells whether the destination wants every call, whatever it is.
func (d *Destination) takesAll() bool {
	f := &d.Filter
	return len(f.Dispositions)+len(f.Campaigns)+len(f.Languages) == 0 && f.MinDuration == 0 && d.Mapping.Unknown != UnknownSkip
}

// wanted tells whether the configuration takes calls of this campaign at all.
func (e *Engine) wanted(c vinfer.Call) bool {
	return len(e.o.Campaigns) == 0 || slices.Contains(e.o.Campaigns, c.CampaignID)
}

// ingest stores one page and wakes who has work by it.
func (e *Engine) ingest(p store.Page) (store.Ingested, error) {
	p.At, p.FieldNames = time.Now().UTC(), tagNames
	got, err := e.o.Store.Ingest(p)
	if err != nil {
		return got, err
	}
	e.unfinished.forget(p.Rows)
	e.firstSeen(p, got)
	if p.Close != nil || p.Release {
		for _, c := range e.order {
			if p.Backfill != 0 {
				c.released()
			} else {
				c.releasedLive()
			}
		}
	}
	if len(p.Unfinished) > 0 {
		e.watcher.wake()
	}
	return got, nil
}
