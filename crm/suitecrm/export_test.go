package suitecrm

// For the tests: what SuiteCRM holds of a text.
var (
	Harmless = harmless
	Stored   = stored
)
