package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/config"
	"github.com/vinfer-sync/vinfer-sync/crm/hubspot"
	"github.com/vinfer-sync/vinfer-sync/crm/leadsquared"
	"github.com/vinfer-sync/vinfer-sync/crm/zoho"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// authority is a company's own: it signs what a test needs.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert, a.key = a.sign("Own Authority", true)
	a.pem = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
	return a
}

func (a *authority) sign(name string, ca bool) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: ca, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else if !ca {
		template.DNSNames = []string{name}
	}
	parent, signer := a.cert, a.key
	if ca {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// pair returns a certificate and its key for a name.
func (a *authority) pair(name string) tls.Certificate {
	cert, key := a.sign(name, false)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// gate is a company's proxy: it may ask for a password, opens TLS with certificates of its own authority, and stands in for every host.
type gate struct {
	*authority
	password string
	site     http.Handler // behind it; sees which host was asked for

	mu    sync.Mutex
	asked []string // hosts and ports, each once
}

// url serves the gate, and returns the proxy's URL.
func (g *gate) url(user string) string {
	s := httptest.NewServer(g)
	g.t.Cleanup(s.Close)
	return "http://" + user + strings.TrimPrefix(s.URL, "http://")
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, password, _ := (&http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}).BasicAuth()
	if password != g.password {
		w.Header().Set("Proxy-Authenticate", `Basic realm="gate"`)
		http.Error(w, "who are you?", http.StatusProxyAuthRequired)
		return
	}
	g.mu.Lock()
	if !slices.Contains(g.asked, r.Host) {
		g.asked = append(g.asked, r.Host)
	}
	g.mu.Unlock()
	if r.Method != http.MethodConnect {
		g.site.ServeHTTP(w, r)
		return
	}
	host, _, _ := strings.Cut(r.Host, ":")
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		g.t.Error(err)
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 200 fine\r\n\r\n")
	inner := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{g.pair(host)}, MinVersion: tls.VersionTLS12})
	for in := bufio.NewReader(inner); ; {
		req, err := http.ReadRequest(in)
		if err != nil {
			return // it has gone, or does not trust us
		}
		rec := httptest.NewRecorder()
		g.site.ServeHTTP(rec, req)
		_, _ = io.Copy(io.Discard, req.Body)
		res := rec.Result()
		res.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
		res.ContentLength = int64(rec.Body.Len())
		if err := res.Write(inner); err != nil {
			return
		}
	}
}

// hosts are those that the gate was asked for, sorted.
func (g *gate) hosts() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Sorted(slices.Values(g.asked))
}

// behind is a world whose VInfer and handler are reached by their real names, through the gate only.
func behind(t *testing.T, password string) (*world, *gate) {
	t.Helper()
	w := newWorld(t, simulator.Options{Key: "any", LimitPerMinute: -1})
	w.sim.Add(simulator.Call{ID: "call_a", Phone: "+919876543210", Disposition: "interested", Duration: time.Minute, End: time.Now().Add(-time.Minute)})
	g := &gate{authority: newAuthority(t), password: password, site: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch r.Host {
		case "api.vinfer.ai":
			w.sim.ServeHTTP(rw, r)
		case "crm.example":
			w.hook.ServeHTTP(rw, r)
		case "accounts.zoho.in":
			_, _ = io.WriteString(rw, `{"access_token": "t", "expires_in": 3600, "api_domain": "https://www.zohoapis.in"}`)
		default:
			http.Error(rw, `{"message": "no"}`, http.StatusUnauthorized)
		}
	})}
	w.write("ca.pem", g.pem)
	return w, g
}

const behindConfig = `
vinfer: {api_key: any, %VINFER%}
start: -48h
store: {bbolt: {path: state.db}}
admin: {socket: admin.sock, listen: ""}
transcripts: {fetch: false}
crm:
  - {name: events, %CRM%, webhook: {url: "https://crm.example/hook", secret: s}}
`

func (w *world) configured(vinfer, crm string) {
	w.t.Helper()
	w.write("config.yaml", strings.NewReplacer("%VINFER%", vinfer, "%CRM%", crm).Replace(behindConfig))
}

