//go:build systemd

package packaging_test

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite" // reads what the service has written

	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

const (
	unit   = "vinfer-sync.service"
	config = "/etc/vinfer-sync/config.yaml"
	apiKey = "vk-of-the-booted-test" // the only key that the API lets in
	api    = "http://127.0.0.1:8420/v1"
	hookAt = "127.0.0.1:8421"
)

// The configuration: a poll every two seconds of an API on the machine's loopback, into a file and a database.
const basis = `
vinfer: {base_url: "` + api + `", api_key_file: vinfer_api_key, timeout: 10s}
schedule: "@every 2s"
start: -1h
lookback: 1m
max_call: 10m
crm:
  - name: archive
    jsonl: {path: /var/lib/vinfer-sync/calls.jsonl}
  - name: crm
    sqlite: {path: /var/lib/vinfer-sync/crm.db}
`

// withHook is the same with a third destination.
const withHook = basis + `
  - name: hook
    webhook: {url: "http://` + hookAt + `/"}
`

// simulatorUnit serves the API on the machine.
const simulatorUnit = `[Service]
DynamicUser=yes
ExecStart=/usr/bin/vinfer-sync simulate --calls 300 --span 6h --rate 120 --limit 100000 --transcript-delay 5s --key ` + apiKey + `
[Install]
WantedBy=multi-user.target
`

// world is the machine with a service on it, and those that the service talks to.
type world struct {
	*machine
	older, newer string // packages, as the machine knows them
	hook         *hook
	outer        *testing.T // of all steps
}

// configure writes the configuration.
func (w *world) configure(text string) { w.write(config, text, 0o644) }

// dropIn writes a drop-in of a unit and has systemd read it.
func (w *world) dropIn(unit, name, text string) {
	w.t.Helper()
	w.write("/etc/systemd/system/"+unit+".d/"+name+".conf", "[Service]\n"+text+"\n", 0o644)
	w.run("systemctl", "daemon-reload")
}

// dropOut takes it away again.
func (w *world) dropOut(unit, name string) {
	w.t.Helper()
	w.run("rm", "/etc/systemd/system/"+unit+".d/"+name+".conf")
	w.run("systemctl", "daemon-reload")
}

// status asks the daemon how it is.
func (w *world) status() engine.Status {
	w.t.Helper()
	return w.statusOf(config)
}

// statusOf asks the daemon of a configuration.
func (w *world) statusOf(config string) engine.Status {
	w.t.Helper()
	var s engine.Status
	if err := json.Unmarshal([]byte(w.run("vinfer-sync", "status", "--json", "-c", config)), &s); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// delivers waits until the service has delivered something that it had not before.
func (w *world) delivers() {
	w.t.Helper()
	before := len(w.archived())
	w.until("another call is delivered", func() bool { return len(w.archived()) > before })
}

// ask calls the API as the service does, from the machine.
func (w *world) ask(path string, into any) {
	w.t.Helper()
	c := &http.Client{Transport: &http.Transport{DialContext: w.dial, DisableKeepAlives: true}, Timeout: 30 * time.Second}
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, api+path, http.NoBody)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+apiKey)
	a, err := c.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	if a.StatusCode != http.StatusOK {
		w.t.Fatalf("%s: %s", path, a.Status)
	}
	if err := json.NewDecoder(a.Body).Decode(into); err != nil {
		w.t.Fatal(err)
	}
}

// ended returns the calls that the API shows as ended.
func (w *world) ended() map[string]bool {
	w.t.Helper()
	all := map[string]bool{}
	for offset := 0; ; {
		var page struct {
			Data []struct {
				ID      string  `json:"id"`
				EndedAt *string `json:"ended_at"`
			} `json:"data"`
		}
		w.ask(fmt.Sprintf("/calls?limit=100&offset=%d", offset), &page)
		for _, c := range page.Data {
			if c.EndedAt != nil {
				all[c.ID] = true
			}
		}
		if len(page.Data) == 0 {
			return all
		}
		offset += len(page.Data)
	}
}

// event is a delivery as jsonl and the webhook tell of it.
type event struct {
	Event  string `json:"event"`
	Key    string `json:"key"`
	CallID string `json:"call_id"`
}

// archived returns what the archive holds.
func (w *world) archived() []event {
	w.t.Helper()
	f, err := os.Open(w.at("/var/lib/vinfer-sync/calls.jsonl"))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var all []event
	for lines := bufio.NewReader(f); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil { // what follows the last line is being written
			return all
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			w.t.Fatalf("%v: %s", err, line)
		}
		all = append(all, e)
	}
}

// once wants each key to be there once, and one completion of each call; it returns the calls.
func once(t *testing.T, where string, all []event) map[string]bool {
	t.Helper()
	keys, calls := map[string]int{}, map[string]bool{}
	for _, e := range all {
		if keys[e.Key]++; keys[e.Key] > 1 {
			t.Errorf("%s has %s of %s %d times", where, e.Event, e.CallID, keys[e.Key])
		}
		if e.Event != "call.completed" {
			continue
		}
		if calls[e.CallID] {
			t.Errorf("%s has %s completed twice", where, e.CallID)
		}
		calls[e.CallID] = true
	}
	return calls
}

// inDatabase returns the calls of a database of the machine.
func (w *world) inDatabase(path string) map[string]bool {
	w.t.Helper()
	db, err := sql.Open("sqlite", "file:"+w.at(path)+"?mode=ro&_pragma=busy_timeout(60000)")
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(w.t.Context(), "SELECT id FROM calls")
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	all := map[string]bool{}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			w.t.Fatal(err)
		}
		all[id] = true
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return all
}

// missing returns what of want is not in have.
func missing(want, have map[string]bool) []string {
	var list []string
	for id := range want {
		if !have[id] {
			list = append(list, id)
		}
	}
	return list
}

// hook is a webhook's handler on the machine's loopback that can keep deliveries waiting.
type hook struct {
	mu    sync.Mutex
	got   []event
	held  int           // deliveries that wait
	gate  chan struct{} // they wait until it is closed; nil: none waits
	fault error
}

// serve answers on the machine until the test ends.
func (h *hook) serve(t *testing.T, m *machine) {
	t.Helper()
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	l := m.listen(hookAt)
	go func() { _ = s.Serve(l) }() // it ends by Close
	t.Cleanup(func() {
		h.release()
		_ = s.Close()
	})
}

func (h *hook) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	e := event{Key: r.Header.Get("Idempotency-Key")}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &e)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.fault = fmt.Errorf("%w: %s", err, body)
		return
	}
	h.got = append(h.got, e)
	if gate := h.gate; gate != nil {
		h.held++
		h.mu.Unlock()
		<-gate
		h.mu.Lock()
		h.held--
	}
}

// hold lets the deliveries that come from now on wait.
func (h *hook) hold() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gate = make(chan struct{})
}

// release lets them go on.
func (h *hook) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gate != nil {
		close(h.gate)
		h.gate = nil
	}
}

// waiting returns how many deliveries wait.
func (h *hook) waiting() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held
}

// events returns what has come.
func (h *hook) events(t *testing.T) []event {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fault != nil {
		t.Error(h.fault)
	}
	return append([]event(nil), h.got...)
}

// byName splits lines into words, by the second one.
func byName(text string) map[string][]string {
	all := map[string][]string{}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 {
			all[f[1]] = append([]string{f[0]}, f[2:]...)
		}
	}
	return all
}
