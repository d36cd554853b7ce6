package transport

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/enctype"
)

// streams gives the two ends of a Stream over the connections.
func streams(t testing.TB, id enctype.ID, a, b net.Conn, compress ...string) (client, server *Stream) {
	t.Helper()
	p := newParties(t, id, ticketOptions{})
	p.acceptor.Application = KrdistVersion
	type result struct {
		s   *Stream
		err error
	}
	done := make(chan result, 1)
	go func() {
		s, err := grant(p.acceptor, b)
		done <- result{s, err}
	}()
	c, err := Initiate(context.Background(), a, p.cred, KrdistVersion, Timeouts{})
	if err == nil {
		client, err = c.RequestStream(context.Background(), StreamRequest{Login: "alice", Compress: compress})
	}
	if err != nil {
		t.Fatal(err)
	}
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	t.Cleanup(func() { client.c.f.nc.Close(); r.s.c.f.nc.Close(); client.Close(); r.s.Close() })
	return client, r.s
}

func grant(acceptor *Acceptor, nc net.Conn) (*Stream, error) {
	c, err := acceptor.Accept(context.Background(), nc)
	if err != nil {
		return nil, err
	}
	req, err := c.ReadRequest(context.Background())
	if err != nil {
		return nil, err
	}
	if req.Login != "alice" {
		return nil, errors.New("login " + req.Login)
	}
	return c.GrantStream(req)
}

func tcpStreams(t testing.TB, id enctype.ID, compress ...string) (client, server *Stream) {
	t.Helper()
	a, b := tcpPair(t)
	return streams(t, id, a, b, compress...)
}

// kinds are the ways in which a Stream may be set up.
func kinds(t *testing.T, test func(t *testing.T, id enctype.ID, compress []string)) {
	for _, id := range enctype.All() {
		t.Run(id.String(), func(t *testing.T) { test(t, id, nil) })
	}
	t.Run("compressed", func(t *testing.T) { test(t, enctype.AES256SHA1, []string{"later", CompressZstd}) })
}

// TestStreamBothWays sends much in both directions at once, in writes of all
// sizes.
func TestStreamBothWays(t *testing.T) {
	t.Parallel()
	kinds(t, func(t *testing.T, id enctype.ID, compress []string) {
		client, server := tcpStreams(t, id, compress...)
		most := 2 << 20
		if id == enctype.DES3 {
			most = MaxPlain * 4
		}
		if client.Compressed() != (compress != nil) || server.Compressed() != (compress != nil) {
			t.Errorf("compressed: %v and %v", client.Compressed(), server.Compressed())
		}
		type sum = [sha256.Size]byte
		send := func(s *Stream, seed uint64) sum {
			random, h := rand.New(rand.NewPCG(seed, 1)), sha256.New()
			for total := 0; total < most; {
				p := randomText(random, 1<<random.IntN(19))
				h.Write(p)
				if n, err := s.Write(p); n != len(p) || err != nil {
					t.Errorf("write: %d of %d, %v", n, len(p), err)
				}
				total += len(p)
			}
			if err := s.CloseWrite(); err != nil {
				t.Error(err)
			}
			if _, err := s.Write([]byte("x")); !errors.Is(err, ErrStreamClosed) {
				t.Errorf("a write behind the end: %v", err)
			}
			return sum(h.Sum(nil))
		}
		receive := func(s *Stream) sum {
			h := sha256.New()
			if _, err := io.Copy(h, s); err != nil {
				t.Error(err)
			}
			if n, err := s.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("a read behind the end: %d, %v", n, err)
			}
			return sum(h.Sum(nil))
		}
		var up, down [2]sum
		var wg sync.WaitGroup
		wg.Go(func() { up[0] = send(client, 1) })
		wg.Go(func() { down[0] = send(server, 2) })
		wg.Go(func() { up[1] = receive(server) })
		down[1] = receive(client)
		wg.Wait()
		if up[0] != up[1] || down[0] != down[1] {
			t.Error("what arrived is not what was sent")
		}
		for _, s := range []*Stream{client, server} {
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
	})
}

// randomText can be compressed, or not.
func randomText(random *rand.Rand, n int) []byte {
	p := make([]byte, n)
	letters := 1 << random.IntN(9)
	for i := range p {
		p[i] = byte(random.IntN(letters))
	}
	return p
}

