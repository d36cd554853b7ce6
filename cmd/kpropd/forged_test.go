package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/credentials"
	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/transport"
)

// forged is what a sender shows that has a ticket like no KDC of the realm
// gives one. Times are relative to now.
type forged struct {
	client, server principal.Name  // of the ticket; by default those of a good one
	claim          *principal.Name // of the authenticator, where it is not the ticket's
	start, end     time.Duration   // 0: now, and in an hour
	clock          time.Duration   // what the sender's clock is ahead
	flags          uint32
	transited      string
	session        enctype.ID // 0: as the replica's key
}

// Ticket flags (RFC 4120 5.3).
const (
	flagInvalid        = 1 << (31 - 7)
	flagTransitChecked = 1 << (31 - 12)
)

// forge makes the credentials with the replica's own key from its keytab.
func (g *guard) forge(t *testing.T, f forged) *transport.Credentials {
	t.Helper()
	service := must(principal.Parse(g.host, ""))(t) // of the same host: kprop and kpropd run on one
	if f.client.Components == nil {
		f.client = service
	}
	if f.server.Components == nil {
		f.server = service
	}
	entry := must(keytab.Load(g.r.Replica.Keytab))(t).Newest(service)[0]
	key := must(enctype.NewKey(enctype.ID(entry.EType), entry.Key))(t)
	if f.session == 0 {
		f.session = key.ID()
	}
	session := must(enctype.RandomKey(f.session))(t)
	cred := &transport.Credentials{Client: f.client, Server: f.server, Key: session, Offset: f.clock}
	if f.claim != nil {
		cred.Client = *f.claim
	}
	if f.end == 0 {
		f.end = time.Hour
	}
	cipher := must(key.Encrypt(nil, f.ticketPart(session), 2))(t) // RFC 4120 7.5.1
	cred.Ticket = der(func(b *cryptobyte.Builder) {
		b.AddASN1(application(1), sequence(func(b *cryptobyte.Builder) {
			number(b, 0, 5)
			text(b, 1, f.server.Realm)
			name(b, 2, f.server)
			b.AddASN1(field(3), sequence(func(b *cryptobyte.Builder) {
				number(b, 0, int64(key.ID()))
				number(b, 1, int64(entry.KVNO))
				octets(b, 2, cipher)
			}))
		}))
	})
	return cred
}

func (f *forged) ticketPart(session *enctype.Key) []byte {
	now := time.Now()
	return der(func(b *cryptobyte.Builder) {
		b.AddASN1(application(3), sequence(func(b *cryptobyte.Builder) {
			b.AddASN1(field(0), func(b *cryptobyte.Builder) {
				b.AddASN1BitString([]byte{byte(f.flags >> 24), byte(f.flags >> 16), byte(f.flags >> 8), byte(f.flags)})
			})
			typed(b, 1, int64(session.ID()), session.Bytes())
			text(b, 2, f.client.Realm)
			name(b, 3, f.client)
			typed(b, 4, 1, []byte(f.transited))
			moment(b, 5, now.Add(f.start))
			moment(b, 7, now.Add(f.end))
		}))
	})
}

// ticketOf gets a ticket for a service from the KDCs that krb5.conf has, with
// MIT's programs.
func ticketOf(t *testing.T, n *krbtest.Node, krb5Conf, keytabFile, client, service string) *transport.Credentials {
	t.Helper()
	dir := t.TempDir()
	conf, cache := filepath.Join(dir, "krb5.conf"), filepath.Join(dir, "ccache")
	ok(t, os.WriteFile(conf, []byte(krb5Conf), 0o600))
	for _, args := range [][]string{{"kinit", "-k", "-t", keytabFile, client}, {"kvno", service}} {
		cmd := n.Command(testContext(t), args[0], args[1:]...)
		cmd.Env = append(cmd.Env, "KRB5_CONFIG="+conf, "KRB5CCNAME=FILE:"+cache)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	server := must(principal.Parse(service, ""))(t)
	for _, c := range must(credentials.LoadCCache(cache))(t).Credentials {
		if c.Server.PrincipalName.PrincipalNameString() == strings.Join(server.Components, "/") {
			key := must(enctype.NewKey(enctype.ID(c.Key.KeyType), c.Key.KeyValue))(t)
			who := principal.New(c.Client.Realm, c.Client.PrincipalName.NameString...)
			return &transport.Credentials{Client: who, Server: server, Ticket: c.Ticket, Key: key}
		}
	}
	t.Fatalf("%s has no ticket for %s", cache, service)
	return nil
}

// send propagates data to a kpropd with such credentials.
func send(t *testing.T, port int, cred *transport.Credentials, data []byte) error {
	t.Helper()
	nc := must(net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))))(t)
	defer nc.Close()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c, err := transport.Initiate(ctx, nc, cred, transport.KpropVersion, transport.Timeouts{})
	if err != nil {
		return err
	}
	defer c.Close()
	return c.SendDatabase(ctx, bytes.NewReader(data), int64(len(data)), nil)
}

// DER, as far as tickets need it.

func der(add func(*cryptobyte.Builder)) []byte {
	var b cryptobyte.Builder
	add(&b)
	return b.BytesOrPanic()
}

func application(n uint8) casn1.Tag { return casn1.Tag(0x60 | n) }
func field(n uint8) casn1.Tag       { return casn1.Tag(n).ContextSpecific().Constructed() }

func sequence(add func(*cryptobyte.Builder)) func(*cryptobyte.Builder) {
	return func(b *cryptobyte.Builder) { b.AddASN1(casn1.SEQUENCE, add) }
}

func number(b *cryptobyte.Builder, n uint8, v int64) {
	b.AddASN1(field(n), func(b *cryptobyte.Builder) { b.AddASN1Int64(v) })
}

func octets(b *cryptobyte.Builder, n uint8, v []byte) {
	b.AddASN1(field(n), func(b *cryptobyte.Builder) { b.AddASN1OctetString(v) })
}

func typed(b *cryptobyte.Builder, n uint8, typ int64, v []byte) {
	b.AddASN1(field(n), sequence(func(b *cryptobyte.Builder) {
		number(b, 0, typ)
		octets(b, 1, v)
	}))
}

func raw(b *cryptobyte.Builder, tag casn1.Tag, s string) {
	b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(s)) })
}

const general = casn1.Tag(0x1b)

func text(b *cryptobyte.Builder, n uint8, s string) {
	b.AddASN1(field(n), func(b *cryptobyte.Builder) { raw(b, general, s) })
}

func moment(b *cryptobyte.Builder, n uint8, at time.Time) {
	b.AddASN1(field(n), func(b *cryptobyte.Builder) { raw(b, casn1.GeneralizedTime, at.UTC().Format("20060102150405Z")) })
}

func name(b *cryptobyte.Builder, n uint8, p principal.Name) {
	b.AddASN1(field(n), sequence(func(b *cryptobyte.Builder) {
		number(b, 0, 3)
		b.AddASN1(field(1), sequence(func(b *cryptobyte.Builder) {
			for _, c := range p.Components {
				raw(b, general, c)
			}
		}))
	}))
}