// says runs a command with more in its environment; it has to end with code and to print the texts.
func (w *world) says(code int, env []string, args string, texts ...string) {
	w.t.Helper()
	c := w.command(strings.Fields(args)...)
	c.Env = append(c.Env, env...)
	out, err := c.CombinedOutput()
	if got := exitOf(w.t, err); got != code {
		w.t.Errorf("%s: exit code %d, want %d:\n%s", args, got, code, out)
	}
	for _, text := range texts {
		if !strings.Contains(string(out), text) {
			w.t.Errorf("%s does not say %q:\n%s", args, text, out)
		}
	}
}

// What docs/FIREWALL.md says of proxies and of those that open TLS.
func TestBehindAProxy(t *testing.T) {
	t.Parallel()
	const trust = "put its PEM file into vinfer.ca_file"
	t.Run("by the environment", func(t *testing.T) {
		t.Parallel()
		w, g := behind(t, "pass")
		good, bad := "HTTPS_PROXY="+g.url("me:pass@"), "HTTPS_PROXY="+g.url("me:no@")
		w.configured("timeout: 20s", "timeout: 20s")
		w.says(exitRefused, []string{bad}, "check", "407", "put the right user and password into vinfer.proxy", "put the right user and password into proxy")
		w.says(exitUnreachable, []string{good}, "check", trust)
		w.configured("ca_file: ca.pem", "ca_file: ca.pem")
		w.says(exitFine, []string{good}, "check")
		w.says(exitFine, []string{good}, "once", "delivered 1")
		if got := g.hosts(); !slices.Equal(got, []string{"api.vinfer.ai:443", "crm.example:443"}) {
			t.Errorf("asked for %q", got)
		}
		// NO_PROXY takes a host out: it is looked up by itself, and not found here.
		w.says(exitUnreachable, []string{good, "NO_PROXY=.vinfer.ai"}, "check", "api.vinfer.ai")
	})
	t.Run("by the configuration", func(t *testing.T) {
		t.Parallel()
		w, g := behind(t, "pass")
		w.write("gate", g.url("me:pass@")+"\n")
		w.configured("ca_file: ca.pem, proxy_file: gate", "ca_file: ca.pem, proxy_file: gate")
		env := []string{"HTTPS_PROXY=http://127.0.0.1:9"} // is not asked
		w.says(exitFine, env, "check")
		w.says(exitFine, env, "once", "delivered 1")
		w.configured("ca_file: ca.pem, proxy: direct", "proxy: direct")
		w.says(exitUnreachable, []string{"HTTPS_PROXY=" + g.url("me:pass@")}, "check", "api.vinfer.ai", "crm.example")
	})
	t.Run("without a password", func(t *testing.T) {
		t.Parallel()
		w, g := behind(t, "")
		w.configured("ca_file: ca.pem, proxy: "+g.url(""), "ca_file: ca.pem, proxy: "+g.url(""))
		w.says(exitFine, nil, "once", "delivered 1")
	})
	t.Run("a wrong password halts nothing for good", func(t *testing.T) {
		t.Parallel()
		w, g := behind(t, "pass")
		w.configured("ca_file: ca.pem, proxy: "+g.url("me:pass@"), "ca_file: ca.pem, proxy: "+g.url("me:no@"))
		w.says(exitLeft, nil, "once", "407")
		w.says(exitFine, nil, "status", "halted")
		w.configured("ca_file: ca.pem, proxy: "+g.url("me:pass@"), "ca_file: ca.pem, proxy: "+g.url("me:pass@"))
		w.says(exitFine, nil, "once", "delivered 1")
	})
}