// TestStreamDialogue: what is written goes out without a further word, also
// behind much.
func TestStreamDialogue(t *testing.T) {
	t.Parallel()
	for _, compress := range [][]string{nil, {CompressZstd}} {
		client, server := tcpStreams(t, enctype.AES128SHA2, compress...)
		go func() { _, _ = io.Copy(server, server) }()
		random := rand.New(rand.NewPCG(3, 3))
		for i := range 2000 {
			n := 1 + random.IntN(64)
			if i%100 == 0 {
				n = MaxPlain*5 + random.IntN(3)
			}
			p := randomText(random, n)
			writeAsync(t, client, p)
			got := make([]byte, n)
			if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, p) {
				t.Fatalf("round %d: %v", i, err)
			}
		}
	}
}

func writeAsync(t *testing.T, s *Stream, p []byte) {
	t.Helper()
	if len(p) < inlineBytes {
		if _, err := s.Write(p); err != nil {
			t.Fatal(err)
		}
		return
	}
	go func() { _, _ = s.Write(p) }()
}

// TestStreamWithoutEnd: the end of the connection is not the end of the stream.
func TestStreamWithoutEnd(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 10, MaxPlain, 20*MaxPlain + 7} {
		client, server := tcpStreams(t, enctype.AES256SHA1)
		if _, err := client.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		go func() {
			client.out.drained()
			client.Close()
		}()
		got, err := io.ReadAll(server)
		if len(got) != n || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d octets, %v; want %d and io.ErrUnexpectedEOF", len(got), err, n)
		}
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("once more: %v", err)
		}
	}
}

// drained waits until nothing is under way.
func (o *outbound) drained() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.running {
		o.changed.Wait()
	}
}

