package sync

import (
	"fmt"
	"sync/atomic"

	"github.com/vinfer-sync/vinfer-sync/store"
)

const (
	maxWaitingPages = 4    // that wait to be stored
	maxSharedRows   = 1000 // of one transaction, once pages wait
)

// pageWriter stores the pages of a slice while the next ones are read. Pages that came while others were stored share a transaction: where VInfer
// is slower than the disk each has its own.
type pageWriter struct {
	e      *Engine
	pages  chan store.Page
	done   chan struct{} // closed when it has ended
	failed chan struct{} // closed when err is set
	err    error
	got    store.Ingested // to be read when it has ended
	stored atomic.Bool    // something was, since this was set to false
}

func newPageWriter(e *Engine) *pageWriter {
	k := &pageWriter{e: e, pages: make(chan store.Page, maxWaitingPages), done: make(chan struct{}), failed: make(chan struct{})}
	go k.run()
	return k
}

// write hands a page over. An error is that of a page before.
func (k *pageWriter) write(p store.Page) error {
	select {
	case k.pages <- p:
		return nil
	case <-k.failed:
		return k.err
	}
}

// end waits until all is stored.
func (k *pageWriter) end() error {
	close(k.pages)
	<-k.done
	return k.err
}

func (k *pageWriter) run() {
	defer close(k.done)
	for p := range k.pages {
		if k.err = k.store(k.withNext(p)); k.err != nil {
			close(k.failed)
			return
		}
	}
}

// withNext adds to a page those that wait behind it. A page with calls in progress is the last: one of them may have ended on the next.
func (k *pageWriter) withNext(p store.Page) store.Page {
	for len(p.Rows) < maxSharedRows && len(p.Unfinished) == 0 && !p.Release {
		select {
		case next, ok := <-k.pages:
			if !ok {
				return p
			}
			next.Rows = append(p.Rows, next.Rows...)
			next.Broken = append(p.Broken, next.Broken...)
			p = next
		default:
			return p
		}
	}
	return p
}

func (k *pageWriter) store(p store.Page) (err error) {
	defer func() {
		if r := recover(); r != nil { // the run fails by it, and not the service
			err = fmt.Errorf("storing a page: %v", r)
		}
	}()
	got, err := k.e.ingest(p)
	k.got.Add(got)
	k.stored.Store(err == nil)
	return err
}
