package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// ErrNoDaemon says that nobody answers on the socket.
var ErrNoDaemon = errors.New("no daemon answers on the socket")

// Client is the Backend of a running daemon.
type Client struct {
	http *http.Client
}

var _ Backend = (*Client)(nil)

// Dial returns a client of the daemon that listens on the socket and holds the store at storePath; ErrNoDaemon if there is
// none, also if the daemon there is another configuration's. A socket that this user may not open is an error that says so.
func Dial(path, storePath string) (*Client, error) {
	dial := func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "unix", path)
	}
	c, err := dial(context.Background())
	if errors.Is(err, syscall.EACCES) {
		return nil, fmt.Errorf("the daemon's socket %s is not for this user: run the command as root or as a member of the group %s", path, group)
	}
	if err != nil {
		return nil, fmt.Errorf("%w %s", ErrNoDaemon, path)
	}
	_ = c.Close()
	client := &Client{http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
	}}}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var whose string
	if err := client.call(ctx, "whose", struct{}{}, &whose, nil); err != nil {
		return nil, fmt.Errorf("the daemon at %s: %w", path, err)
	}
	if whose != storePath {
		client.Close()
		return nil, fmt.Errorf("%w %s for this configuration (the one there holds %s)", ErrNoDaemon, path, whose)
	}
	return client, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// call asks for one operation and decodes its result into out.
func (c *Client) call(ctx context.Context, op string, in, out any, progress func(engine.BackfillProgress)) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://daemon/"+op, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("the daemon went away: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("the daemon does not know %q (another version?): %s %s", op, resp.Status, bytes.TrimSpace(text))
	}
	lines := bufio.NewReader(resp.Body)
	for {
		raw, err := lines.ReadBytes('\n')
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return errors.New("the service stopped before the command was done; the service goes on with it at its next start")
		}
		var l line
		if err := json.Unmarshal(raw, &l); err != nil {
			return fmt.Errorf("the daemon's answer: %w", err)
		}
		if l.Progress != nil {
			if progress != nil {
				progress(*l.Progress)
			}
			continue
		}
		if l.Result != nil && out != nil {
			if err := json.Unmarshal(l.Result, out); err != nil {
				return fmt.Errorf("the daemon's answer: %w", err)
			}
		}
		return l.err()
	}
}

// remoteError is an error of the daemon; it stands for the one that the daemon had.
type remoteError struct {
	text string
	is   error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.is }

func (l line) err() error {
	if l.Error == "" {
		return nil
	}
	e := &remoteError{text: l.Error}
	switch l.Kind {
	case "unknown":
		e.is = store.ErrUnknown
	case "cancelled":
		e.is = store.ErrCancelled
	case "refused":
		e.is = vinfer.ErrRefused
	case "damaged":
		e.is = store.ErrDamaged
	}
	return e
}

// Status implements Backend.
func (c *Client) Status(ctx context.Context) (s engine.Status, err error) {
	err = c.call(ctx, "status", struct{}{}, &s, nil)
	return s, err
}

// Once implements Backend.
func (c *Client) Once(ctx context.Context) (engine.Summary, error) {
	var s summary
	err := c.call(ctx, "once", struct{}{}, &s, nil)
	s.Summary.NewDead = s.NewDead
	return s.Summary, err
}

// Backfill implements Backend.
func (c *Client) Backfill(ctx context.Context, r engine.BackfillRequest, progress func(engine.BackfillProgress)) (p engine.BackfillProgress, err error) {
	err = c.call(ctx, "backfill", r, &p, progress)
	return p, err
}

// Pause implements Backend.
func (c *Client) Pause(ctx context.Context, r PauseRequest) error {
	return c.call(ctx, "pause", r, nil, nil)
}

// Estimate implements Backend.
func (c *Client) Estimate(ctx context.Context, r engine.BackfillRequest) (e engine.Estimate, err error) {
	err = c.call(ctx, "estimate", r, &e, nil)
	return e, err
}

// Backfills implements Backend.
func (c *Client) Backfills(ctx context.Context) (b []engine.BackfillStatus, err error) {
	err = c.call(ctx, "backfills", struct{}{}, &b, nil)
	return b, err
}

// CancelBackfill implements Backend.
func (c *Client) CancelBackfill(ctx context.Context, id uint64) (x engine.Cancelled, err error) {
	err = c.call(ctx, "cancel-backfill", id, &x, nil)
	return x, err
}

// Audit implements Backend.
func (c *Client) Audit(ctx context.Context, days int) (r engine.AuditReport, err error) {
	err = c.call(ctx, "audit", days, &r, nil)
	return r, err
}

// Resume implements Backend.
func (c *Client) Resume(ctx context.Context, dest string) error {
	return c.call(ctx, "resume", dest, nil, nil)
}

// Cursor implements Backend.
func (c *Client) Cursor(ctx context.Context) (t time.Time, err error) {
	err = c.call(ctx, "cursor", struct{}{}, &t, nil)
	return t, err
}

// SetCursor implements Backend.
func (c *Client) SetCursor(ctx context.Context, t time.Time) error {
	return c.call(ctx, "set-cursor", t, nil, nil)
}

// Calls implements Backend.
func (c *Client) Calls(ctx context.Context, q store.CallQuery) (s []CallLine, err error) {
	err = c.call(ctx, "calls", q, &s, nil)
	return s, err
}

// Life implements Backend.
func (c *Client) Life(ctx context.Context, id string) (l store.Life, err error) {
	err = c.call(ctx, "life", id, &l, nil)
	return l, err
}

// Dead implements Backend.
func (c *Client) Dead(ctx context.Context, q DeadQuery) (d []store.DeadLetter, err error) {
	err = c.call(ctx, "dead", q, &d, nil)
	return d, err
}

// RetryDead implements Backend.
func (c *Client) RetryDead(ctx context.Context, nums []uint64) (n int, err error) {
	err = c.call(ctx, "retry-dead", nums, &n, nil)
	return n, err
}

// DropDead implements Backend.
func (c *Client) DropDead(ctx context.Context, nums []uint64) (n int, err error) {
	err = c.call(ctx, "drop-dead", nums, &n, nil)
	return n, err
}

// Reload implements Backend.
func (c *Client) Reload(ctx context.Context) (faults string, err error) {
	err = c.call(ctx, "reload", struct{}{}, &faults, nil)
	return faults, err
}

// Plan implements Backend.
func (c *Client) Plan(ctx context.Context, r engine.PlanRequest) (p engine.Plan, err error) {
	err = c.call(ctx, "plan", r, &p, nil)
	return p, err
}

// Forget implements Backend.
func (c *Client) Forget(ctx context.Context, r engine.ForgetRequest) (f engine.Forgotten, err error) {
	err = c.call(ctx, "forget", r, &f, nil)
	return f, err
}

// Survey implements Backend.
func (c *Client) Survey(ctx context.Context) (s store.Survey, err error) {
	err = c.call(ctx, "survey", struct{}{}, &s, nil)
	return s, err
}

// Backup implements Backend. The daemon breaks the connection off if it cannot send all of it.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://daemon/backup", nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("the daemon went away: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the daemon makes no backups (another version?): %s", resp.Status)
	}
	if _, err = io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("the daemon's copy broke off: %w", err)
	}
	return nil
}