// TestStreamDeadlines: a deadline is for who waits.
func TestStreamDeadlines(t *testing.T) {
	t.Parallel()
	client, server := tcpStreams(t, enctype.AES256SHA1)
	past := time.Now().Add(-time.Second)
	if err := client.SetReadDeadline(past); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	// The other direction goes on. The server reads ahead, with nothing more to
	// come for long, and is itself in no hurry.
	if _, err := client.Write(make([]byte, 3*MaxPlain)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(server, make([]byte, MaxPlain)); err != nil {
		t.Fatal(err)
	}
	if err := server.SetReadDeadline(past); err != nil {
		t.Fatal(err)
	}
	server.in.mu.Lock()
	for len(server.in.ready) == 0 {
		server.in.changed.Wait()
	}
	_ = server.c.f.nc.SetReadDeadline(past) // as if it had been set before
	server.in.mu.Unlock()
	if _, err := io.ReadFull(server, make([]byte, 2*MaxPlain)); err != nil {
		t.Fatalf("what has come in time: %v", err)
	}
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	// Nobody reads.
	if err := client.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var err error
	for err == nil {
		_, err = client.Write(make([]byte, 1<<20))
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write: %v", err)
	}
	if err := client.CloseWrite(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("CloseWrite: %v", err)
	}
}

// TestStreamContext: the end of the context that opened a stream ends it.
func TestStreamContext(t *testing.T) {
	t.Parallel()
	p := newParties(t, enctype.AES256SHA1, ticketOptions{})
	p.acceptor.Application = KrdistVersion
	a, b := tcpPair(t)
	go func() { _, _ = grant(p.acceptor, b) }()
	cause := errors.New("the cause")
	ctx, cancel := context.WithCancelCause(context.Background())
	c, err := Initiate(ctx, a, p.cred, KrdistVersion, Timeouts{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.RequestStream(ctx, StreamRequest{Login: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	cancel(cause)
	if _, err := s.Read(make([]byte, 1)); err != cause {
		t.Errorf("read: %v", err)
	}
	s.Close()
}

// TestStreamRefused: the server's reason reaches the client.
func TestStreamRefused(t *testing.T) {
	t.Parallel()
	p := newParties(t, enctype.AES256SHA1, ticketOptions{})
	p.acceptor.Application = KrdistVersion
	for reason, want := range map[string]string{"not\nyou\x1b[2J": "not you?[2J", "": "no reason is given", strings.Repeat("x", 5000): strings.Repeat("x", maxErrorText)} {
		a, b := tcpPair(t)
		done := make(chan error, 1)
		go func() {
			c, err := p.acceptor.Accept(context.Background(), b)
			if err == nil {
				_, err = c.ReadRequest(context.Background())
			}
			if err == nil {
				err = c.RefuseStream(reason)
			}
			done <- err
		}()
		c, err := Initiate(context.Background(), a, p.cred, KrdistVersion, Timeouts{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.RequestStream(context.Background(), StreamRequest{Login: "bob"})
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Reason != want {
			t.Errorf("%v, want %q", err, want)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestStreamHandedOn: another process goes on with a conversation.
func TestStreamHandedOn(t *testing.T) {
	t.Parallel()
	kinds(t, func(t *testing.T, id enctype.ID, compress []string) {
		p := newParties(t, id, ticketOptions{})
		p.acceptor.Application = KrdistVersion
		a, b := tcpPair(t)
		done := make(chan error, 1)
		go func() { done <- handOn(p.acceptor, b) }()
		c, err := Initiate(context.Background(), a, p.cred, KrdistVersion, Timeouts{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.RequestStream(context.Background(), StreamRequest{Login: "alice", Compress: compress})
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Repeat("some text ", 1<<13)
		go func() { _, _ = io.WriteString(s, text); _ = s.CloseWrite() }()
		if got, err := io.ReadAll(s); string(got) != text || err != nil {
			t.Errorf("%d octets came back, %v", len(got), err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// handOn gives a conversation to what could be another process, which sends
// back what it gets.
func handOn(acceptor *Acceptor, nc net.Conn) error {
	c, err := acceptor.Accept(context.Background(), nc)
	if err != nil {
		return err
	}
	if _, err := c.Export(); err == nil {
		return errors.New("a conversation without request was exported")
	}
	if _, err := c.ReadRequest(context.Background()); err != nil {
		return err
	}
	data, err := c.Export()
	if err != nil {
		return err
	}
	f, err := c.File()
	if err != nil {
		return err
	}
	defer f.Close()
	other, err := net.FileConn(f)
	if err != nil {
		return err
	}
	c.Close()
	if c, err = Import(other, data, Timeouts{}); err != nil {
		return err
	}
	if !c.Peer().Equal(primary) || !c.Self().Equal(replica) {
		return errors.New("the conversation is with " + c.Peer().String())
	}
	r, err := c.ReadRequest(context.Background())
	if err != nil {
		return err
	}
	s, err := c.GrantStream(r)
	if err != nil {
		return err
	}
	if _, err := io.Copy(s, s); err != nil {
		return err
	}
	return errors.Join(s.CloseWrite(), s.Close())
}

// BenchmarkStream sends 64 MiB from one of our ends to the other over loopback,
// as BenchmarkTransfer does.
func BenchmarkStream(b *testing.B) {
	data := randomBytes(64 << 20)
	for _, id := range []enctype.ID{enctype.AES128SHA1, enctype.AES256SHA1, enctype.AES128SHA2, enctype.AES256SHA2} {
		b.Run(id.String(), func(b *testing.B) { benchmarkStream(b, id, data) })
	}
	b.Run("compressed", func(b *testing.B) {
		benchmarkStream(b, enctype.AES256SHA1, bytes.Repeat([]byte("some text that can be compressed\n"), 1<<21), CompressZstd)
	})
}

func benchmarkStream(b *testing.B, id enctype.ID, data []byte, compress ...string) {
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for range b.N {
		client, server := tcpStreams(b, id, compress...)
		done := make(chan error, 1)
		go func() {
			for p := data; len(p) > 0; p = p[min(len(p), 64<<10):] {
				if _, err := client.Write(p[:min(len(p), 64<<10)]); err != nil {
					done <- err
					return
				}
			}
			done <- client.CloseWrite()
		}()
		if n, err := io.Copy(io.Discard, server); n != int64(len(data)) || err != nil {
			b.Fatal(n, err)
		}
		if err := server.CloseWrite(); err != nil {
			b.Fatal(err)
		}
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		if err := client.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStreamDialogue sends a short line and waits for one.
func BenchmarkStreamDialogue(b *testing.B) {
	client, server := tcpStreams(b, enctype.AES256SHA1)
	go func() { _, _ = io.Copy(server, server) }()
	line := []byte("Qsome/path/of/a/file\n")
	got := make([]byte, len(line))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Write(line); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(client, got); err != nil {
			b.Fatal(err)
		}
	}
}
