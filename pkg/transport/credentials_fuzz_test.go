package transport

import (
	"testing"
	"time"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/keytab"
)

// fuzzExchange is an AS exchange under way, with a fixed key and nonce.
func fuzzExchange(t testing.TB) *asExchange {
	t.Helper()
	key := fuzzKey(t, enctype.AES128SHA1)
	kt := &keytab.Keytab{Name: "FILE:fuzz.keytab"}
	if err := kt.Append(keytab.Entry{Principal: primary, KVNO: 2, EType: int32(key.ID()), Key: key.Bytes()}); err != nil {
		t.Fatal(err)
	}
	x := &asExchange{CredentialRequest: CredentialRequest{
		Client: primary, Server: replica, Keytab: kt, Config: kdcConfig(enctype.AES128SHA1, enctype.RC4), SyncTime: true,
	}}
	if err := x.prepare(); err != nil {
		t.Fatal(err)
	}
	x.req.ReqBody.Nonce = 4711
	return x
}

// fuzzReply is a good answer to it.
func fuzzReply(t testing.TB) *asReply {
	return &asReply{
		client: primary, server: replica, nonce: 4711, tag: tagEncASRepPart, kvno: 2,
		key: fuzzKey(t, enctype.AES128SHA1), authTime: time.Now(),
	}
}

// FuzzASRep: only what the KDC encrypted is believed, and of that only what
// answers the request.
func FuzzASRep(f *testing.F) {
	r := fuzzReply(f)
	session := fuzzKey(f, enctype.RC4)
	r.session = session
	tkt := makeTicket(f, session, session, ticketOptions{client: primary, server: replica, kvno: 1, start: r.authTime, end: r.authTime})
	f.Add(r.marshal(f, tkt), r.plain(f))
	r.tag = tagEncTGSPart
	f.Add(r.marshal(f, tkt), r.plain(f))
	x := fuzzExchange(f)
	f.Fuzz(func(t *testing.T, msg, plain []byte) {
		c, err := x.open(msg)
		if (c == nil) == (err == nil) {
			t.Errorf("%v, %v", c, err)
		}
		if c != nil && !c.Key.Equal(session) {
			t.Errorf("%x gave another session key", msg)
		}
		if p, bad := parseEncKDCRepPart(plain); (p == nil) == (bad == nil) || p != nil && p.key == nil {
			t.Errorf("%+v, %v", p, bad)
		}
	})
}

// FuzzMethodData: what a KDC says about preauthentication, which nothing
// protects.
func FuzzMethodData(f *testing.F) {
	k := fakeKDC{t: f, offers: []enctype.ID{enctype.RC4, enctype.AES128SHA1}}
	f.Add(k.methodData())
	k.offers = nil
	f.Add(k.methodData())
	f.Fuzz(func(t *testing.T, data []byte) {
		x := fuzzExchange(t)
		e := &kdcError{RemoteError: &RemoteError{Code: CodePreauthRequired}, serverTime: time.Now(), data: data}
		if err := x.addTimestamp(e); err != nil {
			return
		}
		if last := x.req.PAData[len(x.req.PAData)-1]; last.PADataType != paEncTimestamp {
			t.Errorf("no timestamp in %+v", x.req.PAData)
		}
		if _, err := x.req.Marshal(); err != nil {
			t.Error(err)
		}
	})
}

func FuzzETypeInfo2(f *testing.F) {
	f.Add([]byte("\x30\x07\x30\x05\xa0\x03\x02\x01\x12"))
	f.Add([]byte("\x30\x0d\x30\x0b\xa0\x03\x02\x01\x17\xa1\x04\x1b\x02ab"))
	f.Fuzz(func(t *testing.T, der []byte) {
		if ids, ok := parseETypeInfo2(der); ok && len(ids) > len(der) {
			t.Errorf("%d enctypes in %d bytes", len(ids), len(der))
		}
	})
}
