package main

import (
	"context"
	"fmt"
	"net"
	"sync"

	"go.uber.org/zap"

	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/internal/control"
)

// tcpListener serves the status over TCP where the configuration says so.
type tcpListener struct {
	ctx     context.Context
	log     *zap.Logger
	options control.Options

	mu  sync.Mutex
	now *tcpServing // nil: none
	all sync.WaitGroup
}

// tcpServing is an address that is served.
type tcpServing struct {
	at    config.Listen
	token string
	stop  context.CancelFunc
	ended chan struct{}
}

// listen makes the configured listener the present one; nil means none. The
// former goes on if the new one cannot be opened.
func (t *tcpListener) listen(c *config.Listen) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	former := t.now
	switch {
	case c == nil:
		former.end()
		t.now = nil
		return nil
	case former == nil || !samePort(former.at.Address, c.Address):
		next, err := t.open(c)
		if err != nil {
			return err
		}
		former.end()
		t.now = next
		return nil
	}
	if same, err := former.same(c); same || err != nil {
		return err
	}
	// The former lets go of its address first: the new one may include it.
	former.end()
	next, err := t.open(c)
	if err != nil {
		again, lost := t.open(&former.at)
		if lost != nil {
			t.log.Error("the status is no longer served", zap.String("address", former.at.Address), zap.Error(lost))
		}
		next = again
	}
	t.now = next
	return err
}

// samePort says whether two addresses may be in each other's way.
func samePort(a, b string) bool {
	_, one, _ := net.SplitHostPort(a)
	_, other, _ := net.SplitHostPort(b)
	return one == other
}

// same says whether c is what is served already, also by the token in its file: a
// token that was replaced must not open anything after a reload.
func (s *tcpServing) same(c *config.Listen) (bool, error) {
	if s.at != *c || c.TokenFile == "" {
		return s.at == *c, nil
	}
	token, err := control.ReadToken(c.TokenFile)
	if err != nil {
		return false, fmt.Errorf("listen on %s: %w", c.Address, err)
	}
	return token == s.token, nil
}

func (t *tcpListener) open(c *config.Listen) (*tcpServing, error) {
	l, token, err := control.ListenTCP(c.Address, c.TLSCert, c.TLSKey, c.TokenFile)
	if err != nil {
		return nil, err
	}
	o := t.options
	o.Token, o.RequireToken = token, !control.Loopback(l.Addr())
	ctx, stop := context.WithCancel(t.ctx)
	s := &tcpServing{at: *c, token: token, stop: stop, ended: make(chan struct{})}
	t.all.Go(func() {
		defer close(s.ended)
		if err := control.Serve(ctx, l, control.New(o).TCP()); err != nil {
			t.log.Error("the status is no longer served", zap.String("address", c.Address), zap.Error(err))
		}
	})
	t.log.Info("the status is served", zap.Stringer("address", l.Addr()), zap.Bool("tls", c.TLSCert != ""))
	return s, nil
}

// end closes a listener, and waits until its address is free.
func (s *tcpServing) end() {
	if s != nil {
		s.stop()
		<-s.ended
	}
}

// wait waits for the end of what is served, which follows that of the context.
func (t *tcpListener) wait() { t.all.Wait() }
