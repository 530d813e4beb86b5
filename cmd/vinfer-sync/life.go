package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/internal/mask"
	"github.com/vinfer-sync/vinfer-sync/store"
)

// printLife tells a call's life in plain words. out belongs to a command whose reader may have gone.
func printLife(out io.Writer, l store.Life, reveal bool) {
	if l.Revision == 0 && l.Body == nil && len(l.Dests) == 0 { // nothing is known of it but that it was forgotten
		fmt.Fprintf(out, "call        %s\n\n", l.ID)
		printEvents(out, l)
		return
	}
	fmt.Fprintf(out, "call        %s\nended       %s\nfirst seen  %s\nrevision    %d\n", l.ID, stamp(l.When), stamp(l.FirstSeen), l.Revision)
	if l.Body == nil {
		fmt.Fprintln(out, "content     deleted: no destination waits for it (calls show --live asks VInfer)")
	} else {
		body := string(l.Body)
		if !reveal {
			body = mask.Phones(body)
		}
		fmt.Fprintf(out, "content     %s\n", body)
	}
	if w := l.Awaited; w != nil {
		what := "its transcript"
		if w.Kind == store.FinishWatch {
			what = "its end"
		}
		fmt.Fprintf(out, "awaited     %s: asked %s, next ask %s\n", what, times(w.Attempts), stamp(w.Due))
	}
	fmt.Fprintln(out)
	printEvents(out, l)
	if len(l.Dests) == 0 {
		fmt.Fprintln(out, "no destination has had to do with it")
	}
	for i := range l.Dests {
		printWay(out, &l.Dests[i])
	}
}

func printEvents(out io.Writer, l store.Life) {
	for _, e := range l.Events {
		fmt.Fprintf(out, "%s  %s\n", stamp(e.At), e.What)
	}
}

// printWay tells of a call at one destination.
func printWay(out io.Writer, d *store.DestLife) {
	fmt.Fprintf(out, "\n%s: %s", d.Dest, d.State)
	switch d.State {
	case "delivered":
		if d.At.IsZero() {
			fmt.Fprint(out, " (when and how is forgotten)")
			break
		}
		fmt.Fprintf(out, " %s, revision %d, after %s", stamp(d.At), d.Revision, attempts(d.Attempts))
	case "skipped":
		fmt.Fprintf(out, " %s: left out", stamp(d.At))
	case "dead":
		fmt.Fprintf(out, " %s: refused after %s", stamp(d.At), attempts(d.Attempts))
	default:
		fmt.Fprintf(out, ", %s so far", attempts(d.Attempts))
		if !d.Due.IsZero() {
			fmt.Fprintf(out, ", next try %s", stamp(d.Due))
		}
	}
	fmt.Fprintln(out)
	line := func(k, v string) {
		if v != "" {
			fmt.Fprintf(out, "  %s: %s\n", k, v)
		}
	}
	line("reason", d.Error)
	line("waits", d.Waits)
	if len(d.Letters) > 0 {
		var nums []string
		for _, n := range d.Letters {
			nums = append(nums, strconv.FormatUint(n, 10))
		}
		list := strings.Join(nums, " ")
		line("dead letter", list+" (vinfer-sync dead show "+list+"; dead retry once it is mended)")
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
