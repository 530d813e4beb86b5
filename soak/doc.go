// Package soak runs the program as a service for a long time among everything that goes wrong: an API with all faults of the simulator, a
// webhook's receiver that fails, hangs up and loses answers, and configurations read anew. Then the faults end, and nothing may be missing, doubled
// or leaking. It has tests only, behind the build tag soak: make soak SOAK=1h.
package soak
