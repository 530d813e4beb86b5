package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// errGivenUp ends init by the hand of who was asked: nothing has been written then.
var errGivenUp = &exitError{exitLeft, errors.New("given up; nothing was written")}

// asker asks on a terminal. A context that ends ends the question, too.
type asker struct {
	ctx   context.Context //nolint:containedctx // it lives for one command
	in    *os.File
	lines *bufio.Reader
	out   io.Writer
}

func newAsker(ctx context.Context, in *os.File, out io.Writer) *asker {
	return &asker{ctx: ctx, in: in, lines: bufio.NewReader(in), out: out}
}

func (q *asker) say(format string, args ...any) { fmt.Fprintf(q.out, format+"\n", args...) }

// line asks for a line. Enter alone is the default.
func (q *asker) line(prompt, byDefault string) (string, error) {
	if byDefault != "" {
		prompt += " [" + byDefault + "]"
	}
	fmt.Fprint(q.out, prompt+": ")
	text, err := q.await(func() (string, error) { return q.lines.ReadString('\n') })
	if err != nil {
		return "", err
	}
	return or(strings.TrimSpace(text), byDefault), nil
}

// hidden asks for a line that is not shown, from before it is asked for.
func (q *asker) hidden(prompt string) (string, error) {
	fd := int(q.in.Fd()) //nolint:gosec // a file descriptor is small
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return "", err
	}
	quiet := *before
	quiet.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &quiet); err != nil {
		return "", err
	}
	text, err := q.line(prompt, "")
	fmt.Fprintln(q.out)
	return text, errors.Join(err, unix.IoctlSetTermios(fd, unix.TCSETS, before))
}

// await returns what read reads, unless the context ends before.
func (q *asker) await(read func() (string, error)) (string, error) {
	type answer struct {
		text string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		text, err := read()
		got <- answer{text, err}
	}()
	select {
	case a := <-got:
		if errors.Is(a.err, io.EOF) {
			fmt.Fprintln(q.out)
			return "", errGivenUp
		}
		return a.text, a.err
	case <-q.ctx.Done():
		fmt.Fprintln(q.out)
		return "", errGivenUp
	}
}

// choose asks for one of several, by its number or its word.
func (q *asker) choose(prompt string, words []string, byDefault string) (string, error) {
	for {
		text, err := q.line(prompt, byDefault)
		if err != nil {
			return "", err
		}
		for i, w := range words {
			if text == w || text == fmt.Sprint(i+1) {
				return w, nil
			}
		}
		q.say("  %q is none of them: %s", text, strings.Join(words, ", "))
	}
}
