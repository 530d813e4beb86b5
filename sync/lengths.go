package sync

import (
	"math"
	"time"
)

// lengths is a histogram of how long calls last, from dialling to their end. Its steps grow by a tenth each, so that a quantile is at most
// a tenth too long. What is old counts less and less. The zero value is empty; it survives a JSON round trip.
type lengths struct {
	Counts [lengthSteps]float64 `json:"counts"`
	Sum    float64              `json:"sum"`
}

const (
	lengthSteps  = 120
	lengthGrowth = 1.1
	enoughCalls  = 50   // fewer say nothing of a quantile
	manyCalls    = 5000 // when so many have been counted, all count half
)

func (l *lengths) add(d time.Duration) {
	step := 0
	if d > time.Second {
		step = min(int(math.Ceil(math.Log(d.Seconds())/math.Log(lengthGrowth))), lengthSteps-1)
	}
	l.Counts[step]++
	if l.Sum++; l.Sum < manyCalls {
		return
	}
	l.Sum = 0
	for i := range l.Counts {
		l.Counts[i] /= 2
		l.Sum += l.Counts[i]
	}
}

// known tells whether enough calls were counted.
func (l *lengths) known() bool { return l.Sum >= enoughCalls }

// quantile returns a length that so great a share of calls does not exceed.
func (l *lengths) quantile(p float64) time.Duration {
	left := p * l.Sum
	for i, n := range l.Counts {
		if left -= n; left <= 0 {
			return time.Duration(math.Pow(lengthGrowth, float64(i)) * float64(time.Second))
		}
	}
	return time.Duration(math.Pow(lengthGrowth, lengthSteps-1) * float64(time.Second))
}
