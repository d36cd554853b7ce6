package main

import (
	"context"
	"fmt"
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

	mu    sync.Mutex
	at    config.Listen      // the present one
	token string             // of it
	stop  context.CancelFunc // ends it; nil: none
	all   sync.WaitGroup
}

// listen makes the configured listener the present one; nil means none. The
// former goes on if the new one cannot be opened.
func (t *tcpListener) listen(c *config.Listen) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c != nil && t.stop != nil && t.at == *c {
		if same, err := t.sameToken(); same || err != nil {
			return err
		}
	}
	if c == nil {
		t.end()
		return nil
	}
	// The former lets go of its address first: the new one may include it.
	open, former := t.stop != nil, t.at
	t.end()
	err := t.open(c)
	if err != nil && open {
		if again := t.open(&former); again != nil {
			t.log.Error("the status is no longer served", zap.String("address", former.Address), zap.Error(again))
		}
	}
	return err
}

// sameToken says whether the token file still has the token that is asked for. A
// token that was replaced must not open anything after a reload.
func (t *tcpListener) sameToken() (bool, error) {
	if t.at.TokenFile == "" {
		return true, nil
	}
	token, err := control.ReadToken(t.at.TokenFile)
	if err != nil {
		return false, fmt.Errorf("listen on %s: %w", t.at.Address, err)
	}
	return token == t.token, nil
}

func (t *tcpListener) open(c *config.Listen) error {
	l, token, err := control.ListenTCP(c.Address, c.TLSCert, c.TLSKey, c.TokenFile)
	if err != nil {
		return err
	}
	o := t.options
	o.Token, o.RequireToken = token, !control.Loopback(l.Addr())
	ctx, stop := context.WithCancel(t.ctx)
	t.at, t.token, t.stop = *c, token, stop
	t.all.Go(func() {
		if err := control.Serve(ctx, l, control.New(o).TCP()); err != nil {
			t.log.Error("the status is no longer served", zap.String("address", c.Address), zap.Error(err))
		}
	})
	t.log.Info("the status is served", zap.Stringer("address", l.Addr()), zap.Bool("tls", c.TLSCert != ""))
	return nil
}

// end closes the present listener, and waits until its address is free.
func (t *tcpListener) end() {
	if t.stop != nil {
		t.stop()
		t.stop = nil
		t.all.Wait()
	}
}

// wait waits for the end of what is served, which follows that of the context.
func (t *tcpListener) wait() { t.all.Wait() }
