package exec

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os/exec"
	"sync"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// patience is how long a program that is kept running may take to end once its input has ended.
const patience = 5 * time.Second

// programs are the processes of a program that is kept running: as many as there are entries at the same time.
type programs struct {
	cfg  Config
	idle chan *program
}

func newPrograms(cfg Config, workers int) *programs {
	return &programs{cfg: cfg, idle: make(chan *program, max(workers, 1))}
}

// program is one process that takes line after line.
type program struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	said  *tail
	lines chan []byte   // what it answers; closed when its output has ended
	over  bool          // it ended because a line was too long; read once lines is closed
	quit  chan struct{} // closed when nobody listens any longer
	leave sync.Once
	done  chan struct{} // closed when the process has ended
}

// ask gives one line to an idle process, or to a new one, and returns the line that it answers.
func (ps *programs) ask(ctx context.Context, in []byte) result {
	p := ps.take()
	if p == nil {
		var err error
		if p, err = start(ps.cfg); err != nil {
			return result{code: -1, err: started(err)}
		}
	}
	p.said.clear()
	go func() { _, _ = p.stdin.Write(in) }() // if it fails, there is no answer either
	select {
	case <-ctx.Done():
		p.kill()
		return result{code: -1, stderr: p.said.text(), err: ctx.Err()}
	case out, ok := <-p.lines:
		if !ok {
			return p.end(ctx)
		}
		return result{stdout: out, stderr: p.said.text(), code: -1, from: p}
	}
}

// back takes a process back for the next line, unless something is wrong with it.
func (ps *programs) back(p *program, wrong bool) {
	switch {
	case p == nil:
	case wrong:
		p.kill()
	default:
		select {
		case ps.idle <- p:
		default:
			p.stop()
		}
	}
}

// take returns an idle process that lives; nil: there is none.
func (ps *programs) take() *program {
	for {
		select {
		case p := <-ps.idle:
			select {
			case <-p.lines: // it ended, or says more than it was asked
				p.kill()
			default:
				return p
			}
		default:
			return nil
		}
	}
}

// close ends the idle processes. Nobody asks any longer.
func (ps *programs) close() {
	for p := ps.take(); p != nil; p = ps.take() {
		p.stop()
	}
}

func start(cfg Config) (*program, error) {
	// It outlives the entry that it is started for.
	p := &program{cmd: command(context.Background(), cfg), said: &tail{}, lines: make(chan []byte), quit: make(chan struct{}), done: make(chan struct{})}
	p.cmd.Stderr = p.said
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.read(out)
	return p, nil
}

// read passes on line after line until the output ends or nobody listens.
func (p *program) read(out io.ReadCloser) {
	defer close(p.done)
	go func() {
		<-p.quit
		_ = out.Close() // a child of the program's may hold it open
	}()
	r := bufio.NewReader(out)
	for {
		l, err := readLine(r)
		p.over = errors.Is(err, bufio.ErrTooLong)
		if err != nil {
			break
		}
		select {
		case p.lines <- l:
			continue
		case <-p.quit:
		}
		break
	}
	close(p.lines)
	_ = p.cmd.Wait()
}

// readLine returns the next line that is not empty, of at most maxAnswer bytes.
func readLine(r *bufio.Reader) (l []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		l = append(l, part...)
		switch {
		case len(l) > maxAnswer:
			return nil, bufio.ErrTooLong
		case errors.Is(err, bufio.ErrBufferFull):
		case err != nil && len(l) == 0:
			return nil, err
		case len(l) <= 1 && err == nil:
			l = l[:0]
		default:
			return l, nil
		}
	}
}

// end says how a process ended that closed its output.
func (p *program) end(ctx context.Context) result {
	_ = p.stdin.Close()
	wait, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	select {
	case <-p.done:
	case <-wait.Done():
		p.kill()
	}
	p.abandon()
	r := result{stderr: p.said.text(), code: p.cmd.ProcessState.ExitCode()}
	if p.over {
		r.err = errTooMuch
	}
	if r.code == 0 {
		r.code = -1 // kept running, it has to answer
	}
	return r
}

// stop ends a process by ending its input, and kills it if that does not do.
func (p *program) stop() {
	_ = p.stdin.Close()
	t := time.NewTimer(patience)
	defer t.Stop()
	for lines := p.lines; ; {
		select {
		case _, ok := <-lines: // nobody asked
			if !ok {
				lines = nil
			}
			continue
		case <-p.done:
		case <-t.C:
			p.kill()
		}
		break
	}
	p.abandon()
}

// kill kills the process and returns when it has ended.
func (p *program) kill() {
	select {
	case <-p.done: // its number may be another's by now
	default:
		_ = killGroup(p.cmd)
		defer func() { _ = killGroup(p.cmd) }() // what it was about to start then; nobody else can have its number so soon
	}
	p.abandon()
	_ = p.stdin.Close()
	<-p.done
}

func (p *program) abandon() { p.leave.Do(func() { close(p.quit) }) }

var errTooMuch = crm.Halted(errors.New("it answers more than 1 MiB; fix it, then resume"))
