package main

import (
	"slices"
	"strconv"
	"strings"
)

// site names the keys of the configuration that say how to reach something.
type site struct{ url, proxy, ca string }

// remedies are what to do about errors, by a piece of their text: what comes from the network or the file system says the same
// whoever met it, and destinations show their errors as text. The first that fits counts. {url}, {proxy} and {ca} stand for
// the keys, and what stands in brackets is left out where there is no proxy.
var remedies = []struct {
	pieces []string
	do     string
}{
	{[]string{"407", "proxy authentication", "proxy auth"}, "the proxy wants a user and password: write them into {proxy}, http://user:password@host:port"},
	{[]string{"proxyconnect", "socks connect", "the proxy "}, "the proxy does not let it through: see {proxy}, or HTTPS_PROXY and NO_PROXY of the environment, and the proxy's own rules"},
	{[]string{"no such host", "server misbehaving", "dial tcp: lookup "}, "the name is not known here: see its spelling in {url}, and this machine's name servers (getent hosts NAME)"},
	{[]string{"certificate signed by unknown authority", "certificate is not trusted", "unable to get local issuer"}, "set {ca} to a file with the root of whoever signed it: the authority of your company, or of the proxy that opens TLS"},
	{[]string{"certificate is valid for", "certificate is not valid for any names", "doesn't contain any ip sans", "cannot validate certificate for"}, "write the name that the certificate is for into {url}"},
	{[]string{"certificate has expired or is not yet valid"}, "set this machine's clock if it is off; else the certificate has to be renewed over there"},
	{[]string{"does not look like a tls handshake", "http response to https client"}, "what listens there speaks no TLS: see the port and http:// in {url}"},
	{[]string{"malformed http response", "http request to an https server"}, "what listens there wants TLS: see https:// in {url}"},
	{[]string{"certificate required", "bad certificate", "client_cert"}, "the server wants a certificate of yours: set client_cert and client_key"},
	{[]string{"connection refused"}, "nothing listens there: see host and port in {url}, and whether it runs[; or a proxy is needed: {proxy}]"},
	{[]string{"no answer within", "deadline exceeded", "i/o timeout", "timeout awaiting", "tls handshake timeout"}, "nothing came back: see host and port in {url}, and let the firewall pass it[, or name the proxy: {proxy}]"},
	{[]string{"no route to host", "network is unreachable"}, "this machine has no way to there: see its network and the firewall[; or name the proxy: {proxy}]"},
	{[]string{"connection reset", "closed without an answer", "eof", "broken pipe"}, "something on the way ended it: see the firewall, and whether {url} is right[; or {proxy}]"},
	{[]string{"is a directory"}, "name a file in it"},
	{[]string{"permission denied", "operation not permitted"}, "let the service's user (vinfer-sync) read and write it, or run check as that user: runuser -u vinfer-sync -- vinfer-sync check"},
	{[]string{"not a directory"}, "a file is in the way of that directory: name another in the configuration"},
	{[]string{"no such file or directory"}, "make it, or name another in the configuration"},
	{[]string{"read-only file system"}, "name a place that can be written to; of the unit: ReadWritePaths= in a drop-in (systemctl edit vinfer-sync)"},
	{[]string{"no space left", "disk is full"}, "make room on that disk"},
	{[]string{"429", "too many requests"}, "the limit is used up, by others too: check again in a minute"},
	{[]string{"redirects to", "a redirect to"}, "write the final address into {url}"},
	{[]string{"404", "not found", "no such path"}, "see the path in {url}"},
	{[]string{"500", "502", "503", "504", "answers 5", "bad gateway", "unavailable"}, "the fault is over there: check again later, and ask who runs it if it stays"},
}

// remedy says what to do about an error; empty: there is nothing to say but what it says itself.
func remedy(err error, at site) string {
	text := strings.ToLower(err.Error())
	for _, r := range remedies {
		for _, piece := range r.pieces {
			if says(text, piece) {
				do := r.do
				if before, rest, ok := strings.Cut(do, "["); ok && at.proxy == "" {
					_, after, _ := strings.Cut(rest, "]")
					do = before + after
				}
				return strings.NewReplacer("{url}", at.url, "{proxy}", at.proxy, "{ca}", at.ca, "[", "", "]", "").Replace(do)
			}
		}
	}
	return ""
}

// says tells whether a text has a piece. A number counts only as a word of its own: not within a path, a port or an id.
func says(text, piece string) bool {
	if _, err := strconv.Atoi(piece); err != nil {
		return strings.Contains(text, piece)
	}
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n,;()", r) })
	return slices.ContainsFunc(words, func(w string) bool { return strings.TrimRight(w, ":.") == piece })
}
