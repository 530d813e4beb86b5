package httpx

import "testing"

// A refusal is told in the destination's words, not in its JSON.
func TestComplaint(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":{"code":"invalid_token","message":"the token \"abc\" has expired"}}`: `invalid_token: the token "abc" has expired`,
		`{"error":"invalid_grant","error_description":"expired authorization code"}`:   `invalid_grant: expired authorization code`,
		`{"status":"error","message":"missing scopes","category":"MISSING_SCOPES"}`:    `missing scopes`,
		`{"code":"OAUTH_SCOPE_MISMATCH","details":{},"message":"invalid oauth scope"}`: `OAUTH_SCOPE_MISMATCH: invalid oauth scope`,
		`[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]`:  `[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]`,
		`{"fault":{"faultstring":"no"}}`:                                               `{"fault":{"faultstring":"no"}}`,
		`{"error":7,"code":3}`:                                                         `{"error":7,"code":3}`,
		`no access`:                                                                    `no access`,
		``:                                                                             ``,
	} {
		if got := complaint([]byte(body)); got != want {
			t.Errorf("%s: %s", body, got)
		}
	}
}
