package transport

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/pkg/profile"
)

// TestResponseTooBig: the same request goes over TCP, also with the timestamp.
func TestResponseTooBig(t *testing.T) {
	k, r := newKDC(t, enctype.AES256SHA1)
	k.preauth, k.offers = true, []enctype.ID{enctype.AES256SHA1}
	k.answer = func(network string, req *messages.ASReq) []byte {
		if network == "udp" && len(req.PAData) > 0 {
			return k.error(CodeResponseTooBig, nil)
		}
		return nil
	}
	r.KDCs = []profile.KDC{k.start()}
	c, err := GetCredentials(context.Background(), r)
	k.checkCredentials(t, c, err)
	k.checkAsked(t, "udp", "udp", "tcp")
	if k.requests()[1].ReqBody.Nonce != k.requests()[2].ReqBody.Nonce {
		t.Error("another request went over TCP")
	}

	small, r := newKDC(t, enctype.AES256SHA1)
	small.answer = func(string, *messages.ASReq) []byte { return small.error(CodeResponseTooBig, nil) }
	r.KDCs = []profile.KDC{small.start()}
	_, err = GetCredentials(context.Background(), r)
	var remote *RemoteError
	if !errors.As(err, &remote) || remote.Code != CodeResponseTooBig {
		t.Errorf("a KDC for which TCP is too small as well: %v", err)
	}
	small.checkAsked(t, "udp", "tcp")
}

// TestTransports: which of UDP and TCP is used.
func TestTransports(t *testing.T) {
	for _, c := range []struct {
		name      string
		transport string
		limit     int
		want      string
	}{
		{"short request", "", 1465, "udp"},
		{"long request", "", 100, "tcp"},
		{"never UDP", "", 1, "tcp"},
		{"KDC for TCP", "tcp", 1465, "tcp"},
		{"KDC for UDP", "udp", 1, "udp"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, r := newKDC(t, enctype.AES256SHA1)
			kdc := k.start()
			kdc.Transport = c.transport
			r.KDCs = []profile.KDC{kdc}
			r.Config.LibDefaults.UDPPreferenceLimit = c.limit
			cred, err := GetCredentials(context.Background(), r)
			k.checkCredentials(t, cred, err)
			k.checkAsked(t, c.want)
		})
	}
}

// TestKDCOrder: the first that answers decides.
func TestKDCOrder(t *testing.T) {
	first, r := newKDC(t, enctype.AES256SHA1)
	second, _ := newKDC(t, enctype.AES256SHA1)
	second.key, second.service, second.session = first.key, first.service, first.session
	var refuse atomic.Bool
	second.answer = func(string, *messages.ASReq) []byte {
		if refuse.Load() {
			return second.error(CodeServerUnknown, nil)
		}
		return nil
	}
	dead, a, b := deadKDC(t), first.start(), second.start()

	r.KDCs = []profile.KDC{dead, a, b}
	c, err := GetCredentials(context.Background(), r)
	first.checkCredentials(t, c, err)
	first.checkAsked(t, "udp")
	second.checkAsked(t)

	r.KDCs = []profile.KDC{b, dead, a}
	c, err = GetCredentials(context.Background(), r)
	second.checkCredentials(t, c, err)
	first.checkAsked(t, "udp")
	second.checkAsked(t, "udp")

	// A refusal is an answer.
	refuse.Store(true)
	_, err = GetCredentials(context.Background(), r)
	var remote *RemoteError
	if !errors.As(err, &remote) || remote.Code != CodeServerUnknown || Message(err) != "Server not found in Kerberos database" {
		t.Errorf("%v", err)
	}
	first.checkAsked(t, "udp")
}

// TestSilentUDP: a KDC behind a filter that lets no UDP through.
func TestSilentUDP(t *testing.T) {
	k, r := newKDC(t, enctype.AES256SHA1)
	k.answer = func(network string, _ *messages.ASReq) []byte {
		if network == "udp" {
			return silence
		}
		return nil
	}
	r.KDCs = []profile.KDC{k.start()}
	c, err := GetCredentials(context.Background(), r)
	k.checkCredentials(t, c, err)
	k.checkAsked(t, "udp", "tcp")
}

func TestNoKDC(t *testing.T) {
	_, r := newKDC(t, enctype.AES256SHA1)
	for name, kdcs := range map[string][]profile.KDC{"dead": {deadKDC(t), deadKDC(t)}, "none": nil} {
		r.KDCs = kdcs
		_, err := GetCredentials(context.Background(), r)
		if !errors.Is(err, ErrKDCUnreachable) || strings.Contains(err.Error(), "%!") {
			t.Errorf("%s: %v", name, err)
		}
		if len(kdcs) > 0 && !strings.Contains(err.Error(), kdcs[0].Addr()) {
			t.Errorf("%s: %v; want the addresses", name, err)
		}
	}
}

// TestCancelledRequest: a KDC that takes the request and says nothing does not
// keep the caller.
func TestCancelledRequest(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(context.Background())
			stopped := errors.New("the administrator said stop")
			k, r := newKDC(t, enctype.AES256SHA1)
			release := make(chan struct{})
			k.answer = func(string, *messages.ASReq) []byte { cancel(stopped); <-release; return silence }
			kdc := k.start()
			kdc.Transport = network
			r.KDCs = []profile.KDC{kdc}
			start := time.Now()
			_, err := GetCredentials(ctx, r)
			close(release)
			if !errors.Is(err, stopped) {
				t.Errorf("%v, want the cause of the context", err)
			}
			if d := time.Since(start); d > kdcUDPTimeout/2 {
				t.Errorf("it took %v", d)
			}
		})
	}
}

// TestRudeKDC: length words and ends over TCP.
func TestRudeKDC(t *testing.T) {
	for name, c := range map[string]struct{ bytes, text string }{
		"2 GiB announced": {"\x7f\xff\xff\xff", "announces a reply of 2147483647 bytes"},
		"1 MiB and 1":     {"\x00\x10\x00\x01", "announces a reply of 1048577 bytes"},
		"nothing":         {"", "EOF"},
		"half a length":   {"\x00\x00", "EOF"},
		"half a reply":    {"\x00\x00\x00\x64half", "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					nc, err := l.Accept()
					if err != nil {
						return
					}
					var req [4096]byte
					_, _ = nc.Read(req[:])
					_, _ = nc.Write([]byte(c.bytes))
					nc.Close()
				}
			}()
			_, r := newKDC(t, enctype.AES256SHA1)
			kdc := kdcAt(t, l.Addr())
			kdc.Transport = "tcp"
			r.KDCs = []profile.KDC{kdc}
			_, err = GetCredentials(context.Background(), r)
			l.Close()
			<-done
			if !errors.Is(err, ErrKDCUnreachable) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v, want %q", err, c.text)
			}
		})
	}
}

// TestDeadlineOfTheContext: it counts where it is before that of a request.
func TestDeadlineOfTheContext(t *testing.T) {
	k, r := newKDC(t, enctype.AES256SHA1)
	k.answer = func(string, *messages.ASReq) []byte { return silence }
	kdc := k.start()
	kdc.Transport = "udp"
	r.KDCs = []profile.KDC{kdc}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := GetCredentials(ctx, r)
	if !errors.Is(err, context.DeadlineExceeded) || Message(err) != "Connection timed out" {
		t.Errorf("%v, want that the time is over", err)
	}
}
