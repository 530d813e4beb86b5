// Package bolt is the store in one file, by bbolt.
//
// A change becomes durable in one write transaction (DB.update); outcomes and claims that wait for one share the next (committer). Values are sealed
// with a checksum that their key is part of (codec.go), keys are laid out in keys.go, buckets are listed in txn.go. The file is locked, its
// structure is verified when it is opened (verify.go), and a marker beside it tells a lost file from a new one (marker.go).
package bolt
