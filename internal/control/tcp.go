package control

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// minToken is the fewest bytes of a token.
const minToken = 16

// maxToken bounds what is read of a token file, in bytes.
const maxToken = 4096

// ListenError says why a TCP address is not served.
type ListenError struct {
	Address string
	Missing []string // settings that the address needs: "tls_cert", "tls_key", "token_file"
	Err     error    // if Missing is empty
}

func (e *ListenError) Error() string {
	if len(e.Missing) > 0 {
		return fmt.Sprintf("listen on %s: an address that is not loopback needs TLS and a token: set %s, or listen on 127.0.0.1 or a unix socket",
			e.Address, strings.Join(e.Missing, " and "))
	}
	return fmt.Sprintf("listen on %s: %v", e.Address, e.Err)
}

func (e *ListenError) Unwrap() error { return e.Err }

// ListenTCP listens on host:port, with TLS 1.2 or newer if cert and key name
// PEM files. They are read again when they change; a pair that cannot be read
// leaves the former one in use. The token is that of tokenFile, without white
// space around it, or empty. An address that is not loopback needs all three.
// 256 connections are open at once, others wait.
// Errors are *ListenError, and never show the token.
func ListenTCP(address, cert, key, tokenFile string) (net.Listener, string, error) {
	l, token, err := listenTCP(address, cert, key, tokenFile)
	if err != nil {
		var le *ListenError
		if !errors.As(err, &le) {
			err = &ListenError{Address: address, Err: err}
		}
		return nil, "", err
	}
	return l, token, nil
}

func listenTCP(address, cert, key, tokenFile string) (net.Listener, string, error) {
	// Once resolved, so that a name cannot change between check and listening.
	addr, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, "", err
	}
	if missing := missing(addr, cert, key, tokenFile); len(missing) > 0 {
		return nil, "", &ListenError{Address: address, Missing: missing}
	}
	if (cert == "") != (key == "") {
		return nil, "", errors.New("tls_cert and tls_key go together: set both or none")
	}
	token := ""
	if tokenFile != "" {
		if token, err = ReadToken(tokenFile); err != nil {
			return nil, "", err
		}
	}
	var config *tls.Config
	if cert != "" {
		pair, err := newKeyPair(cert, key)
		if err != nil {
			return nil, "", err
		}
		config = &tls.Config{
			MinVersion:     tls.VersionTLS12,
			NextProtos:     []string{"http/1.1"},
			GetCertificate: pair.get,
		}
	}
	tcp, err := net.ListenTCP("tcp", addr)
	if err != nil {
		return nil, "", err
	}
	// Below TLS: net/http looks for TLS in the connection that it accepts.
	l := limit(tcp, maxConns)
	if config != nil {
		l = tls.NewListener(l, config)
	}
	return l, token, nil
}

// Loopback reports whether only this host can connect to an address. Where it
// does not hold, Options.RequireToken belongs.
func Loopback(a net.Addr) bool {
	switch a := a.(type) {
	case *net.UnixAddr:
		return true
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	}
	return false
}

func missing(addr *net.TCPAddr, cert, key, tokenFile string) []string {
	if Loopback(addr) {
		return nil
	}
	var list []string
	for _, need := range []struct{ name, value string }{
		{"tls_cert", cert}, {"tls_key", key}, {"token_file", tokenFile},
	} {
		if need.value == "" {
			list = append(list, need.name)
		}
	}
	return list
}

// ReadToken reads the secret of a token file, which only its owner may read,
// without white space around it. Errors never show it.
func ReadToken(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("token file %s is not a regular file", path)
	case info.Mode().Perm()&0o077 != 0:
		return "", fmt.Errorf("token file %s has mode %#o, others may read it: chmod 600 %s", path, info.Mode().Perm(), path)
	case info.Size() > maxToken:
		return "", fmt.Errorf("token file %s is larger than %d bytes", path, maxToken)
	}
	text := make([]byte, info.Size())
	n, err := f.ReadAt(text, 0)
	if n < len(text) {
		return "", fmt.Errorf("read token file %s: %w", path, err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < minToken {
		return "", fmt.Errorf("token file %s has %d bytes, at least %d are needed: openssl rand -hex 32 > %s", path, len(token), minToken, path)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("token file %s has more than one line, or bytes other than printable ASCII: openssl rand -hex 32 > %s", path, path)
	}
	return token, nil
}
