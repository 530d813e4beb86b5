//go:build browser

package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

// browser is a headless Chromium that is spoken to over two pipes, in the DevTools protocol.
type browser struct {
	t       *testing.T
	cmd     *exec.Cmd
	to      *os.File
	session string

	mu     sync.Mutex
	n      int
	waits  map[int]chan json.RawMessage
	faults []string // what the console complained of
	ended  chan struct{}
}

// chromium starts one; the tests of this file need it installed.
func chromium(t *testing.T) *browser {
	t.Helper()
	fromUs, toBrowser, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromBrowser, toUs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	b := &browser{t: t, to: toBrowser, waits: map[int]chan json.RawMessage{}, ended: make(chan struct{})}
	b.cmd = exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--hide-scrollbars", "--user-data-dir="+dir, "--remote-debugging-pipe", "about:blank")
	b.cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_CACHE_HOME="+dir)
	b.cmd.ExtraFiles = []*os.File{fromUs, toUs} // 3: it reads, 4: it writes
	if err := b.cmd.Start(); err != nil {
		t.Fatalf("%v (Debian's package is chromium)", err)
	}
	_, _ = fromUs.Close(), toUs.Close()
	go b.listen(fromBrowser)
	t.Cleanup(func() {
		b.send("Browser.close", nil)
		_ = b.to.Close()
		late := time.AfterFunc(10*time.Second, func() { _ = b.cmd.Process.Kill() })
		<-b.ended
		_ = b.cmd.Wait()
		late.Stop()
	})
	var target struct{ TargetID, SessionID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &target)
	b.session = target.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

// listen reads messages, each ended by a zero byte.
func (b *browser) listen(from *os.File) {
	defer close(b.ended)
	defer func() { _ = from.Close() }()
	for r := bufio.NewReader(from); ; {
		raw, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m struct {
			ID     int
			Method string
			Result json.RawMessage
			Params json.RawMessage
			Error  json.RawMessage
		}
		if json.Unmarshal(raw[:len(raw)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		if wait := b.waits[m.ID]; wait != nil {
			delete(b.waits, m.ID)
			if m.Error != nil {
				m.Result = m.Error
			}
			wait <- m.Result
		}
		// Log: what the browser itself reports, violations of the security policy among it.
		if m.Method == "Runtime.exceptionThrown" || m.Method == "Log.entryAdded" || m.Method == "Runtime.consoleAPICalled" {
			b.faults = append(b.faults, m.Method+" "+string(m.Params))
		}
		b.mu.Unlock()
	}
}

func (b *browser) send(method string, params any) chan json.RawMessage {
	b.mu.Lock()
	b.n++
	wait := make(chan json.RawMessage, 1)
	b.waits[b.n] = wait
	m := map[string]any{"id": b.n, "method": method}
	if params != nil {
		m["params"] = params
	}
	if b.session != "" && !strings.HasPrefix(method, "Browser.") {
		m["sessionId"] = b.session
	}
	b.mu.Unlock()
	raw, err := json.Marshal(m)
	if err != nil {
		b.t.Fatal(err)
	}
	_, _ = b.to.Write(append(raw, 0))
	return wait
}

func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	select {
	case raw := <-b.send(method, params):
		if result != nil {
			if err := json.Unmarshal(raw, result); err != nil {
				b.t.Fatalf("%s: %v in %s", method, err, raw)
			}
		}
	case <-b.ended:
		b.t.Fatalf("%s: the browser ended", method)
	case <-time.After(time.Minute):
		b.t.Fatalf("%s: no answer", method)
	}
}

// ask evaluates an expression in the page.
func (b *browser) ask(expression string) string {
	b.t.Helper()
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &r)
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, r.ExceptionDetails)
	}
	return fmt.Sprint(r.Result.Value)
}

// await asks until the answer is as wanted.
func (b *browser) await(expression, want string) {
	b.t.Helper()
	var got string
	for range 400 {
		if got = b.ask(expression); got == want {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.t.Fatalf("%s: %q, want %q", expression, got, want)
}

// open shows a page of a size.
func (b *browser) open(url string, width, height int, scheme string) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	b.call("Page.navigate", map[string]any{"url": url}, nil)
	b.await("document.readyState === 'complete' && location.href !== 'about:blank' && !!document.getElementById('main')", "true")
}

// calm fails the test if the console has anything to say.
func (b *browser) calm() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.faults {
		b.t.Errorf("console: %s", f)
	}
	b.faults = nil
}

// shoot keeps a picture of the whole page in the directory that SCREENSHOTS names, and returns it.
func (b *browser) shoot(name string) []byte {
	b.t.Helper()
	var r struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true}, &r)
	png, err := base64.StdEncoding.DecodeString(r.Data)
	if err != nil || len(png) < 5000 {
		b.t.Fatalf("no picture: %d bytes, %v", len(png), err)
	}
	if dir := os.Getenv("SCREENSHOTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	return png
}

