package transport

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/internal/rcache"
)

const testRealm = "KPROP.TEST"

var (
	primary = principal.New(testRealm, "host", "primary.test")
	replica = principal.New(testRealm, "host", "replica.test")
)

// parties is a client with a ticket and the service that it is for.
type parties struct {
	cred     *Credentials
	acceptor *Acceptor
	key      *enctype.Key // of the service
}

// ticketOptions change the ticket that newParties makes.
type ticketOptions struct {
	client    principal.Name
	server    principal.Name
	kvno      uint32
	flags     byte // first byte of the ticket's flags
	start     time.Time
	end       time.Time
	transited string
}

func newParties(t testing.TB, id enctype.ID, o ticketOptions) *parties {
	t.Helper()
	service, err := enctype.RandomKey(id)
	if err != nil {
		t.Fatal(err)
	}
	session, err := enctype.RandomKey(id)
	if err != nil {
		t.Fatal(err)
	}
	if o.client.Components == nil {
		o.client = primary
	}
	if o.server.Components == nil {
		o.server = replica
	}
	if o.kvno == 0 {
		o.kvno = 3
	}
	if o.start.IsZero() {
		o.start = time.Now()
	}
	if o.end.IsZero() {
		o.end = time.Now().Add(time.Hour)
	}
	kt := &keytab.Keytab{Name: "FILE:test.keytab"}
	if err := kt.Append(keytab.Entry{Principal: replica, NameType: 1, KVNO: 3, EType: int32(id), Key: service.Bytes()}); err != nil {
		t.Fatal(err)
	}
	replays, err := rcache.New("file2", filepath.Join(t.TempDir(), "rcache2"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &parties{
		key:  service,
		cred: &Credentials{Client: o.client, Server: o.server, Ticket: makeTicket(t, service, session, o), Key: session},
		acceptor: &Acceptor{
			Application: KpropVersion,
			Principals:  []principal.Name{replica},
			Keytab:      func() (*keytab.Keytab, error) { return kt, nil },
			Replays:     replays,
		},
	}
}

func makeTicket(t testing.TB, service, session *enctype.Key, o ticketOptions) []byte {
	t.Helper()
	var b cryptobyte.Builder
	b.AddASN1(appTag(tagEncTicketPart), func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(ctxTag(0), func(b *cryptobyte.Builder) { b.AddASN1BitString([]byte{o.flags, 0x41, 0, 0}) })
			addTyped(b, 1, int32(session.ID()), session.Bytes())
			addString(b, 2, o.client.Realm)
			addName(b, 3, o.client)
			addTyped(b, 4, 1, []byte(o.transited))
			addTime(b, 5, o.start)
			addTime(b, 7, o.end)
		})
	})
	plain, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	cipher, err := service.Encrypt(nil, plain, usageTicket)
	if err != nil {
		t.Fatal(err)
	}
	var tb cryptobyte.Builder
	tb.AddASN1(appTag(tagTicket), func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addInt(b, 0, 5)
			addString(b, 1, o.server.Realm)
			addName(b, 2, o.server)
			b.AddASN1(ctxTag(3), func(b *cryptobyte.Builder) {
				b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
					addInt(b, 0, int64(service.ID()))
					addInt(b, 1, int64(o.kvno))
					b.AddASN1(ctxTag(2), func(b *cryptobyte.Builder) { b.AddASN1OctetString(cipher) })
				})
			})
		})
	})
	der, err := tb.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// tcpPair gives the two ends of a loopback connection.
func tcpPair(t testing.TB) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			close(accepted)
			return
		}
		accepted <- c
	}()
	client, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, ok := <-accepted
	if !ok {
		t.Fatal("accept failed")
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// connect authenticates p's client to p's service.
func (p *parties) connect(t testing.TB) (client, server *Conn) {
	t.Helper()
	a, b := tcpPair(t)
	type result struct {
		c   *Conn
		err error
	}
	done := make(chan result, 1)
	go func() {
		c, err := p.acceptor.Accept(context.Background(), b)
		done <- result{c, err}
	}()
	client, err := Initiate(context.Background(), a, p.cred, KpropVersion, Timeouts{})
	if err != nil {
		t.Fatal(err)
	}
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	t.Cleanup(func() { client.Close(); r.c.Close() })
	return client, r.c
}
