package control

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// keyPair is a certificate that is read again when one of its files changes.
type keyPair struct {
	certPath, keyPath string

	mu    sync.Mutex
	mark  [2]fileMark
	value *tls.Certificate
}

// fileMark tells whether a file is the one that was read.
type fileMark struct {
	time time.Time
	size int64
}

func newKeyPair(cert, key string) (*keyPair, error) {
	p := &keyPair{certPath: cert, keyPath: key}
	if err := p.load(); err != nil {
		return nil, err
	}
	return p, nil
}

// get is a tls.Config.GetCertificate. While a new pair cannot be read, as
// between the writing of its two files, the former one is used.
func (p *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if mark, err := p.marks(); err == nil && mark != p.mark {
		_ = p.load()
	}
	return p.value, nil
}

// load keeps the marks from before reading, so that a change meanwhile is seen
// the next time.
func (p *keyPair) load() error {
	mark, err := p.marks()
	if err != nil {
		return err
	}
	value, err := tls.LoadX509KeyPair(p.certPath, p.keyPath)
	if err != nil {
		return fmt.Errorf("tls_cert %s with tls_key %s: %w", p.certPath, p.keyPath, err)
	}
	p.mark, p.value = mark, &value
	return nil
}

func (p *keyPair) marks() ([2]fileMark, error) {
	var marks [2]fileMark
	for i, path := range []string{p.certPath, p.keyPath} {
		info, err := os.Stat(path)
		if err != nil {
			return marks, err
		}
		marks[i] = fileMark{info.ModTime(), info.Size()}
	}
	return marks, nil
}
