package control

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// certify writes a new certificate of a name for 127.0.0.1.
func certify(t *testing.T, certPath, keyPath, name string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, certPath, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o644)
	write(t, keyPath, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})), 0o600)
	pool := x509.NewCertPool()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(cert)
	return pool
}

func TestListenTCP(t *testing.T) {
	dir := t.TempDir()
	cert, key := dir+"/cert", dir+"/key"
	certify(t, cert, key, "kdc1")
	write(t, dir+"/token", "\n "+token+"\n", 0o600)
	write(t, dir+"/short", "0123456789abcde\n", 0o600)
	write(t, dir+"/open", token, 0o640)
	write(t, dir+"/large", strings.Repeat("x", maxToken+1), 0o600)
	write(t, dir+"/lines", token+"\n"+token, 0o600)
	write(t, dir+"/empty", "", 0o600)
	all := []string{"tls_cert", "tls_key", "token_file"}
	tests := []struct {
		name, address, cert, key, token string
		missing                         []string
		want                            string // part of the error
	}{
		{name: "loopback", address: "127.0.0.1:0"},
		{name: "loopback by name", address: "localhost:0"},
		{name: "loopback with token", address: "127.0.0.1:0", token: "token"},
		{name: "loopback with TLS", address: "127.0.0.1:0", cert: "cert", key: "key"},
		{name: "all addresses", address: ":0", missing: all},
		{name: "all of IPv4", address: "0.0.0.0:0", missing: all},
		{name: "all of IPv6", address: "[::]:0", missing: all},
		{name: "no token", address: "0.0.0.0:0", cert: "cert", key: "key", missing: all[2:]},
		{name: "no TLS", address: "0.0.0.0:0", token: "token", missing: all[:2]},
		{name: "no key", address: "0.0.0.0:0", cert: "cert", token: "token", missing: all[1:2]},
		{name: "everything", address: "0.0.0.0:0", cert: "cert", key: "key", token: "token"},
		{name: "loopback, no key", address: "127.0.0.1:0", cert: "cert", want: "go together"},
		{name: "loopback, no certificate", address: "127.0.0.1:0", key: "key", want: "go together"},
		{name: "short token", address: "0.0.0.0:0", cert: "cert", key: "key", token: "short", want: "has 15 bytes, at least 16 are needed: openssl rand"},
		{name: "empty token", address: "127.0.0.1:0", token: "empty", want: "has 0 bytes"},
		{name: "token for all to read", address: "127.0.0.1:0", token: "open", want: "mode 0640, others may read it: chmod 600"},
		{name: "large token", address: "127.0.0.1:0", token: "large", want: "larger than 4096 bytes"},
		{name: "two tokens", address: "127.0.0.1:0", token: "lines", want: "more than one line"},
		{name: "absent token", address: "127.0.0.1:0", token: "none", want: "no such file"},
		{name: "token is a directory", address: "127.0.0.1:0", token: ".", want: "not a regular file"},
		{name: "absent certificate", address: "127.0.0.1:0", cert: "none", key: "key", want: "no such file"},
		{name: "key for a certificate", address: "127.0.0.1:0", cert: "key", key: "key", want: "tls_cert"},
		{name: "no port", address: "127.0.0.1", want: "missing port"},
		{name: "bad port", address: "127.0.0.1:99999", want: "invalid port"},
		{name: "address of another host", address: "192.0.2.1:0", cert: "cert", key: "key", token: "token", want: "cannot assign"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := func(name string) string {
				if name == "" {
					return ""
				}
				return filepath.Join(dir, name)
			}
			l, got, err := ListenTCP(test.address, path(test.cert), path(test.key), path(test.token))
			if test.missing == nil && test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				l.Close()
				if (got == token) != (test.token != "") {
					t.Errorf("token %q", got)
				}
				if want := !strings.HasPrefix(test.address, "0"); Loopback(l.Addr()) != want {
					t.Errorf("loopback is not %v for %v", want, l.Addr())
				}
				return
			}
			var le *ListenError
			if !errors.As(err, &le) {
				t.Fatalf("%v is no ListenError", err)
			}
			if !slices.Equal(le.Missing, test.missing) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.address) {
				t.Errorf("%v, want missing %v, %s", err, test.missing, test.want)
			}
			for _, name := range test.missing {
				if !strings.Contains(err.Error(), name) {
					t.Errorf("%v does not name %s", err, name)
				}
			}
			if strings.Contains(err.Error(), token[:8]) {
				t.Errorf("%v shows the token", err)
			}
		})
	}
}

// get asks with a new connection, and tells whose certificate it saw.
func get(t *testing.T, url string, pool *x509.CertPool, bearer string, maxVersion uint16) (int, string, error) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, MaxVersion: maxVersion}}
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	if response.TLS == nil {
		return response.StatusCode, "", nil
	}
	return response.StatusCode, response.TLS.PeerCertificates[0].Subject.CommonName, nil
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := dir+"/cert", dir+"/key"
	pool := certify(t, cert, key, "first")
	write(t, dir+"/token", token, 0o600)
	l, got, err := ListenTCP("0.0.0.0:0", cert, key, dir+"/token")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	url := "https://127.0.0.1:" + port + "/v1/status"
	serve(t, l, New(Options{Service: newFake(), Token: got, RequireToken: !Loopback(l.Addr())}).TCP())

	expect := func(name string, pool *x509.CertPool) {
		t.Helper()
		if code, cn, err := get(t, url, pool, token, 0); code != 200 || cn != name || err != nil {
			t.Errorf("%d from %q, %v; want 200 from %s", code, cn, err, name)
		}
	}
	expect("first", pool)
	if code, _, err := get(t, url, pool, "", 0); code != 401 {
		t.Errorf("without token: %d, %v", code, err)
	}
	if _, _, err := get(t, url, pool, token, tls.VersionTLS12); err != nil {
		t.Errorf("TLS 1.2: %v", err)
	}
	if _, _, err := get(t, url, pool, token, tls.VersionTLS11); err == nil {
		t.Error("TLS 1.1 is accepted")
	}
	if code, _, err := get(t, strings.Replace(url, "https", "http", 1), pool, token, 0); code != 400 {
		t.Errorf("plain HTTP: %d, %v", code, err)
	}

	write(t, cert, "half a certificate", 0o644)
	expect("first", pool)
	pool = certify(t, cert, key, "second")
	expect("second", pool)
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	expect("second", pool)
}
