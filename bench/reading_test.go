package bench

import (
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	engine "github.com/vinfer-sync/vinfer-sync/sync"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// reading says how fresh calls are to arrive, and at what volume.
type reading struct {
	dialect     simulator.Dialect
	rate        float64 // calls a minute
	every       time.Duration
	share       float64 // of the ends that the least possible number of requests finds at the first poll after them
	transcripts bool
}

// How long a measurement takes, in its own time. The daemon must have found its pace before; calls that ended in the measured time may
// arrive in the grace after it.
var (
	warmUp   = setting("BENCH_WARM", 15*time.Minute)
	measured = setting("BENCH_MEASURED", 5*time.Minute)
	grace    = setting("BENCH_GRACE", 15*time.Minute)
)

// kinds of requests that are shown, as the client counts them.
var kinds = []string{"news", "unfinished", "transcripts", "again", "sweep"}

// result is what was measured.
type result struct {
	requests map[string]float64 // a minute, by kind
	limited  int                // requests that were answered 429
	fresh    []time.Duration    // from the end to the write, sorted
	lengths  []time.Duration    // of the calls, sorted
	lost     int                // calls that had not arrived in the end; their freshness is the time until then
	doubled  int
	texts    float64 // transcripts written, a minute
	failed   int     // polls
	errors   []string
	took     time.Duration // of real time
}

// measure runs the daemon until it has found its pace and notes what happens then.
func (r reading) measure(b *testing.B) (out result) {
	b.Helper()
	began := time.Now()
	so := simulator.Options{
		Seed: 1, Dialect: r.dialect, Rate: r.rate, Calls: int(r.rate * 45), Contacts: int(r.rate * 40), Steady: true, TranscriptDelay: time.Minute,
	}
	change := func(o *engine.Options) {
		o.Schedule, o.FetchTranscripts = "@every "+r.every.String(), r.transcripts
	}
	inBubble(b, so, change, 0, func(t *testing.T, d *daemonInBubble) {
		time.Sleep(warmUp)
		d.sim.ForgetRequests()
		before := d.api.Requests()
		texts, from := d.notes.count(), time.Now()
		time.Sleep(measured)
		asked, to := d.sim.Requests(), time.Now()
		out.requests = map[string]float64{}
		for i, k := range d.api.Requests() {
			out.requests[k.Kind] = float64(k.Total-before[i].Total) / measured.Minutes()
		}
		out.texts = float64(d.notes.count()-texts) / measured.Minutes()
		time.Sleep(grace)
		for _, q := range asked {
			if q.Status == 429 {
				out.limited++
			}
		}
		out.fresh, out.lost = d.freshness(from, to)
		for _, c := range d.sim.Calls() {
			if !c.End.Before(from) && c.End.Before(to) {
				out.lengths = append(out.lengths, c.End.Sub(c.Start))
			}
		}
		slices.Sort(out.lengths)
		d.notes.mu.Lock()
		defer d.notes.mu.Unlock()
		out.doubled, out.failed, out.errors = d.notes.doubled, d.notes.failed, slices.Clone(d.notes.errors)
	})
	out.took = time.Since(began)
	return out
}

// count returns how many transcripts were written.
func (n *notebook) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.texts
}

// quantile of sorted values.
func quantile(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}

// leastRequests is how many requests a minute the news alone cost: the guide's dialect lists ends, so each poll takes the pages of what has
// ended since the one before. The reference's lists starts, so each poll takes the pages back to the start of the longest call that it is to find.
func (r reading) leastRequests(lengths []time.Duration) float64 {
	back := r.every
	if r.dialect == simulator.Reference {
		back = max(back, quantile(lengths, r.share))
	}
	return max(math.Ceil(r.rate*back.Minutes()/100), 1) / r.every.Minutes()
}

func (r reading) String() string {
	name := fmt.Sprintf("%s-%.0f-%s", r.dialect, r.rate, r.every)
	if r.transcripts {
		name += "-transcripts"
	}
	return name
}

// readings are what must hold, at these volumes.
func readings() (out []reading) {
	for _, d := range []simulator.Dialect{simulator.Guide, simulator.Reference} {
		out = append(out,
			reading{d, 6, 5 * time.Second, 0.95, false},
			reading{d, 300, 5 * time.Second, 0.90, false},
			reading{d, 1000, 5 * time.Second, 0.75, false},
			reading{d, 1000, time.Minute, 0.75, false},
			reading{d, 1000, time.Minute, 0.75, true},
		)
	}
	return out
}

// BenchmarkReading measures what reading costs VInfer's limit, and how fresh calls arrive for that.
func BenchmarkReading(b *testing.B) {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	head := []string{"dialect-calls/min-interval", "requests/min", "least for news"}
	head = append(append(head, kinds...), "429", "p50", "p75", "p90", "p95", "p99", "max", "lost", "doubled", "transcripts/min", "failed polls", "ERROR lines", "took")
	fmt.Fprintln(table, strings.Join(head, "\t")+"\t")
	var said []string
	for _, r := range readings() {
		b.Run(r.String(), func(b *testing.B) {
			var x result
			for b.Loop() {
				x = r.measure(b)
			}
			all := 0.0
			for _, n := range x.requests {
				all += n
			}
			least := r.leastRequests(x.lengths)
			row := []string{r.String(), fmt.Sprintf("%.0f", all), fmt.Sprintf("%.0f (p%.0f)", least, 100*r.share)}
			for _, k := range kinds {
				row = append(row, fmt.Sprintf("%.0f", x.requests[k]))
			}
			row = append(row, fmt.Sprint(x.limited))
			for _, share := range []float64{0.5, 0.75, 0.9, 0.95, 0.99, 1} {
				row = append(row, fmt.Sprintf("%.1fs", quantile(x.fresh, share).Seconds()))
			}
			row = append(row, fmt.Sprint(x.lost), fmt.Sprint(x.doubled), fmt.Sprintf("%.0f", x.texts), fmt.Sprint(x.failed), fmt.Sprint(len(x.errors)), round(x.took).String())
			fmt.Fprintln(table, strings.Join(row, "\t")+"\t")
			b.ReportMetric(all, "requests/min")
			b.ReportMetric(least, "least/min")
			b.ReportMetric(quantile(x.fresh, r.share).Seconds(), fmt.Sprintf("p%.0f-s", 100*r.share))
			b.ReportMetric(float64(x.lost), "lost")
			b.ReportMetric(float64(x.doubled), "doubled")
			lines := map[string]int{}
			for _, e := range x.errors {
				lines[e]++
			}
			for _, e := range slices.Sorted(maps.Keys(lines)) {
				said = append(said, fmt.Sprintf("%s: ERROR %d times: %.300s", r, lines[e], e))
			}
		})
	}
	_ = table.Flush()
	for _, line := range said[:min(len(said), 20)] {
		fmt.Println(line)
	}
}
