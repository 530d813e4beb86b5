package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

const (
	maxRequest = 8 << 20
	group      = "vinfer-sync" // who may use the socket besides its owner
)

// line is one JSON line of an answer: any number with Progress, then one with the result or the error.
type line struct {
	Progress *engine.BackfillProgress `json:"progress,omitempty"`
	Result   json.RawMessage          `json:"result,omitempty"`
	Error    string                   `json:"error,omitempty"`
	Kind     string                   `json:"kind,omitempty"` // of the error: unknown, cancelled, refused, damaged
}

// summary carries also what the printed summary leaves out: the exit code depends on it.
type summary struct {
	engine.Summary
	NewDead int `json:"new_dead"`
}

// Server answers commands on the daemon's socket.
type Server struct {
	http      *http.Server
	ln        net.Listener
	path      string
	storePath string

	mu      sync.RWMutex // held for reading while one of the changes is made
	current http.Handler
}

// Serve listens on the Unix socket at path, replacing one that nobody listens on, and answers for b until Close. storePath
// tells commands whose daemon this is. The socket is 0660 and belongs to the group vinfer-sync where there is one.
func Serve(path, storePath string, b Backend, log *slog.Logger) (*Server, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // others must reach the socket; its own mode guards it
		return nil, fmt.Errorf("admin.socket: %w", err)
	}
	if c, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "unix", path); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("admin.socket %s: another daemon answers there", path)
	}
	if fi, err := os.Lstat(path); err == nil && fi.Mode()&os.ModeSocket != 0 {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("admin.socket: %w", err)
		}
	}
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("admin.socket: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil { //nolint:gosec // the group of operators may use it
		_ = ln.Close()
		return nil, fmt.Errorf("admin.socket: %w", err)
	}
	if g, err := user.LookupGroup(group); err == nil {
		// Under the unit it is that group's from the beginning, and changing owners is not allowed there, not even to what they are.
		if gid, err := strconv.Atoi(g.Gid); err == nil && gid != groupOf(path) {
			_ = os.Chown(path, -1, gid) // not ours to give: the owner alone uses it
		}
	}
	s := &Server{ln: ln, path: path, storePath: storePath, current: handler(b, storePath)}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	go func() { _ = s.http.Serve(ln) }()
	return s, nil
}

// groupOf returns the number of the group that a file belongs to, -1 if it cannot be found out.
func groupOf(path string) int {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return -1
	}
	return int(st.Gid)
}

// Close ends the server; commands in the middle of something are cut off.
func (s *Server) Close() error { return s.http.Close() }

// changes are the operations that end at once and that the engine must hear of: none may be lost between two engines.
var changes = map[string]bool{"/resume": true, "/pause": true, "/retry-dead": true, "/drop-dead": true, "/forget": true, "/set-cursor": true}

// Swap lets another Backend answer from now on. It returns when the one before is making none of the changes any more.
func (s *Server) Swap(b Backend) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = handler(b, s.storePath)
}

// ServeHTTP answers one operation.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.RLock()
	h := s.current
	if changes[r.URL.Path] {
		defer s.mu.RUnlock()
	} else {
		s.mu.RUnlock()
	}
	h.ServeHTTP(w, r)
}

