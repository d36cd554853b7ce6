package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/keytab"
)

// peer is the server's end of a connection, for servers that do what no kpropd
// does. When the client has gone, its methods end the goroutine.
type peer struct {
	t      *testing.T
	nc     net.Conn
	keytab *keytab.Keytab

	session *enctype.Key
	auth    authenticator
	seq     uint32 // of the next message that is sent
}

func (p *peer) gone(err error) {
	if err != nil {
		runtime.Goexit()
	}
}

// read reads one message.
func (p *peer) read() []byte {
	var head [4]byte
	_, err := io.ReadFull(p.nc, head[:])
	p.gone(err)
	msg := make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err = io.ReadFull(p.nc, msg)
	p.gone(err)
	return msg
}

func (p *peer) write(b ...byte) {
	_, err := p.nc.Write(b)
	p.gone(err)
}

func (p *peer) send(msg []byte) { p.write(framed(msg)...) }

func framed(msg []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(msg))), msg...)
}

// hello reads the versions and answers them with a byte.
func (p *peer) hello(answer byte) {
	p.read()
	p.read()
	p.write(answer)
}

// open accepts the versions and reads the AP-REQ.
func (p *peer) open() {
	p.hello(0)
	p.openAPReq(p.read())
}

// accept authenticates as a good kpropd does.
func (p *peer) accept() {
	p.open()
	p.seq = 1000
	p.send(nil)
	p.send(p.apRep(p.auth.ctime, p.auth.cusec))
}

// take reads the size message and the blocks of a database of size bytes.
func (p *peer) take(size int64) {
	p.read()
	for got := int64(0); got < size; got += 32768 {
		p.read()
	}
}

// hangUp ends the connection from this side, and waits for the client's end:
// closing with unread input would reset it.
func (p *peer) hangUp() {
	p.gone(p.nc.(*net.TCPConn).CloseWrite())
	_, _ = io.Copy(io.Discard, p.nc)
}

// krbError is a KRB-ERROR as kpropd sends it; no text if it is empty, and no
// NUL is added.
func krbError(code int64, text string) []byte {
	return message(30, func(b *cryptobyte.Builder) {
		addTime(b, 4, time.Now())
		addInt(b, 5, 0)
		addInt(b, 6, code)
		addText(b, 9, "KPROP.TEST")
		b.AddASN1(ctx(10), func(b *cryptobyte.Builder) {
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				addInt(b, 0, 3)
				b.AddASN1(ctx(1), func(b *cryptobyte.Builder) {
					b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1(general, addBytes("host")) })
				})
			})
		})
		if text != "" {
			addText(b, 11, text)
		}
	})
}

// authenticator is what the server needs of the client's Authenticator.
type authenticator struct {
	ctime string
	cusec int64
}

// openAPReq decrypts ticket and authenticator with the keys of the replica.
func (p *peer) openAPReq(msg []byte) {
	d := p.decoder(msg)
	d.enter(14).skip(0).skip(1).skip(2)
	ticket := d.field(3)
	sealed := d.field(4)
	enc := p.decoder(ticket).enter(1).skip(0).skip(1).skip(2).field(3)
	plain := p.decryptWith(p.longTerm(enc), enc, 2)

	part := p.decoder(plain).enter(3).skip(0)
	key := p.decoder(part.field(1)).sequence()
	id := key.integer(0)
	session, err := enctype.NewKey(enctype.ID(id), key.octets(1))
	p.must(err)
	p.session = session

	a := p.decoder(p.decryptWith(session, sealed, 11)).enter(2).skip(0).skip(1).skip(2)
	p.auth.cusec = a.integer(4)
	p.auth.ctime = string(a.primitive(5, casn1.GeneralizedTime))
}

func (p *peer) must(err error) {
	if err != nil {
		p.t.Errorf("fake kpropd: %v", err)
		runtime.Goexit()
	}
}

// longTerm finds the key of an EncryptedData: all hosts of a test realm share
// one.
func (p *peer) longTerm(enc []byte) *enctype.Key {
	id := p.decoder(enc).sequence().integer(0)
	for _, e := range p.keytab.Entries {
		if int64(e.EType) == id {
			key, err := enctype.NewKey(enctype.ID(id), e.Key)
			p.must(err)
			return key
		}
	}
	p.t.Errorf("fake kpropd: no key of enctype %d", id)
	runtime.Goexit()
	return nil
}

func (p *peer) decryptWith(key *enctype.Key, enc []byte, usage uint32) []byte {
	d := p.decoder(enc).sequence().skip(0)
	if next := d.s; next.PeekASN1Tag(ctx(1)) {
		d.skip(1)
	}
	plain, err := key.Decrypt(nil, d.octets(2), usage)
	p.must(err)
	return plain
}

