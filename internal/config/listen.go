package config

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"gopkg.in/yaml.v3"
)

const allowedListen = "host:port such as 127.0.0.1:8754, or a mapping with address, tls_cert, tls_key, token_file; without the key, only the unix socket"

// listen reads an address, or a mapping with one.
func (r *reader) listen(n *yaml.Node) *Listen {
	l := &Listen{}
	at, key := n, "listen"
	if n.Kind == yaml.MappingNode {
		m, _ := r.mapping(n, key, listenSection)
		m.file("tls_cert", &l.TLSCert)
		m.file("tls_key", &l.TLSKey)
		m.file("token_file", &l.TokenFile)
		r.note(m, "tls_cert", "the certificate", l.TLSCert)
		r.note(m, "tls_key", "the key", l.TLSKey)
		r.note(m, "token_file", "the token file", l.TokenFile)
		address, ok := m.value("address")
		if !ok {
			r.complain(n, m.key("address"), "is missing", "host:port such as 127.0.0.1:8754")
			return l
		}
		at, key = address, m.key("address")
		r.pair(m)
	}
	allowed := allowedListen
	if at != n {
		allowed = "host:port such as 127.0.0.1:8754"
	}
	address, ok := r.scalar(at, key, allowed)
	if !ok {
		return l
	}
	host, problem := listenHost(address)
	if problem != "" {
		r.complain(at, key, quote(address)+" "+problem, allowed)
		return l
	}
	l.Address = address
	if !isLoopback(host) {
		r.guarded(n, at, key, address)
	}
	return l
}

// pair complains about a certificate without its key, and a key without its
// certificate.
func (r *reader) pair(m mapping) {
	cert, key := m.places["tls_cert"], m.places["tls_key"]
	switch {
	case cert != nil && key == nil:
		r.complain(cert, m.key("tls_cert"), "is there without tls_key", "both or neither")
	case cert == nil && key != nil:
		r.complain(key, m.key("tls_key"), "is there without tls_cert", "both or neither")
	}
}

// listenHost takes the host out of host:port.
func listenHost(address string) (host, problem string) {
	host, port, err := net.SplitHostPort(address)
	switch {
	case err != nil && strings.Count(address, ":") > 1:
		return "", "is not host:port; an IPv6 address is in brackets there, [::1]:8754"
	case err != nil:
		return "", "is not host:port"
	}
	if problem := portProblem(port); problem != "" {
		return "", "has a port that " + problem
	}
	if host == "" {
		return "", ""
	}
	return host, addressProblem(host)
}

// isLoopback believes only what no name service can change.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// guarded complains about what an address that is not loopback lacks. The
// keys count as they are written, so that one with a bad value is not said to
// be missing as well.
func (r *reader) guarded(n, at *yaml.Node, key, address string) {
	var missing []string
	for _, need := range []string{"tls_cert", "tls_key", "token_file"} {
		if !hasKey(n, need) {
			missing = append(missing, need)
		}
	}
	if len(missing) == 0 {
		return
	}
	r.complain(at, key, fmt.Sprintf("%s can be reached from other hosts, which takes TLS and a token file: %s missing",
		quote(address), list(missing)), "a loopback address such as 127.0.0.1:8754 without more; any other with tls_cert, tls_key and token_file")
}

func hasKey(n *yaml.Node, key string) bool {
	if n.Kind != yaml.MappingNode {
		return false
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}

// list is "a is", "a and b are" or "a, b and c are".
func list(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0] + " is"
	}
	return strings.Join(words[:last], ", ") + " and " + words[last] + " are"
}
