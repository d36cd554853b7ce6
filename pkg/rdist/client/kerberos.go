package client

import (
	"context"

	"github.com/kprop/kprop/pkg/transport"
)

// Kerberos is the Dialer of krdistd over a connection of our own.
type Kerberos struct{ *transport.Dialer }

// Dial is a Dialer's.
func (d Kerberos) Dial(ctx context.Context, login, host string) (Session, error) {
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
