package transport

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/principal"
)

// handshake gives the errors of both sides.
func (p *parties) handshake(t *testing.T) (client, server error) {
	t.Helper()
	a, b := tcpPair(t)
	done := make(chan error, 1)
	go func() {
		c, err := p.acceptor.Accept(context.Background(), b)
		if c != nil {
			c.Close()
		}
		done <- err
	}()
	c, client := Initiate(context.Background(), a, p.cred, KpropVersion, Timeouts{})
	if c != nil {
		c.Close()
	}
	return client, <-done
}

func TestRejectedTickets(t *testing.T) {
	hour := time.Hour
	other, err := enctype.RandomKey(enctype.AES256SHA1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		code Code
		opts ticketOptions
		with func(*parties)
	}{
		{name: "no principal", code: CodeNoKey, with: func(p *parties) {
			p.acceptor.Principals = []principal.Name{principal.New(testRealm, "host", "elsewhere")}
		}},
		{name: "no keytab", code: CodeNoKey, with: func(p *parties) {
			p.acceptor.Keytab = func() (*keytab.Keytab, error) { return keytab.Load("FILE:/nonexistent") }
		}},
		{name: "kvno", code: CodeBadKeyVersion, opts: ticketOptions{kvno: 4}},
		{name: "kvno of another service", code: CodeNotUs, opts: ticketOptions{kvno: 4, server: primary}},
		{name: "key", code: CodeBadIntegrity, with: func(p *parties) {
			p.cred.Ticket = makeTicket(t, other, p.cred.Key, ticketOptions{client: primary, server: replica, kvno: 3, start: time.Now(), end: time.Now().Add(hour)})
		}},
		{name: "key of another service", code: CodeNotUs, with: func(p *parties) {
			p.cred.Ticket = makeTicket(t, other, p.cred.Key, ticketOptions{client: primary, server: primary, kvno: 3, start: time.Now(), end: time.Now().Add(hour)})
		}},
		{name: "claimed client", code: CodeBadMatch, with: func(p *parties) { p.cred.Client = replica }},
		{name: "claimed realm", code: CodeBadMatch, with: func(p *parties) { p.cred.Client.Realm = "OTHER.TEST" }},
		{name: "future", code: CodeTicketNotYetValid, opts: ticketOptions{start: time.Now().Add(hour)}},
		{name: "expired", code: CodeTicketExpired, opts: ticketOptions{end: time.Now().Add(-hour)}},
		{name: "client's clock", code: CodeSkew, with: func(p *parties) { p.cred.Offset = -hour }},
		{name: "invalid flag", code: CodeGeneric, opts: ticketOptions{flags: 1}},
		{name: "transited", code: CodeIllegalCrossRealm, opts: ticketOptions{client: principal.New("OTHER.TEST", "host", "x"), transited: "MIDDLE.TEST"}},
		{name: "enctype", code: CodeGeneric, with: func(p *parties) {
			p.acceptor.Permitted = func(id enctype.ID) bool { return id == enctype.AES256SHA2 }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newParties(t, enctype.AES256SHA1, c.opts)
			if c.with != nil {
				c.with(p)
			}
			client, server := p.handshake(t)
			var own *Error
			if !errors.As(server, &own) || own.Code != c.code {
				t.Errorf("the server says %v, want code %d", server, c.code)
			}
			var remote *RemoteError
			if !errors.Is(client, ErrRejected) || !errors.As(client, &remote) || remote.Code != c.code {
				t.Errorf("the client says %v, want code %d", client, c.code)
			}
		})
	}
}

func TestSecondUseOfAnAuthenticatorIsRefused(t *testing.T) {
	p := newParties(t, enctype.AES256SHA1, ticketOptions{})
	auth := authenticator{client: primary, time: time.Now().UTC(), seq: 7}
	req, err := p.cred.apReq(&auth)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", "Request is a replay"} {
		a, b := tcpPair(t)
		done := make(chan error, 1)
		go func() {
			c, err := p.acceptor.Accept(context.Background(), b)
			if c != nil {
				c.Close()
			}
			done <- err
		}()
		f := newFramed(a, time.Minute)
		if err := f.writeMessages([]byte(sendauthVersion+"\x00"), []byte(KpropVersion+"\x00")); err != nil {
			t.Fatal(err)
		}
		if err := readResponse(f); err != nil {
			t.Fatal(err)
		}
		if err := f.writeMessages(req); err != nil {
			t.Fatal(err)
		}
		err := <-done
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("use %d: %v, want %q", i+1, err, want)
		}
	}
}

func TestVersions(t *testing.T) {
	for _, c := range []struct {
		sendauth, app string
		answer        byte
		want          error
	}{
		{"KRB5_SENDAUTH_V9.9\x00", KpropVersion + "\x00", 1, ErrBadSendauthVersion},
		{sendauthVersion + "\x00", "kprop5_99\x00", 2, ErrBadAppVersion},
		{sendauthVersion, KpropVersion + "\x00", 1, ErrBadSendauthVersion},
		{sendauthVersion + "\x00", KpropVersion, 2, ErrBadAppVersion},
		{"", "", 1, ErrBadSendauthVersion},
	} {
		p := newParties(t, enctype.AES256SHA1, ticketOptions{})
		a, b := tcpPair(t)
		done := make(chan error, 1)
		go func() { _, err := p.acceptor.Accept(context.Background(), b); done <- err }()
		f := newFramed(a, time.Minute)
		if err := f.writeMessages([]byte(c.sendauth), []byte(c.app)); err != nil {
			t.Fatal(err)
		}
		var got [1]byte
		if err := f.readFull(got[:]); err != nil {
			t.Fatal(err)
		}
		if err := <-done; got[0] != c.answer || !errors.Is(err, c.want) {
			t.Errorf("%q, %q: byte %d, %v; want %d, %v", c.sendauth, c.app, got[0], err, c.answer, c.want)
		}
	}
}

// TestUnauthenticatedPeers: bounded memory and time before authentication.
func TestUnauthenticatedPeers(t *testing.T) {
	for name, c := range map[string]struct {
		bytes string
		want  string
	}{
		"2 GiB announced":    {"\x7f\xff\xff\xff", "announces a message of 2147483647 bytes, at most 65536"},
		"64 KiB and 1":       {"\x00\x01\x00\x01", "announces a message of 65537 bytes"},
		"silence":            {"", "timeout"},
		"half a length word": {"\x00\x00", "timeout"},
		"garbage AP-REQ":     {"\x00\x00\x00\x13KRB5_SENDAUTH_V1.0\x00\x00\x00\x00\x0akprop5_01\x00\x00\x00\x00\x02hi", "Invalid message type"},
		"empty AP-REQ":       {"\x00\x00\x00\x13KRB5_SENDAUTH_V1.0\x00\x00\x00\x00\x0akprop5_01\x00\x00\x00\x00\x00", "Invalid message type"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newParties(t, enctype.AES256SHA1, ticketOptions{})
			p.acceptor.Timeouts.Handshake = 300 * time.Millisecond
			a, b := tcpPair(t)
			if _, err := fmt.Fprint(a, c.bytes); err != nil {
				t.Fatal(err)
			}
			_, err := p.acceptor.Accept(context.Background(), b)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Accept: %v, want %q", err, c.want)
			}
		})
	}
}
