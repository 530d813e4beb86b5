package sync

import (
	"strconv"
	"time"
)

// watchPace warns when polls take longer than the schedule leaves. The caller holds the lock.
func (p *plan) watchPace(took time.Duration) {
	p.took = took
	if p.schedule == nil || took <= p.interval() {
		p.slow = 0
		return
	}
	if p.slow++; p.slow >= slowPolls && time.Since(p.toldSlow) > time.Hour {
		p.toldSlow = time.Now()
		p.e.log.Warn("polls take longer than the schedule leaves; they follow each other without a pause",
			"took", took.Round(100*time.Millisecond), "schedule", p.e.o.Schedule, "fitting", FittingSchedule(took))
	}
}

// slowPolls is how many polls in a row take longer than the schedule leaves before that is told.
const slowPolls = 3

// advice is a schedule that fits how long polls take; empty: the configured one does.
func (p *plan) advice() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slow < slowPolls {
		return ""
	}
	return FittingSchedule(p.took)
}

// FittingSchedule returns a schedule that leaves polls which take so long half as much again.
func FittingSchedule(took time.Duration) string {
	for _, seconds := range []int{2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800} {
		if d := time.Duration(seconds) * time.Second; took+took/2 <= d {
			return "@every " + shortDuration(d)
		}
	}
	return "@every 1h"
}

func shortDuration(d time.Duration) string {
	if d >= time.Minute {
		return strconv.Itoa(int(d.Minutes())) + "m"
	}
	return strconv.Itoa(int(d.Seconds())) + "s"
}
