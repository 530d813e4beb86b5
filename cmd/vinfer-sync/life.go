package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/internal/mask"
	"github.com/vinfer-sync/vinfer-sync/store"
)

// printLife tells a call's life in plain words.
func printLife(out *screen, l store.Life, reveal bool) {
	if l.Revision == 0 && l.Body == nil && len(l.Dests) == 0 { // nothing is known of it but that it was forgotten
		fmt.Fprintf(out.out, "call        %s\n\n", l.ID)
		printEvents(out, l)
		return
	}
	fmt.Fprintf(out.out, "call        %s\nended       %s\nfirst seen  %s\nrevision    %d\n", l.ID, out.at(l.When), out.at(l.FirstSeen), l.Revision)
	if l.Body == nil {
		fmt.Fprintln(out.out, "content     deleted: no destination waits for it (calls show --live asks VInfer)")
	} else {
		body := string(l.Body)
		if !reveal {
			body = mask.Phones(body)
		}
		fmt.Fprintf(out.out, "content     %s\n", strings.Join(out.wrap(body, 12), "\n            "))
	}
	if w := l.Awaited; w != nil {
		what := "its transcript"
		if w.Kind == store.FinishWatch {
			what = "its end"
		}
		fmt.Fprintf(out.out, "awaited     %s: asked %s, next ask %s\n", what, times(w.Attempts), out.at(w.Due))
	}
	fmt.Fprintln(out.out)
	printEvents(out, l)
	if len(l.Dests) == 0 {
		fmt.Fprintln(out.out, "no destination has had to do with the call")
	}
	for i := range l.Dests {
		printWay(out, &l.Dests[i])
	}
}

// printLifeJSON prints the same for programs.
func printLifeJSON(out io.Writer, l store.Life, reveal bool) error {
	var content json.RawMessage
	if l.Body != nil {
		body := string(l.Body)
		if !reveal {
			body = mask.Phones(body)
		}
		if content = json.RawMessage(body); !json.Valid(content) {
			content, _ = json.Marshal(body) // a text
		}
	}
	type event struct {
		At   time.Time `json:"at"`
		What string    `json:"what"`
	}
	events := []event{}
	for _, e := range l.Events {
		events = append(events, event{e.At, mask.Phones(e.What)})
	}
	type destination struct {
		Name        string            `json:"name"`
		State       string            `json:"state"`
		Revision    int               `json:"revision"`
		Attempts    int               `json:"attempts"`
		At          string            `json:"at"`
		Due         string            `json:"due"`
		Error       string            `json:"error"`
		Waits       string            `json:"waits"`
		DeadLetters []uint64          `json:"dead_letters"`
		Transcript  string            `json:"transcript"`
		Refs        map[string]string `json:"refs"`
		Warnings    []string          `json:"warnings"`
	}
	dests := []destination{}
	for i := range l.Dests {
		d := &l.Dests[i]
		dests = append(dests, destination{d.Dest, d.State, d.Revision, d.Attempts, stamp(d.At), stamp(d.Due), mask.Phones(d.Error), d.Waits, d.Letters, d.Transcript, d.Refs, d.Warnings})
	}
	return json.NewEncoder(out).Encode(map[string]any{
		"call_id": l.ID, "ended_at": stamp(l.When), "first_seen": stamp(l.FirstSeen), "revision": l.Revision, "content": content, "events": events, "destinations": dests,
	})
}

func printEvents(out *screen, l store.Life) {
	for _, e := range l.Events {
		out.pair(out.at(e.At), "%s", e.What)
	}
	_ = out.flush() // a reader that has gone
}

// printWay tells of a call at one destination.
func printWay(out *screen, d *store.DestLife) {
	fmt.Fprintf(out.out, "\n%s: %s", d.Dest, d.State)
	switch d.State {
	case "delivered":
		if d.At.IsZero() {
			fmt.Fprint(out.out, " (when and how is forgotten)")
			break
		}
		fmt.Fprintf(out.out, " %s, revision %d, after %s", out.at(d.At), d.Revision, attempts(d.Attempts))
	case "skipped":
		fmt.Fprintf(out.out, " %s: skipped", out.at(d.At))
	case "dead":
		fmt.Fprintf(out.out, " %s: refused after %s", out.at(d.At), attempts(d.Attempts))
	default:
		fmt.Fprintf(out.out, ", %s so far", attempts(d.Attempts))
		if !d.Due.IsZero() {
			fmt.Fprintf(out.out, ", next try %s", out.at(d.Due))
		}
	}
	fmt.Fprintln(out.out)
	line := func(k, v string) {
		if v != "" {
			fmt.Fprintf(out.out, "  %s: %s\n", k, strings.Join(out.wrap(out.local(v), 4), "\n    "))
		}
	}
	line("reason", d.Error)
	line("waits", strings.Replace(d.Waits, "is halted: paused by", "is paused by", 1))
	if len(d.Letters) > 0 {
		var nums []string
		for _, n := range d.Letters {
			nums = append(nums, strconv.FormatUint(n, 10))
		}
		list := strings.Join(nums, " ")
		line("dead letter", list+" (vinfer-sync dead show "+list+"; dead retry once it is fixed)")
	} else if d.State == "dead" {
		line("dead letter", "dropped")
	}
	line("transcript", d.Transcript)
	for _, k := range slices.Sorted(maps.Keys(d.Refs)) {
		line(k, d.Refs[k])
	}
	for _, w := range d.Warnings {
		line("warning", w)
	}
}

func attempts(n int) string {
	if n == 1 {
		return "1 attempt"
	}
	return strconv.Itoa(n) + " attempts"
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return strconv.Itoa(n) + " times"
}
