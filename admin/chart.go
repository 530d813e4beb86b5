package admin

import "strings"

// The chart of calls by hour, in the units of its SVG.
const (
	chartWidth  = 480
	chartHeight = 190
	chartTop    = 20 // room for the scale's number
	chartBottom = 20 // room for the hours
)

// hoursChart is a chart of bars.
type hoursChart struct {
	Width, Height int
	Base          int // where bars stand
	Top           int // where the highest ends
	Most          int // calls of the highest
	Bars          []hourBar
}

type hourBar struct {
	X, Y, Width, Height, Right int
	Title, Label               string // Label is empty where there is no room
	N                          int
	Now                        bool
}

func chartOf(hours []count) hoursChart {
	c := hoursChart{Width: chartWidth, Height: chartHeight, Base: chartHeight - chartBottom, Top: chartTop}
	for _, h := range hours {
		c.Most = max(c.Most, h.N)
	}
	if len(hours) == 0 {
		return c
	}
	step := chartWidth / len(hours)
	for i, h := range hours {
		height := 0
		if c.Most > 0 {
			height = (c.Base - c.Top) * h.N / c.Most
		}
		if h.N > 0 {
			height = max(height, 2)
		}
		b := hourBar{X: i*step + 1, Width: step - 2, Height: height, Y: c.Base - height, Right: (i + 1) * step, Title: h.Name, N: h.N, Now: i == len(hours)-1}
		if (len(hours)-1-i)%6 == 0 {
			b.Label = strings.TrimSuffix(h.Name, ":00") + map[bool]string{true: " h"}[strings.HasSuffix(h.Name, ":00")]
		}
		c.Bars = append(c.Bars, b)
	}
	return c
}

// bar is one outcome's share.
type bar struct {
	Name  string
	N     int
	Width int // of 100, against the most frequent one
	Share int // of 100, of all
}

// words shows a disposition as people write it.
func words(disposition string) string { return strings.ReplaceAll(disposition, "_", " ") }

// barsOf shows the most frequent ones; the rest is one bar.
func barsOf(outcomes []count) []bar {
	const most = 8
	if len(outcomes) > most {
		rest := 0
		for _, o := range outcomes[most-1:] {
			rest += o.N
		}
		outcomes = append(outcomes[:most-1:most-1], count{otherOutcomes, rest})
	}
	top, all := 0, 0
	for _, o := range outcomes {
		top, all = max(top, o.N), all+o.N
	}
	var bars []bar
	for _, o := range outcomes {
		bars = append(bars, bar{Name: words(o.Name), N: o.N, Width: max(100*o.N/top, 1), Share: 100 * o.N / all})
	}
	return bars
}