// A handler that wants a certificate gets the configured one.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{LimitPerMinute: -1})
	w.sim.Add(simulator.Call{ID: "call_a", Phone: "+919876543210", Disposition: "interested", Duration: time.Minute, End: time.Now().Add(-time.Minute)})
	a := newAuthority(t)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	s := httptest.NewUnstartedServer(w.hook)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{a.pair("127.0.0.1")}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	cert, key := a.sign("vinfer-sync", false)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	w.write("ca.pem", a.pem)
	w.write("client.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})))
	w.write("client.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	text := strings.NewReplacer("api_key: any, %VINFER%", `base_url: "${API}", api_key: any`, "https://crm.example", s.URL).Replace(behindConfig)
	w.write("config.yaml", strings.ReplaceAll(text, "%CRM%", "ca_file: ca.pem"))
	w.says(exitUnreachable, nil, "check", "set client_cert and client_key")
	w.write("config.yaml", strings.ReplaceAll(text, "%CRM%", "ca_file: ca.pem, client_cert: client.pem, client_key: client.key"))
	w.says(exitFine, nil, "check")
	w.says(exitFine, nil, "once", "delivered 1")
}

// everyHost has a destination of each kind whose host is known without the configuration of a customer.
const everyHost = `
vinfer: {api_key: any, ca_file: ca.pem}
start: -48h
schedule: "@every 1s"
store: {bbolt: {path: state.db}}
admin: {socket: admin.sock, listen: "127.0.0.1:0"}
crm:
  - {name: events, ca_file: ca.pem, webhook: {url: "https://crm.example/hook", secret: s}}
  - {name: hub, ca_file: ca.pem, hubspot: {access_token: pat-x}}
  - {name: lsq, ca_file: ca.pem, leadsquared: {access_key: x, secret_key: y}}
  - {name: zoho, ca_file: ca.pem, zoho: {data_center: in, client_id: "1000.X", client_secret: x, refresh_token: y}}
  - {name: db, sqlite: {path: crm.db}}
`

// hostsOf are the hosts and ports that everyHost names.
func hostsOf(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, raw := range []string{
		config.Default().VInfer.BaseURL, hubspot.DefaultURL, leadsquared.Config{}.Host(), zoho.Config{DataCenter: "in"}.API(),
		"https://accounts.zoho.in", "https://crm.example",
	} {
		all = append(all, hostOf(t, raw)+":443")
	}
	slices.Sort(all)
	return all
}

func hostOf(t *testing.T, raw string) string {
	t.Helper()
	if !strings.Contains(raw, "://") {
		raw = "https://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u.Hostname()
}

// Whatever the program does, it asks for the configured hosts and for no other.
func TestNoOtherHostIsAskedFor(t *testing.T) {
	t.Parallel()
	w, g := behind(t, "")
	w.write("config.yaml", everyHost)
	env := []string{"HTTPS_PROXY=" + g.url(""), "HTTP_PROXY=" + g.url("")}
	for _, args := range []string{"version", "check", "plan", "once", "audit", "backfill --since -47h --to db", "status", "setup --dry-run", "calls show --live call_a", "store check"} {
		c := w.command(strings.Fields(args)...)
		c.Env = append(c.Env, env...)
		_ = c.Run() // the CRMs refuse
	}
	c := w.command("run")
	c.Env = append(c.Env, env...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	served := w.sim.Served()
	w.until("it polls", func() bool { return w.sim.Served() > served+4 })
	_ = c.Process.Signal(os.Interrupt)
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	if got, want := g.hosts(), hostsOf(t); !slices.Equal(got, want) {
		t.Errorf("it asked for %q, and the configuration names %q", got, want)
	}
}

// docs/FIREWALL.md has a row for each kind, with the hosts that the code has.
func TestFirewallTable(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "FIREWALL.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(line, "|")
		if len(cells) > 3 && strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			rows[strings.Trim(cells[1], " `")] = line
		}
	}
	wants := map[string][]string{
		"vinfer": {hostOf(t, config.Default().VInfer.BaseURL)}, "hubspot": {hostOf(t, hubspot.DefaultURL)},
		"leadsquared": {hostOf(t, leadsquared.Config{}.Host()), strings.Replace(hostOf(t, leadsquared.Config{Region: "in21"}.Host()), "in21", "REGION", 1)},
	}
	for _, kind := range kindsOf() {
		if rows[kind] == "" {
			t.Errorf("docs/FIREWALL.md has no row for the kind %s", kind)
		}
	}
	centers := 0
	for name, row := range rows {
		for _, host := range wants[name] {
			if !strings.Contains(row, "`"+host+"`") {
				t.Errorf("the row of %s does not have %s", name, host)
			}
		}
		if center, ok := strings.CutPrefix(name, "data_center: "); ok {
			centers++
			if api := (zoho.Config{DataCenter: center}).API(); api == "" || !strings.Contains(row, "`"+hostOf(t, api)+"`") {
				t.Errorf("the data centre %s is at %q: %s", center, api, row)
			}
		}
	}
	if centers != 10 {
		t.Errorf("%d data centres of Zoho", centers)
	}
}