func TestBrowserShowsEveryState(t *testing.T) {
	b := chromium(t)
	for _, state := range []struct {
		name, verdict string
		page          Source
	}{
		{"healthy", "All is well", source(healthyFacts, false)},
		{"halted", "sales is halted since", source(haltedFacts, false)},
		{"empty", "Starting", source(emptyFacts, true)},
	} {
		url := site(t, state.page) + "/"
		var light []byte
		for _, view := range []struct {
			name, scheme  string
			width, height int
		}{{"desktop", "light", 1280, 1400}, {"dark", "dark", 1280, 1400}, {"phone", "light", 360, 740}} {
			b.open(url, view.width, view.height, view.scheme)
			if got := b.ask("document.querySelector('h1').textContent"); !strings.HasPrefix(got, state.verdict) {
				t.Errorf("%s: %q", state.name, got)
			}
			// A page that is wider than the screen cannot be read on it.
			if got := b.ask("String(document.documentElement.scrollWidth <= innerWidth)"); got != "true" {
				t.Errorf("%s, %s: the page is %s wide: %s", state.name, view.name, b.ask("document.documentElement.scrollWidth"),
					b.ask("[...document.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > innerWidth).map(e => e.tagName + '.' + e.className).join(' ')"))
			}
			if got := b.ask("getComputedStyle(document.body).fontSize"); got != "15px" {
				t.Errorf("%s, %s: the style is not applied: %s", state.name, view.name, got)
			}
			png := b.shoot(state.name + "-" + view.name)
			switch view.name {
			case "desktop":
				light = png
			case "dark":
				if bytes.Equal(light, png) {
					t.Errorf("%s: dark looks like light", state.name)
				}
			}
			b.calm()
		}
	}
}

// TestBrowserPicture makes the picture of the README, docs/dashboard.png, where SCREENSHOTS says.
func TestBrowserPicture(t *testing.T) {
	facts := func() Facts {
		f := healthyFacts()
		f.Stats.Dests[0].Kind, f.Status.Destinations[0].Kind = "hubspot", "hubspot"
		f.Status.Transcripts = 0
		return f
	}
	s := source(facts, true)
	now := time.Now().UTC()
	var fresh []engine.NewCall
	var calls []CallLine
	outcomes := []string{"interested", "not_reachable", "callback_requested", "not_interested", "not_reachable", "interested", "payment_promised"}
	for i := range 420 {
		c := engine.NewCall{
			ID: fmt.Sprintf("call_%05d", 48213-i), Disposition: outcomes[(i+i/5)%len(outcomes)], Phone: fmt.Sprintf("+xxxxxxxxxx%02d", i*37%100),
			Ended: now.Add(-time.Duration(i*(1+i%4)) * time.Minute), Talked: time.Duration(20+i*53%160) * time.Second,
		}
		fresh = append(fresh, c)
		if i < 4 {
			calls = append(calls, CallLine{Known: c, CallSummary: store.CallSummary{ID: c.ID, When: c.Ended, Dests: []store.DestLife{
				{Dest: "sales", State: "delivered", At: now}, {Dest: "archive", State: "delivered", At: now},
			}}})
		}
	}
	slices.Reverse(fresh)
	s.Tally.Stored(len(fresh), 0, fresh)
	s.Calls = func(context.Context, store.CallQuery) ([]CallLine, error) { return calls, nil }
	b := chromium(t)
	b.open(site(t, s)+"/", 1000, 600, "light")
	b.shoot("dashboard")
	b.calm()
}

func TestBrowserUpdatesByItself(t *testing.T) {
	var halted atomic.Bool
	var fails atomic.Bool
	s := source(func() Facts {
		if halted.Load() {
			return haltedFacts()
		}
		return healthyFacts()
	}, false)
	inner := s.Facts
	s.Facts = func() (Facts, error) {
		if fails.Load() {
			return Facts{}, os.ErrClosed
		}
		return inner()
	}
	b := chromium(t)
	b.open(site(t, s)+"/", 1280, 900, "light")
	b.await("document.title", "All is well · lending · vinfer-sync")
	b.ask("window.same = true")
	halted.Store(true)
	b.await("String(document.querySelector('h1').textContent.startsWith('sales is halted since'))", "true")
	b.await("String(document.title.startsWith('sales is halted since'))", "true")
	b.await("document.getElementById('icon').getAttribute('href')", "/bad.svg")
	if b.ask("window.same") != "true" {
		t.Error("the page was loaded anew")
	}
	b.calm()
	fails.Store(true)
	b.await("document.getElementById('offline').hidden", "false")
	fails.Store(false)
	halted.Store(false)
	b.await("document.getElementById('offline').hidden", "true")
	b.await("document.querySelector('h1').textContent", "All is well")
}

func TestBrowserWithoutScripts(t *testing.T) {
	b := chromium(t)
	b.call("Emulation.setScriptExecutionDisabled", map[string]any{"value": true}, nil)
	b.open(site(t, source(haltedFacts, false))+"/", 1280, 900, "light")
	for _, want := range []string{"sales is halted since", "vinfer-sync resume sales"} {
		if got := b.ask("document.getElementById('main').innerText.includes('" + want + "')"); got != "true" {
			t.Errorf("without scripts the page does not show %q", want)
		}
	}
	if got := b.ask("!!document.querySelector('meta[http-equiv=refresh]')"); got != "true" {
		t.Error("without scripts the page does not refresh")
	}
	b.calm()
}
