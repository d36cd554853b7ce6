package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/kprop/kprop/pkg/profile"
)

// ErrKDCUnreachable says that no KDC of the realm answered.
var ErrKDCUnreachable = errors.New("Cannot contact any KDC for requested realm")

const (
	kdcUDPTimeout = time.Second
	kdcTCPTimeout = 10 * time.Second
	kdcPasses     = 3
	maxKDCReply   = 1 << 20 // bytes; a ticket may carry a large PAC
)

// askKDCs sends req to each KDC in order until one answers, UDP before TCP
// unless req is longer than udpLimit bytes. A KDC that does not answer is tried
// again after the others.
func askKDCs(ctx context.Context, kdcs []profile.KDC, req []byte, udpLimit int) ([]byte, error) {
	if len(kdcs) == 0 {
		return nil, fmt.Errorf("%w: no KDC is known", ErrKDCUnreachable)
	}
	var failures []error
	for pass := range kdcPasses {
		for _, k := range kdcs {
			for _, network := range networks(k, len(req) > udpLimit) {
				if network == "tcp" && pass > 0 {
					continue
				}
				reply, err := askKDC(ctx, network, k.Addr(), req)
				if err == nil {
					return reply, nil
				}
				if ctx.Err() != nil {
					return nil, context.Cause(ctx)
				}
				if pass == 0 {
					failures = append(failures, err)
				}
			}
		}
	}
	return nil, fmt.Errorf("%w: %w", ErrKDCUnreachable, errors.Join(failures...))
}

func networks(k profile.KDC, tcpOnly bool) []string {
	switch {
	case k.Transport != "":
		return []string{k.Transport}
	case tcpOnly:
		return []string{"tcp"}
	}
	return []string{"udp", "tcp"}
}

func askKDC(ctx context.Context, network, address string, req []byte) ([]byte, error) {
	timeout := kdcUDPTimeout
	if network == "tcp" {
		timeout = kdcTCPTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Now()) })()
	if network == "tcp" {
		return askTCP(nc, req)
	}
	if _, err := nc.Write(req); err != nil {
		return nil, err
	}
	reply := make([]byte, 64<<10)
	n, err := nc.Read(reply)
	return reply[:n], err
}

func askTCP(nc net.Conn, req []byte) ([]byte, error) {
	framed := binary.BigEndian.AppendUint32(nil, uint32(len(req)))
	if _, err := nc.Write(append(framed, req...)); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(nc, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxKDCReply {
		return nil, fmt.Errorf("KDC %s announces a reply of %d bytes, at most %d are allowed", nc.RemoteAddr(), n, maxKDCReply)
	}
	reply := make([]byte, n)
	_, err := io.ReadFull(nc, reply)
	return reply, err
}
