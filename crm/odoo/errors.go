package odoo

import (
	"fmt"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// fault is Odoo's own error. Its traceback is not read: it is full of other people's data.
type fault struct {
	Name    string `json:"name"` // of the exception, with its module
	Message string `json:"message"`
}

// refusals are the exceptions that no repetition mends. Unknown fields and bad dates come as 500.
var refusals = map[string]bool{
	"ValidationError": true, "UserError": true, "RedirectWarning": true, "ValueError": true, "TypeError": true, "KeyError": true,
	"AttributeError": true, "IntegrityError": true, "NotNullViolation": true, "UniqueViolation": true, "CheckViolation": true,
	"ForeignKeyViolation": true, "UnprocessableEntity": true, "BadRequest": true,
}

// fault gives an exception its verdict; nil: it is none that says so, and the status decides.
func (s *server) fault(f fault, shape string) error {
	class := f.Name[strings.LastIndexByte(f.Name, '.')+1:]
	err := fmt.Errorf("odoo refuses %s: %s", shape, s.words(f.Message))
	switch {
	case class == "MissingError":
		err = fmt.Errorf("%w: %w", step.ErrGone, err)
	case class == "AccessDenied", class == "Unauthorized":
		err = crm.Halted(fmt.Errorf("%w: the API key is wrong, revoked or expired (keys of internal users live three months at most)", err))
	case class == accessError:
		err = crm.Halted(err)
	case strings.Contains(f.Message, noSender):
		err = crm.Halted(fmt.Errorf("%w %s", err, mailAdvice))
	case refusals[class]:
		err = crm.Rejected(err, shape)
	default:
		return nil
	}
	return &httpx.Refused{Err: err, Code: class}
}

// accessError is the exception that says that the key's user may not do something.
const accessError = "AccessError"

// Before version 19 nothing can be put into a chatter by a user without a mail address.
const (
	noSender   = "configure the sender's email address"
	mailAdvice = "Give the API key's user one: Settings > Users"
)

// words returns what an exception says, without the groups that may do what was refused.
func (s *server) words(message string) string {
	message, _, _ = strings.Cut(message, "\n\nThis operation is allowed")
	return s.client.Words([]byte(message))
}
