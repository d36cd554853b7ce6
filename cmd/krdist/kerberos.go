package main

import (
	"context"

	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/rdist/client"
	"github.com/kprop/kprop/pkg/transport"
)

// kerberos is the way to krdistd: with the tickets of who runs this, or with
// the key of this host.
func (p *program) kerberos() (client.Dialer, error) {
	conf, err := profile.Load(profile.Options{})
	if err != nil {
		return nil, err
	}
	d := &transport.Dialer{Profile: conf, AsHost: p.asHost || p.keytab != "", Keytab: p.keytab, Port: p.port}
	if p.compress {
		d.Compress = []string{transport.CompressZstd}
	}
	return kerberosDialer{d}, nil
}

type kerberosDialer struct{ *transport.Dialer }

func (d kerberosDialer) Dial(ctx context.Context, login, host string) (client.Session, error) {
	// ctx ends with the dialing; the stream goes on.
	dialing, established := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, established)
	stream, err := d.Dialer.Dial(dialing, login, host)
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		established()
		return nil, err
	}
	return &kerberosSession{stream, established}, nil
}

// kerberosSession ends what watched over the dialing with the stream.
type kerberosSession struct {
	*transport.Stream
	end context.CancelFunc
}

func (s *kerberosSession) Close() error {
	defer s.end()
	return s.Stream.Close()
}

// Abort has Close not wait for the server.
func (s *kerberosSession) Abort() { s.end() }
