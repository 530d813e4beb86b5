package people

import "github.com/vinfer-sync/vinfer-sync/crm"

// CheckLimit returns the finding of a check that the CRM refuses to answer for the number of requests, which tells nothing of the key; nothing for any other error.
func CheckLimit(err error) []crm.Finding {
	if err == nil || crm.VerdictOf(err) != crm.Throttle {
		return nil
	}
	return []crm.Finding{{
		Subject: "requests", Err: err,
		Detail: "too many were sent, by this program or by others: the calls wait until some are free; check again then",
	}}
}
