package transport

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/osutil"
)

// TestMemoryOfUnauthenticatedPeers: whatever they announce, a connection takes
// little more than the longest message.
func TestMemoryOfUnauthenticatedPeers(t *testing.T) {
	const connections = 50
	versions := "\x00\x00\x00\x13KRB5_SENDAUTH_V1.0\x00\x00\x00\x00\x0akprop5_01\x00"
	for name, sent := range map[string]string{
		"4 GiB":                 "\xff\xff\xff\xff",
		"2 GiB":                 "\x7f\xff\xff\xff",
		"1 MiB":                 "\x00\x10\x00\x00",
		"64 KiB":                "\x00\x01\x00\x00",
		"AP-REQ of 2 GiB":       versions + "\x7f\xff\xff\xff",
		"AP-REQ of 64 KiB":      versions + "\x00\x01\x00\x00",
		"lengths inside AP-REQ": versions + "\x00\x00\x00\x10\x6e\x84\x7f\xff\xff\xff\x30\x84\x7f\xff\xff\xff\xa0\x03\x02\x01",
	} {
		t.Run(name, func(t *testing.T) {
			p := newParties(t, enctype.AES256SHA1, ticketOptions{})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range connections {
				if c, err := p.acceptor.Accept(context.Background(), newMemConn([]byte(sent))); err == nil {
					c.Close()
					t.Error("accepted")
				}
			}
			runtime.ReadMemStats(&after)
			if n := (after.TotalAlloc - before.TotalAlloc) / connections; n > 4*MaxUnauthenticated {
				t.Errorf("%d bytes for a connection", n)
			}
		})
	}
}

// TestLockedReplayCache: a program that keeps the lock does not keep the
// connection.
func TestLockedReplayCache(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rcache2")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := osutil.Lock(f, osutil.Exclusive); err != nil {
		t.Fatal(err)
	}
	p := newParties(t, enctype.AES256SHA1, ticketOptions{})
	p.acceptor.Replays = newReplays(t, path)
	p.acceptor.Timeouts.Handshake = 200 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	a, b := tcpPair(t)
	go func() { _, err := p.acceptor.Accept(ctx, b); done <- err }()
	_, _ = a.Write(handshakeBytes(t, p))
	err = <-done
	var own *Error
	if !errors.As(err, &own) || own.Code != CodeGeneric || !errors.Is(err, osutil.ErrLocked) || ctx.Err() != nil {
		t.Errorf("Accept: %v", err)
	}
}

// countingConn counts what was read of it.
type countingConn struct {
	*memConn
	read atomic.Int64
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.memConn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// TestReadAheadIsBounded: a sender that is faster than the disk does not fill
// the memory.
func TestReadAheadIsBounded(t *testing.T) {
	const blocks, size = 40, 100000
	key := subkeyOf(t, enctype.AES128SHA1)
	stream := key.NewStream(usagePriv)
	msgs := [][]byte{oddSafe(t, key, oddBody{data: appendSize(nil, blocks*size), seq: number(1), from: loopback}, mitSum)}
	for i := range int64(blocks) {
		o := oddBody{data: make([]byte, size), seq: number(2 + i), from: loopback}
		msgs = append(msgs, oddPriv(t, stream, key.ID(), o.priv(t), false))
	}
	out := newMemConn(nil)
	if err := newFramed(out, time.Minute).writeMessages(msgs...); err != nil {
		t.Fatal(err)
	}
	conn := &countingConn{memConn: newMemConn(out.out.Bytes())}
	c := &Conn{f: newFramed(conn, time.Minute), key: key, recvSeq: 1, local: loopback}
	defer c.Close()
	in, err := c.ReceiveDatabase(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	// A batch at the reader, one being filled, those between, and a buffer.
	const ahead = (arrivalsWaiting+2)*(arrivalsBytes+size+200) + 64<<10 + 1000
	buf := make([]byte, size/2)
	for got := int64(0); got < in.Size; got += int64(len(buf)) {
		if _, err := io.ReadFull(in, buf); err != nil {
			t.Fatal(err)
		}
		if n := conn.read.Load() - got; n > ahead {
			t.Fatalf("%d bytes were read before they were wanted, want at most %d", n, ahead)
		}
	}
}
