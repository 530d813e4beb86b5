// Package bolt is the store in one file, by bbolt.
//
// What is kept, and by which rules, is package records; this package runs its transactions in the file (txn.go). The file is locked, its structure
// is verified when it is opened (pages.go), and a marker beside it tells a lost file from a new one (identity.go).
package bolt
