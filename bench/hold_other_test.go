//go:build !linux

package bench

import "time"

func hold(d time.Duration) { time.Sleep(d) }
