package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"

	"github.com/kprop/kprop/internal/enctype"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func randomBytes(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

// transfer sends data from one of our ends to the other.
func transfer(t *testing.T, id enctype.ID, data []byte, read func(*Transfer) ([]byte, error)) {
	t.Helper()
	client, server := newParties(t, id, ticketOptions{}).connect(t)
	sent := make(chan error, 1)
	var progress []int64
	go func() {
		sent <- client.SendDatabase(context.Background(), bytes.NewReader(data), int64(len(data)),
			func(n int64) { progress = append(progress, n) })
	}()
	in, err := server.ReceiveDatabase(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if in.Size != int64(len(data)) {
		t.Fatalf("announced size %d, want %d", in.Size, len(data))
	}
	got, err := read(in)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, data) {
		t.Fatal("other data arrived than was sent")
	}
	if err := in.Acknowledge(); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if want := (len(data) + BlockSize - 1) / BlockSize; len(progress) != want {
		t.Errorf("progress was reported %d times, want %d", len(progress), want)
	}
}

func readAll(in *Transfer) ([]byte, error) { return io.ReadAll(in) }

func writeTo(in *Transfer) ([]byte, error) {
	var b bytes.Buffer
	_, err := in.WriteTo(&b)
	return b.Bytes(), err
}

func TestTransfer(t *testing.T) {
	for _, id := range enctype.All() {
		for _, size := range []int{0, 1, BlockSize - 1, BlockSize, BlockSize + 1, 40*BlockSize + 17} {
			t.Run(fmt.Sprintf("%v/%d", id, size), func(t *testing.T) {
				transfer(t, id, randomBytes(size), writeTo)
			})
		}
	}
	t.Run("Read", func(t *testing.T) { transfer(t, enctype.AES256SHA1, randomBytes(300000), readAll) })
	t.Run("one byte reads", func(t *testing.T) {
		transfer(t, enctype.AES256SHA1, randomBytes(70000), func(in *Transfer) ([]byte, error) {
			return io.ReadAll(iotest.OneByteReader(in))
		})
	})
}

// send runs SendDatabase in the background.
func send(client *Conn, r io.Reader, size int64) <-chan error {
	done := make(chan error, 1)
	go func() { done <- client.SendDatabase(context.Background(), r, size, nil) }()
	return done
}

func TestFileOfAnotherSize(t *testing.T) {
	for _, c := range []struct{ has, announced int }{{100, 101}, {100000, 99999}, {100000, 70000}, {0, 5}, {5, 0}} {
		client, server := newParties(t, enctype.AES256SHA2, ticketOptions{}).connect(t)
		done := send(client, bytes.NewReader(randomBytes(c.has)), int64(c.announced))
		in, err := server.ReceiveDatabase(context.Background())
		if err == nil && c.announced > 0 {
			_, err = io.ReadAll(in)
		}
		if err := <-done; !errors.Is(err, ErrSizeChanged) {
			t.Errorf("%+v: the sender says %v, want ErrSizeChanged", c, err)
		}
		var remote *RemoteError
		if c.has < c.announced && (!errors.As(err, &remote) || !strings.Contains(remote.Text, "Premature EOF")) {
			t.Errorf("%+v: the receiver says %v, want the sender's words", c, err)
		}
	}
}

// TestRefuseInTheMiddle: the sender sees the receiver's reason while it sends.
func TestRefuseInTheMiddle(t *testing.T) {
	client, server := newParties(t, enctype.AES256SHA1, ticketOptions{}).connect(t)
	done := send(client, endless{}, 1<<40)
	in, err := server.ReceiveDatabase(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, in, 1<<20); err != nil {
		t.Fatal(err)
	}
	go server.Refuse("line 7: not a record")
	var remote *RemoteError
	if err := <-done; !errors.As(err, &remote) || remote.Text != "line 7: not a record" {
		t.Fatalf("the sender says %v", err)
	}
	client.Close()
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestNoAcknowledgementBeforeTheEnd(t *testing.T) {
	client, server := newParties(t, enctype.AES128SHA1, ticketOptions{}).connect(t)
	done := send(client, bytes.NewReader(randomBytes(100000)), 100000)
	in, err := server.ReceiveDatabase(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, in, 5); err != nil {
		t.Fatal(err)
	}
	if err := in.Acknowledge(); err == nil {
		t.Error("Acknowledge after 5 of 100000 bytes succeeded")
	}
	server.Close()
	var s *StepError
	if err := <-done; !errors.As(err, &s) {
		t.Errorf("the sender says %v, want a StepError", err)
	}
}

func TestWrongAcknowledgement(t *testing.T) {
	for name, c := range map[string]struct {
		ack  func(*Conn) error
		want string
	}{
		"size":     {func(c *Conn) error { return c.writeSafe(appendSize(nil, 9)) }, "Kpropd sent database size 9, expecting 10"},
		"form":     {func(c *Conn) error { return c.writeSafe([]byte{1, 2}) }, "malformed sent database size message"},
		"sequence": {func(c *Conn) error { c.sendSeq++; return c.writeSafe(appendSize(nil, 10)) }, "Message out of order"},
		"session key": {func(c *Conn) error {
			k, _ := enctype.RandomKey(enctype.AES256SHA1)
			c.key = k
			return c.writeSafe(appendSize(nil, 10))
		}, "Message stream modified"},
		"garbage": {func(c *Conn) error { return c.f.writeMessages([]byte("hello")) }, "Invalid message type"},
		"closed":  {func(c *Conn) error { return c.f.nc.Close() }, "while reading response from server"},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := newParties(t, enctype.AES256SHA1, ticketOptions{}).connect(t)
			done := send(client, strings.NewReader("0123456789"), 10)
			in, err := server.ReceiveDatabase(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(in); err != nil {
				t.Fatal(err)
			}
			if err := c.ack(server); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the sender says %v, want %q", err, c.want)
			}
		})
	}
}

func TestCancelledTransfer(t *testing.T) {
	client, server := newParties(t, enctype.AES256SHA1, ticketOptions{}).connect(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	stopped := errors.New("the administrator said stop")
	done := make(chan error, 1)
	go func() { done <- client.SendDatabase(ctx, endless{}, 1<<40, nil) }()
	in, err := server.ReceiveDatabase(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, in, 1<<18); err != nil {
		t.Fatal(err)
	}
	cancel(stopped)
	if err := <-done; !errors.Is(err, stopped) {
		t.Errorf("SendDatabase: %v, want the cause of the context", err)
	}
	if _, err := io.Copy(io.Discard, in); err == nil {
		t.Error("the receiver took a transfer that was broken off for a whole one")
	}
}