// apRep answers the AP-REQ with these times.
func (p *peer) apRep(ctime string, cusec int64) []byte {
	plain := build(func(b *cryptobyte.Builder) {
		b.AddASN1(app(27), func(b *cryptobyte.Builder) {
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(ctx(0), func(b *cryptobyte.Builder) { b.AddASN1(casn1.GeneralizedTime, addBytes(ctime)) })
				addInt(b, 1, cusec)
				addInt(b, 3, int64(p.seq))
			})
		})
	})
	cipher, err := p.session.Encrypt(nil, plain, 12)
	p.must(err)
	return message(15, func(b *cryptobyte.Builder) {
		b.AddASN1(ctx(2), func(b *cryptobyte.Builder) {
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				addInt(b, 0, int64(p.session.ID()))
				addOctets(b, 2, cipher)
			})
		})
	})
}

// safe is a KRB-SAFE with data, as the acknowledgement is.
func (p *peer) safe(data []byte) []byte {
	body := build(func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addOctets(b, 0, data)
			addInt(b, 3, int64(p.seq))
			addTyped(b, 4, 2, p.nc.LocalAddr().(*net.TCPAddr).IP.To4())
		})
	})
	with := func(typ int64, sum []byte) []byte {
		return message(20, func(b *cryptobyte.Builder) {
			b.AddASN1(ctx(2), addBytes(string(body)))
			addTyped(b, 3, typ, sum)
		})
	}
	p.seq++
	return with(int64(p.session.ID().ChecksumType()), p.session.Checksum(nil, with(0, nil), 15))
}

// size4 is a database size in its short form.
func size4(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

const general = casn1.Tag(0x1b)

func app(n uint8) casn1.Tag { return casn1.Tag(0x60 | n) }
func ctx(n uint8) casn1.Tag { return casn1.Tag(n).ContextSpecific().Constructed() }

func build(add func(*cryptobyte.Builder)) []byte {
	var b cryptobyte.Builder
	add(&b)
	return b.BytesOrPanic()
}

func message(n uint8, add func(*cryptobyte.Builder)) []byte {
	return build(func(b *cryptobyte.Builder) {
		b.AddASN1(app(n), func(b *cryptobyte.Builder) {
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				addInt(b, 0, 5)
				addInt(b, 1, int64(n))
				add(b)
			})
		})
	})
}

func addBytes(s string) func(*cryptobyte.Builder) {
	return func(b *cryptobyte.Builder) { b.AddBytes([]byte(s)) }
}

func addInt(b *cryptobyte.Builder, n uint8, v int64) {
	b.AddASN1(ctx(n), func(b *cryptobyte.Builder) { b.AddASN1Int64(v) })
}

func addText(b *cryptobyte.Builder, n uint8, s string) {
	b.AddASN1(ctx(n), func(b *cryptobyte.Builder) { b.AddASN1(general, addBytes(s)) })
}

func addTime(b *cryptobyte.Builder, n uint8, t time.Time) {
	b.AddASN1(ctx(n), func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.GeneralizedTime, addBytes(t.UTC().Format("20060102150405Z")))
	})
}

func addOctets(b *cryptobyte.Builder, n uint8, v []byte) {
	b.AddASN1(ctx(n), func(b *cryptobyte.Builder) { b.AddASN1OctetString(v) })
}

func addTyped(b *cryptobyte.Builder, n uint8, typ int64, v []byte) {
	b.AddASN1(ctx(n), func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addInt(b, 0, typ)
			addOctets(b, 1, v)
		})
	})
}

// decoder reads the fields of a SEQUENCE one after the other.
type decoder struct {
	p *peer
	s cryptobyte.String
}

func (p *peer) decoder(der []byte) *decoder { return &decoder{p, cryptobyte.String(bytes.Clone(der))} }

func (d *decoder) ok(ok bool) {
	if !ok {
		d.p.t.Error("fake kpropd: the client's message cannot be read")
		runtime.Goexit()
	}
}

func (d *decoder) enter(n uint8) *decoder {
	var inner cryptobyte.String
	d.ok(d.s.ReadASN1(&inner, app(n)))
	d.s = inner
	return d.sequence()
}

func (d *decoder) sequence() *decoder {
	var inner cryptobyte.String
	d.ok(d.s.ReadASN1(&inner, casn1.SEQUENCE))
	d.s = inner
	return d
}

func (d *decoder) field(n uint8) []byte {
	var v cryptobyte.String
	d.ok(d.s.ReadASN1(&v, ctx(n)))
	return v
}

func (d *decoder) skip(n uint8) *decoder {
	d.field(n)
	return d
}

func (d *decoder) primitive(n uint8, tag casn1.Tag) []byte {
	v := cryptobyte.String(d.field(n))
	var inner cryptobyte.String
	d.ok(v.ReadASN1(&inner, tag))
	return inner
}

func (d *decoder) octets(n uint8) []byte { return d.primitive(n, casn1.OCTET_STRING) }

func (d *decoder) integer(n uint8) int64 {
	v := cryptobyte.String(d.field(n))
	var i int64
	d.ok(v.ReadASN1Integer(&i))
	return i
}
