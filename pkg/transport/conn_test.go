package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/principal"
)

// TestCloseFromAnywhere: another goroutine may close a conversation at any
// time.
func TestCloseFromAnywhere(t *testing.T) {
	data := randomBytes(300000)
	for _, name := range []string{"sender", "receiver"} {
		t.Run(name, func(t *testing.T) {
			client, server := newParties(t, enctype.AES128SHA1, ticketOptions{}).connect(t)
			victim := map[string]*Conn{"sender": client, "receiver": server}[name]
			closed := make(chan struct{})
			go func() { defer close(closed); victim.Close() }()
			done := send(client, bytes.NewReader(data), int64(len(data)))
			if in, err := server.ReceiveDatabase(context.Background()); err == nil {
				if got, err := io.ReadAll(in); err == nil && !bytes.Equal(got, data) {
					t.Error("other data arrived than was sent")
				}
			}
			server.Close()
			if err := <-done; err == nil {
				t.Error("SendDatabase succeeded without an acknowledgement")
			}
			<-closed
		})
	}
}

func TestDialAll(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		name  string
		ctx   context.Context
		addrs []string
		limit time.Duration
		want  string // MIT's text
	}{
		{"first", context.Background(), []string{l.Addr().String(), closed.Addr().String()}, time.Minute, ""},
		{"second", context.Background(), []string{closed.Addr().String(), l.Addr().String()}, time.Minute, ""},
		{"refused", context.Background(), []string{closed.Addr().String()}, time.Minute, "Connection refused"},
		{"too late", context.Background(), []string{l.Addr().String()}, time.Nanosecond, "Connection timed out"},
		{"cancelled", cancelled, []string{l.Addr().String()}, time.Minute, "operation was canceled"},
		{"none", context.Background(), nil, time.Minute, "no address to connect to"},
	} {
		t.Run(c.name, func(t *testing.T) {
			nc, err := DialAll(c.ctx, c.addrs, c.limit)
			if err == nil {
				nc.Close()
			}
			if (err == nil) != (c.want == "") || err != nil && Message(err) != c.want {
				t.Errorf("%v; want MIT's text %q", err, c.want)
			}
		})
	}
}

// TestWhatTheNetworkSaysIsPrintable: before authentication a peer chooses these
// texts, and people read them on a terminal.
func TestWhatTheNetworkSaysIsPrintable(t *testing.T) {
	evil := principal.New("EVIL\x1b[2J", "host", "a\x07\u202eb\r"+strings.Repeat("x", 10000))
	p := newParties(t, enctype.AES256SHA1, ticketOptions{server: evil, kvno: 9})
	p.cred.Client = principal.New(testRealm, "host\x1b", "b\u2028c")
	_, err := p.handshake(t)
	printable(t, err)

	p = newParties(t, enctype.AES256SHA1, ticketOptions{})
	p.cred.Client = principal.New(testRealm, "host\x1b", "b\u2028c")
	_, err = p.handshake(t)
	printable(t, err)
}

func printable(t *testing.T, err error) {
	t.Helper()
	var own *Error
	if !errors.As(err, &own) {
		t.Fatalf("%v; want a refusal", err)
	}
	for _, r := range err.Error() {
		if !unicode.IsPrint(r) {
			t.Errorf("%.200q has the character %q", err.Error(), r)
			break
		}
	}
	if n := len(err.Error()); n > 5000 {
		t.Errorf("an error text of %d bytes", n)
	}
}
