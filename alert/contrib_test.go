//go:build external

package alert

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"

	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

// TestProgramsOfContrib runs the examples for alerts.exec as the service does; they need python3.
func TestProgramsOfContrib(t *testing.T) {
	dir := t.TempDir()
	got := make(chan string, 1)
	slack := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body struct{ Text string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		got <- body.Text
	}))
	defer slack.Close()
	url := filepath.Join(dir, "slack_url")
	if err := os.WriteFile(url, []byte(slack.URL+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sender := filepath.Join(dir, "zabbix_sender")
	if err := os.WriteFile(sender, []byte("#!/bin/sh\nprintf '%s\\n' \"$@\" >"+dir+"/zabbix\n"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	for name, x := range map[string]struct {
		args []string
		said func() string
	}{
		"mail":   {[]string{mailServer(t, got), "vinfer-sync@example.org", "ops@example.org"}, func() string { return <-got }},
		"slack":  {[]string{url}, func() string { return <-got }},
		"zabbix": {[]string{"zabbix.example.org", "gateway", "vinfer.alert"}, func() string { text, _ := os.ReadFile(filepath.Join(dir, "zabbix")); return string(text) }},
	} {
		for state, want := range map[string]string{"raised": `sales is halted: "401" for प्रिया`, "over": "over: sales is halted"} {
			var log strings.Builder
			p := NewProgram(slog.New(slog.NewTextHandler(&log, nil)))
			p.waits = nil
			argv := append([]string{"python3", "../contrib/alerts/" + name + ".py"}, x.args...)
			p.deliver(context.Background(), argv, Notice{State: state, Pipeline: "lending", Alert: engine.Alert{Alert: Halted, Destination: "sales", Message: `sales is halted: "401" for प्रिया`, Remedy: "vinfer-sync resume sales"}})
			if log.Len() > 0 {
				t.Fatalf("%s: %s", name, log.String())
			}
			if said := x.said(); !strings.Contains(said, want) {
				t.Errorf("%s, %s: %s", name, state, said)
			}
		}
	}
}

// mailServer takes mails and tells of each.
func mailServer(t *testing.T, got chan<- string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(c)
			fmt.Fprint(c, "220 test\r\n")
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					break
				}
				switch strings.ToUpper(strings.TrimSpace(line)) {
				case "DATA":
					fmt.Fprint(c, "354 go on\r\n")
					var text strings.Builder
					for line != ".\r\n" && err != io.EOF {
						line, err = r.ReadString('\n')
						text.WriteString(line)
					}
					got <- decoded(text.String())
					fmt.Fprint(c, "250 ok\r\n")
				case "QUIT":
					fmt.Fprint(c, "221 bye\r\n")
				default:
					fmt.Fprint(c, "250 ok\r\n")
				}
			}
			_ = c.Close()
		}
	}()
	return ln.Addr().String()
}

// decoded reads a mail as its reader's program does.
func decoded(text string) string {
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		return err.Error()
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		return err.Error()
	}
	body := m.Body
	switch m.Header.Get("Content-Transfer-Encoding") {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	all, err := io.ReadAll(body)
	return fmt.Sprint(subject, "\n", string(all), err)
}
