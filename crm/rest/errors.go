package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

var (
	errNothing = errors.New("there is no such record")
	errExists  = errors.New("there is one already")
)

// codeMatcher returns what tells whether a code is meant: the code itself, or a regular expression between slashes.
func codeMatcher(pattern string) (func(string) bool, error) {
	if len(pattern) > 2 && pattern[0] == '/' && pattern[len(pattern)-1] == '/' {
		re, err := regexp.Compile(pattern[1 : len(pattern)-1])
		if err != nil {
			return nil, err
		}
		return re.MatchString, nil
	}
	return func(code string) bool { return code == pattern }, nil
}

// fits tells whether the rule is for an answer.
func (r *rule) fits(status int, code, body string) bool {
	return (len(r.Status) == 0 || slices.Contains(r.Status, status)) &&
		(len(r.codes) == 0 || slices.ContainsFunc(r.codes, func(f func(string) bool) bool { return f(code) })) &&
		strings.Contains(body, r.Text)
}

// read returns what an answer says, or the error that it is. The body counts before the status.
func (a *api) read(answer *httpx.Answer, shape string) (any, error) {
	said, _ := decode(answer.Body)
	where := &a.w.recipe.Answers
	if answer.Status/100 == 2 {
		if !answer.Empty() {
			if err := answer.JSON(new(any)); err != nil {
				return nil, err // a page for people, or half an answer, tells nothing
			}
		}
		if where.OK == nil || where.OK.fits(said) {
			return said, nil
		}
	}
	return said, a.refusal(answer, said, shape)
}

// refusal returns the error that an answer is.
func (a *api) refusal(answer *httpx.Answer, said any, shape string) error {
	where := &a.w.recipe.Answers
	code, words := where.Error.text(said), where.Text.text(said)
	refused := &httpx.Refused{Status: answer.Status, Code: code, Message: words, Body: answer.Body}
	whole := string(answer.Body)
	if told := strings.Trim(code+": "+words, ": "); told != "" {
		answer.Body = []byte(told)
	}
	text := fmt.Errorf("%s answers %d: %s", a.client.Base().Host, answer.Status, answer.Words(answer.Body))
	refused.Err = httpx.Verdict(answer, shape)
	if refused.Err == nil { // a status of success that is none
		refused.Err = crm.Rejected(text, shape)
	}
	for i := range a.w.recipe.Errors {
		if r := &a.w.recipe.Errors[i]; r.fits(answer.Status, code, whole) {
			refused.Err = r.judge(text, shape, r.waits(answer, said))
			break
		}
	}
	return refused
}

// waits returns how long an answer asks to wait.
func (r *rule) waits(answer *httpx.Answer, said any) time.Duration {
	if seconds, err := json.Number(r.WaitIn.text(said)).Float64(); err == nil && r.WaitIn.set && seconds > 0 {
		return time.Duration(min(seconds, 24*3600) * float64(time.Second))
	}
	if r.Wait > 0 {
		return r.Wait
	}
	wait, _ := answer.RetryAfter()
	return wait
}

// judge makes the error that the rule's verdict asks for.
func (r *rule) judge(err error, shape string, wait time.Duration) error {
	switch r.Verdict {
	case "retry":
		return err
	case "halt":
		return crm.Halted(err)
	case "throttle":
		return crm.Throttled(err, wait)
	case "skip":
		return crm.Skipped(err.Error())
	case nothing:
		err = fmt.Errorf("%w: %w", errNothing, err)
	case exists:
		err = fmt.Errorf("%w: %w", errExists, err)
	}
	return crm.Rejected(err, shape)
}
