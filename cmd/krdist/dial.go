package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/kprop/kprop/pkg/rdist/client"
)

// The ways to a host, by their names for --transport.
const (
	transportKerberos = "kerberos" // krdistd, over a connection of our own
	transportShell    = "rsh"      // rdistd or krdistd -S, by a remote shell
)

// dialer is the way to the hosts that the command line asks for: krdistd, or
// with -P a remote shell.
func (p *program) dialer() client.Dialer {
	shell := &client.Shell{Program: p.shell, Server: p.server, User: p.user}
	if p.transport == transportShell {
		return shell
	}
	return &localOr{user: p.user, local: shell, other: sync.OnceValues(p.kerberos)}
}

// localOr has the server for localhost and the local user run by a shell of
// this host, as rdist does it: nobody need prove to be himself.
type localOr struct {
	user  string
	local client.Dialer
	other func() (client.Dialer, error)
}

func (l *localOr) Dial(ctx context.Context, login, host string) (client.Session, error) {
	if host == "localhost" && login == l.user {
		return l.local.Dial(ctx, login, host)
	}
	other, err := l.other()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", host, err)
	}
	return other.Dial(ctx, login, host)
}
