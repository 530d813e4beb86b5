// Package bench measures the pipeline as a whole: how long calls take from the API to a receiver, in how much memory, and
// what the daemon costs while nothing happens. It has benchmarks only, and they print figures rather than judge them: what
// a machine can do is no property of the code.
package bench
