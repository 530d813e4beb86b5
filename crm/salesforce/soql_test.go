package salesforce_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

var soqlToken = regexp.MustCompile(`'(?:[^'\\]|\\.)*'|[A-Za-z_][A-Za-z0-9_.]*|\d{4}-\d\d-\d\d|[(),=]`)

// soql is a query as far as the fake understands the language: fields of one entity, = and IN, AND, OR and brackets.
type soql struct {
	org    *org
	fields []string
	entity string
	tokens []string
	fault  *refusal
}

func malformed(what string) *refusal { return &refusal{400, "MALFORMED_QUERY", what, nil, nil} }

// query returns the rows that a query is answered with.
func (g *org) query(text string) ([]object, *refusal) {
	q := &soql{org: g, tokens: soqlToken.FindAllString(text, -1)}
	if strings.Join(q.tokens, "") != strings.ReplaceAll(text, " ", "") && !strings.Contains(text, "'") {
		return nil, malformed("unexpected token: " + text)
	}
	if !strings.EqualFold(q.next(), "SELECT") {
		return nil, malformed("unexpected token")
	}
	for {
		q.fields = append(q.fields, q.next())
		if t := q.next(); t == "," {
			continue
		} else if !strings.EqualFold(t, "FROM") {
			return nil, malformed("unexpected token: " + t)
		}
		break
	}
	q.entity = q.next()
	if g.hiddenEntities[q.entity] || g.fields[q.entity] == nil {
		return nil, &refusal{400, "INVALID_TYPE", "sObject type '" + q.entity + "' is not supported.", nil, nil}
	}
	for _, f := range q.fields {
		q.known(f)
	}
	if q.entity == "ContentDocumentLink" && !regexp.MustCompile(`WHERE (LinkedEntityId|ContentDocumentId) (=|IN) `).MatchString(text) {
		return nil, malformed("Implementation restriction: ContentDocumentLink requires a filter by a single Id on ContentDocumentId or LinkedEntityId using the equals operator")
	}
	keep := func(object) bool { return true }
	if len(q.tokens) > 0 {
		if !strings.EqualFold(q.next(), "WHERE") {
			return nil, malformed("unexpected token")
		}
		keep = q.or()
	}
	if q.fault != nil {
		return nil, q.fault
	}
	if len(q.tokens) > 0 {
		return nil, malformed("unexpected token: " + q.tokens[0])
	}
	rows := []object{}
	for _, o := range g.records[q.entity] {
		if !keep(o) {
			continue
		}
		row := object{"attributes": object{"type": q.entity, "url": root + "/sobjects/" + q.entity + "/" + fmt.Sprint(o["Id"])}}
		for _, f := range q.fields {
			if before, after, dotted := strings.Cut(f, "."); dotted {
				row[before] = object{after: g.find("ContentNote", text2(o["ContentDocumentId"]))["Title"]}
				continue
			}
			row[f] = g.shown(q.entity, f, o)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (q *soql) next() string {
	if len(q.tokens) == 0 {
		return ""
	}
	t := q.tokens[0]
	q.tokens = q.tokens[1:]
	return t
}

func (q *soql) peek(word string) bool {
	return len(q.tokens) > 0 && strings.EqualFold(q.tokens[0], word)
}

func (q *soql) known(field string) {
	if q.entity == "ContentDocumentLink" && field == "ContentDocument.Title" || q.org.fields[q.entity][field] != nil {
		return
	}
	if q.fault == nil {
		message := fmt.Sprintf("\n%s\n^\nERROR at Row:1:Column:8\nNo such column '%s' on entity '%s'. If you are attempting to use a custom field, be sure to append the '__c' after the custom field name.", field, field, q.entity)
		q.fault = &refusal{400, "INVALID_FIELD", message, nil, nil}
	}
}

func (q *soql) or() func(object) bool {
	left := q.and()
	for q.peek("OR") {
		q.next()
		a, b := left, q.and()
		left = func(o object) bool { return a(o) || b(o) }
	}
	return left
}

func (q *soql) and() func(object) bool {
	left := q.term()
	for q.peek("AND") {
		q.next()
		a, b := left, q.term()
		left = func(o object) bool { return a(o) && b(o) }
	}
	return left
}

func (q *soql) term() func(object) bool {
	if q.peek("(") {
		q.next()
		inner := q.or()
		if q.next() != ")" {
			q.fault = malformed("expecting a right parentheses")
		}
		return inner
	}
	field := q.next()
	q.known(field)
	if def := q.org.fields[q.entity][field]; def != nil && def["filterable"] == false {
		q.fault = &refusal{400, "INVALID_FIELD", "field '" + field + "' can not be filtered in a query call", nil, nil}
	}
	var values []any
	switch op := q.next(); {
	case op == "=":
		values = append(values, q.value())
	case strings.EqualFold(op, "IN"):
		q.next()
		for {
			values = append(values, q.value())
			if q.next() != "," {
				break
			}
		}
	default:
		q.fault = malformed("unexpected token: " + op)
	}
	texts := map[string]bool{}
	for _, v := range values {
		if s, ok := v.(string); ok {
			texts[strings.ToLower(s)] = true
		}
	}
	return func(o object) bool {
		if s, ok := o[field].(string); ok {
			return texts[strings.ToLower(s)]
		}
		return slices.ContainsFunc(values, func(v any) bool { return o[field] == v || o[field] == nil && v == false })
	}
}

func (q *soql) value() any {
	t := q.next()
	switch {
	case strings.HasPrefix(t, "'"):
		return strings.NewReplacer(`\\`, `\`, `\'`, `'`, `\n`, "\n", `\r`, "\r", `\t`, "\t").Replace(t[1 : len(t)-1])
	case strings.EqualFold(t, "null"):
		return nil
	case t == "true", t == "false":
		return t == "true"
	case len(t) == 10:
		return t
	}
	q.fault = malformed("unexpected token: " + t)
	return nil
}

// shown is a value as Salesforce shows it.
func (g *org) shown(entity, field string, o object) any {
	v := o[field]
	if field == "Name" && v == nil {
		return strings.TrimSpace(text2(o["FirstName"]) + " " + text2(o["LastName"]))
	}
	if g.fields[entity][field]["type"] == "boolean" && v == nil {
		return false
	}
	if at, ok := v.(time.Time); ok {
		return at.UTC().Format("2006-01-02T15:04:05.000-0700")
	}
	return v
}

func text2(v any) string {
	s, _ := v.(string)
	return s
}