func handler(b Backend, storePath string) http.Handler {
	mux := http.NewServeMux()
	answer(mux, "whose", func(context.Context, struct{}) (string, error) { return storePath, nil })
	answer(mux, "status", func(ctx context.Context, _ struct{}) (engine.Status, error) { return b.Status(ctx) })
	answer(mux, "once", func(ctx context.Context, _ struct{}) (summary, error) {
		s, err := b.Once(ctx)
		return summary{s, s.NewDead}, err
	})
	answer(mux, "pause", func(ctx context.Context, r PauseRequest) (struct{}, error) { return struct{}{}, b.Pause(ctx, r) })
	answer(mux, "estimate", func(ctx context.Context, r engine.BackfillRequest) (engine.Estimate, error) {
		return b.Estimate(ctx, r)
	})
	answer(mux, "backfills", func(ctx context.Context, _ struct{}) ([]engine.BackfillStatus, error) { return b.Backfills(ctx) })
	answer(mux, "cancel-backfill", func(ctx context.Context, id uint64) (engine.Cancelled, error) { return b.CancelBackfill(ctx, id) })
	answer(mux, "audit", func(ctx context.Context, days int) (engine.AuditReport, error) { return b.Audit(ctx, days) })
	answer(mux, "resume", func(ctx context.Context, dest string) (struct{}, error) { return struct{}{}, b.Resume(ctx, dest) })
	answer(mux, "cursor", func(ctx context.Context, _ struct{}) (time.Time, error) { return b.Cursor(ctx) })
	answer(mux, "set-cursor", func(ctx context.Context, t time.Time) (struct{}, error) { return struct{}{}, b.SetCursor(ctx, t) })
	answer(mux, "calls", func(ctx context.Context, q store.CallQuery) ([]CallLine, error) { return b.Calls(ctx, q) })
	answer(mux, "life", func(ctx context.Context, id string) (store.Life, error) { return b.Life(ctx, id) })
	answer(mux, "dead", func(ctx context.Context, q DeadQuery) ([]store.DeadLetter, error) { return b.Dead(ctx, q) })
	answer(mux, "retry-dead", func(ctx context.Context, nums []uint64) (int, error) { return b.RetryDead(ctx, nums) })
	answer(mux, "reload", func(ctx context.Context, _ struct{}) (string, error) { return b.Reload(ctx) })
	answer(mux, "drop-dead", func(ctx context.Context, nums []uint64) (int, error) { return b.DropDead(ctx, nums) })
	answer(mux, "plan", func(ctx context.Context, r engine.PlanRequest) (engine.Plan, error) { return b.Plan(ctx, r) })
	answer(mux, "forget", func(ctx context.Context, r engine.ForgetRequest) (engine.Forgotten, error) { return b.Forget(ctx, r) })
	answer(mux, "survey", func(ctx context.Context, _ struct{}) (store.Survey, error) { return b.Survey(ctx) })
	mux.HandleFunc("POST /backup", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		if err := b.Backup(r.Context(), &patient{w, http.NewResponseController(w)}); err != nil {
			panic(http.ErrAbortHandler) // half a copy must not look like a whole one
		}
	})
	mux.HandleFunc("POST /backfill", func(w http.ResponseWriter, r *http.Request) {
		var req engine.BackfillRequest
		if !read(w, r, &req) {
			return
		}
		enc := json.NewEncoder(w)
		flush := http.NewResponseController(w)
		p, err := b.Backfill(r.Context(), req, func(p engine.BackfillProgress) {
			_ = enc.Encode(line{Progress: &p})
			_ = flush.Flush()
		})
		reply(enc, p, err)
	})
	return mux
}

// patience is how long a reader of a backup may leave it at that: meanwhile the store cannot reuse what is freed.
const patience = 30 * time.Second

// patient is a writer whose reader must go on reading.
type patient struct {
	w    io.Writer
	conn *http.ResponseController
}

func (p *patient) Write(b []byte) (int, error) {
	if err := p.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	return p.w.Write(b)
}

// answer registers one operation: a JSON argument in, one line out.
func answer[In, Out any](mux *http.ServeMux, name string, f func(context.Context, In) (Out, error)) {
	mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) {
		var in In
		if !read(w, r, &in) {
			return
		}
		out, err := f(r.Context(), in)
		reply(json.NewEncoder(w), out, err)
	})
}

func read(w http.ResponseWriter, r *http.Request, v any) bool {
	if err := json.NewDecoder(io.LimitReader(r.Body, maxRequest)).Decode(v); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

// reply writes the last line. A result comes with its error where both are worth having.
func reply(enc *json.Encoder, out any, err error) {
	var l line
	l.Result, _ = json.Marshal(out)
	if err != nil {
		l.Error = err.Error()
		switch {
		case errors.Is(err, store.ErrUnknown):
			l.Kind = "unknown"
		case errors.Is(err, store.ErrCancelled):
			l.Kind = "cancelled"
		case engine.Refused(err):
			l.Kind = "refused"
		case errors.Is(err, store.ErrDamaged):
			l.Kind = "damaged"
		}
	}
	_ = enc.Encode(l)
}
