package transport

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/jcmturner/gokrb5/v8/messages"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/profile"
)

func (k *fakeKDC) checkAsked(t *testing.T, want ...string) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	if !slices.Equal(k.asked, want) {
		t.Errorf("the KDC was asked over %v, want %v", k.asked, want)
	}
}

// checkCredentials: they are what the KDC gave, and open its service.
func (k *fakeKDC) checkCredentials(t *testing.T, c *Credentials, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if !c.Client.Equal(primary) || !c.Server.Equal(replica) || !c.Key.Equal(k.session) {
		t.Errorf("credentials of %v for %v", c.Client, c.Server)
	}
	if d := time.Until(c.EndTime) - k.clock; d < 59*time.Minute || d > 61*time.Minute {
		t.Errorf("they end in %v of the KDC's time, want an hour", d)
	}
	if d := (c.Offset - k.clock).Abs(); k.clock.Abs() > maxClockOffset && d > 2*time.Second || k.clock == 0 && c.Offset != 0 {
		t.Errorf("offset %v, want %v", c.Offset, k.clock)
	}
	p := newParties(t, k.service.ID(), ticketOptions{})
	kt := &keytab.Keytab{}
	if err := kt.Append(keytab.Entry{Principal: replica, KVNO: 3, EType: int32(k.service.ID()), Key: k.service.Bytes()}); err != nil {
		t.Fatal(err)
	}
	p.acceptor.Keytab = func() (*keytab.Keytab, error) { return kt, nil }
	p.acceptor.Now = k.now
	p.cred = c
	if client, server := p.handshake(t); client != nil || server != nil {
		t.Errorf("handshake: %v, %v", client, server)
	}
}

func TestCredentials(t *testing.T) {
	for _, id := range enctype.All() {
		for _, preauth := range []bool{false, true} {
			t.Run(id.String()+map[bool]string{true: " with preauthentication"}[preauth], func(t *testing.T) {
				k, r := newKDC(t, id)
				k.preauth, k.offers = preauth, []enctype.ID{id}
				r.KDCs = []profile.KDC{k.start()}
				c, err := GetCredentials(context.Background(), r)
				k.checkCredentials(t, c, err)
				if preauth {
					k.checkAsked(t, "udp", "udp")
				} else {
					k.checkAsked(t, "udp")
				}
				if c.Offset != 0 {
					t.Errorf("offset %v", c.Offset)
				}
				k.checkRequest(t)
			})
		}
	}
}

// checkRequest: one AS exchange for the service itself, without addresses.
func (k *fakeKDC) checkRequest(t *testing.T) {
	t.Helper()
	b := k.requests()[0].ReqBody
	if b.CName.NameType != nameTypeSrvHost || !slices.Equal(b.CName.NameString, primary.Components) ||
		!slices.Equal(b.SName.NameString, replica.Components) || b.Realm != testRealm || len(b.Addresses) != 0 {
		t.Errorf("request %+v", b)
	}
	if d := time.Until(b.Till); d < 23*time.Hour || d > 25*time.Hour {
		t.Errorf("a ticket for %v was asked for", d)
	}
}

// TestEnctypeChoice: what the keytab has comes first in the request, and the
// timestamp is encrypted with what the KDC offers.
func TestEnctypeChoice(t *testing.T) {
	for _, c := range []struct {
		name   string
		config []enctype.ID
		offers []enctype.ID
		first  enctype.ID
		fails  error
	}{
		{"second in krb5.conf", []enctype.ID{enctype.AES256SHA2, enctype.AES128SHA1, enctype.RC4}, []enctype.ID{enctype.AES128SHA1}, enctype.AES128SHA1, nil},
		{"second offer", []enctype.ID{enctype.AES128SHA1, enctype.AES256SHA1}, []enctype.ID{enctype.AES256SHA1, enctype.AES128SHA1}, enctype.AES128SHA1, nil},
		{"no offer", []enctype.ID{enctype.AES256SHA1, enctype.AES128SHA1}, nil, enctype.AES128SHA1, nil},
		{"other offer", []enctype.ID{enctype.AES256SHA1, enctype.AES128SHA1}, []enctype.ID{enctype.AES256SHA1}, enctype.AES128SHA1, ErrNoKeys},
		{"offer that was not asked for", []enctype.ID{enctype.AES128SHA1}, []enctype.ID{enctype.RC4, enctype.AES128SHA1}, enctype.AES128SHA1, nil},
		{"not in krb5.conf", []enctype.ID{enctype.AES256SHA1}, nil, 0, ErrNoKeys},
		{"nothing in krb5.conf", nil, nil, 0, ErrNoKeys},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, r := newKDC(t, enctype.AES128SHA1)
			k.preauth, k.offers = true, c.offers
			r.Config = kdcConfig(c.config...)
			before := slices.Clone(r.Config.LibDefaults.DefaultTktEnctypeIDs)
			r.KDCs = []profile.KDC{k.start()}
			cred, err := GetCredentials(context.Background(), r)
			if c.fails == nil {
				k.checkCredentials(t, cred, err)
			} else if !errors.Is(err, c.fails) || !strings.Contains(err.Error(), "FILE:primary.keytab") {
				t.Errorf("%v, want %v and the keytab's name", err, c.fails)
			}
			if c.first == 0 {
				k.checkAsked(t)
				return
			}
			got := k.requests()[0].ReqBody.EType
			if len(got) != len(c.config) || got[0] != int32(c.first) {
				t.Errorf("enctypes %v were asked for", got)
			}
			if !slices.Equal(before, r.Config.LibDefaults.DefaultTktEnctypeIDs) {
				t.Error("the caller's configuration was changed")
			}
		})
	}
}

// TestWeakOffer: a KDC, or somebody in its place, gets no timestamp under a key
// of an enctype that krb5.conf does not permit, though the keytab has one.
func TestWeakOffer(t *testing.T) {
	k, r := newKDC(t, enctype.AES128SHA1)
	weak := subkeyOf(t, enctype.RC4)
	if err := r.Keytab.Append(keytab.Entry{Principal: primary, KVNO: 2, EType: int32(weak.ID()), Key: weak.Bytes()}); err != nil {
		t.Fatal(err)
	}
	k.preauth, k.offers = true, []enctype.ID{enctype.RC4, enctype.AES128SHA1}
	r.KDCs = []profile.KDC{k.start()}
	c, err := GetCredentials(context.Background(), r)
	k.checkCredentials(t, c, err)
	k.offers = []enctype.ID{enctype.RC4}
	before := len(k.requests())
	if c, err := GetCredentials(context.Background(), r); c != nil || !errors.Is(err, ErrNoKeys) {
		t.Errorf("%v, want %v", err, ErrNoKeys)
	}
	if n := len(k.requests()) - before; n != 1 {
		t.Errorf("%d requests, want no second one with a timestamp", n)
	}
}

func TestNoKeyOfTheClient(t *testing.T) {
	k, r := newKDC(t, enctype.AES128SHA1)
	r.KDCs = []profile.KDC{k.start()}
	r.Client = principal.New(testRealm, "host", "elsewhere")
	_, err := GetCredentials(context.Background(), r)
	if !errors.Is(err, ErrNoKeys) || Message(err) != "Key table entry not found" || !strings.Contains(err.Error(), "host/elsewhere@"+testRealm) {
		t.Errorf("%v", err)
	}
	k.checkAsked(t)
}

// TestKeyVersions: the reply says which key it needs.
func TestKeyVersions(t *testing.T) {
	old, newer := subkeyOf(t, enctype.AES256SHA1), subkeyOf(t, enctype.AES256SHA1)
	for _, c := range []struct {
		name string
		key  *enctype.Key
		kvno uint32
		want Code
	}{
		{"newest", newer, 5, CodeNone},
		{"one before", old, 4, CodeNone},
		{"newest, not said", newer, 0, CodeNone},
		{"newest under another number", newer, 9, CodeNone},
		{"unknown", subkeyOf(t, enctype.AES256SHA1), 6, CodeBadIntegrity},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, r := newKDC(t, enctype.AES256SHA1)
			k.key, k.kvno = c.key, c.kvno
			r.Keytab = &keytab.Keytab{Name: "FILE:two.keytab"}
			for n, key := range map[uint32]*enctype.Key{4: old, 5: newer} {
				if err := r.Keytab.Append(keytab.Entry{Principal: primary, KVNO: n, EType: int32(key.ID()), Key: key.Bytes()}); err != nil {
					t.Fatal(err)
				}
			}
			r.KDCs = []profile.KDC{k.start()}
			cred, err := GetCredentials(context.Background(), r)
			if c.want == CodeNone {
				k.checkCredentials(t, cred, err)
				return
			}
			var own *Error
			if !errors.As(err, &own) || own.Code != c.want || !strings.Contains(err.Error(), "kvno 5") || !strings.Contains(err.Error(), "kvno 6") {
				t.Errorf("%v, want code %d and both kvnos", err, c.want)
			}
		})
	}
}

// TestFalseReplies: a reply which does not answer the request is refused.
func TestFalseReplies(t *testing.T) {
	other := principal.New(testRealm, "host", "other.test")
	for _, c := range []struct {
		name  string
		spoil func(*asReply)
		want  error
	}{
		{"nonce", func(r *asReply) { r.nonce++ }, ErrKDCReply},
		{"negative nonce", func(r *asReply) { r.nonce = -r.nonce }, ErrKDCReply},
		{"nonce of 33 bits", func(r *asReply) { r.nonce += 1 << 32 }, ErrKDCReply},
		{"server", func(r *asReply) { r.server = other }, ErrKDCReply},
		{"server's realm", func(r *asReply) { r.server.Realm = "OTHER.TEST" }, ErrKDCReply},
		{"server has fewer components", func(r *asReply) { r.server = principal.New(testRealm, "host") }, ErrKDCReply},
		{"client", func(r *asReply) { r.client = other }, ErrKDCReply},
		{"client's realm", func(r *asReply) { r.client.Realm = "OTHER.TEST\x1b" }, ErrKDCReply},
		{"ticket for another service of the host", func(r *asReply) { r.ticketFor = principal.New(testRealm, "HTTP", replica.Components[1]) }, ErrKDCReply},
		{"ticket of another realm", func(r *asReply) { r.ticketFor.Realm = "OTHER.TEST" }, ErrKDCReply},
		{"enctype", func(r *asReply) { r.key = subkeyOf(t, enctype.RC4) }, ErrKDCReply},
		{"enctype of the session key", func(r *asReply) { r.session = subkeyOf(t, enctype.AES128SHA1) }, ErrKDCReply},
		{"key", func(r *asReply) { r.key = subkeyOf(t, enctype.AES256SHA1) }, &Error{}},
		{"part of another message", func(r *asReply) { r.tag = tagEncAPRepPart }, &Error{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, r := newKDC(t, enctype.AES256SHA1)
			k.spoil = c.spoil
			r.KDCs = []profile.KDC{k.start()}
			cred, err := GetCredentials(context.Background(), r)
			var own *Error
			if cred != nil || !errors.Is(err, c.want) && !(errors.As(c.want, &own) && errors.As(err, &own)) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			for _, r := range err.Error() {
				if !unicode.IsPrint(r) {
					t.Errorf("%q has the character %q", err.Error(), r)
				}
			}
		})
	}
	t.Run("enctype that the keytab has", func(t *testing.T) {
		k, r := newKDC(t, enctype.AES256SHA1)
		weak := subkeyOf(t, enctype.RC4)
		if err := r.Keytab.Append(keytab.Entry{Principal: primary, KVNO: 2, EType: int32(weak.ID()), Key: weak.Bytes()}); err != nil {
			t.Fatal(err)
		}
		k.spoil = func(r *asReply) { r.key = weak }
		r.KDCs = []profile.KDC{k.start()}
		if cred, err := GetCredentials(context.Background(), r); cred != nil || !errors.Is(err, ErrKDCReply) {
			t.Errorf("%v, want %v", err, ErrKDCReply)
		}
	})
	t.Run("TGS tag", func(t *testing.T) {
		k, r := newKDC(t, enctype.AES256SHA1)
		k.spoil = func(r *asReply) { r.tag = tagEncTGSPart }
		r.KDCs = []profile.KDC{k.start()}
		c, err := GetCredentials(context.Background(), r)
		k.checkCredentials(t, c, err)
	})
}

// TestGarbageFromKDC: nothing that a KDC says makes it more than an error.
func TestGarbageFromKDC(t *testing.T) {
	whole := func(k *fakeKDC, req *messages.ASReq) []byte { return k.asRep(req) }
	for _, c := range []struct {
		name   string
		answer func(*fakeKDC, *messages.ASReq) []byte
		text   string
	}{
		{"garbage", func(*fakeKDC, *messages.ASReq) []byte { return []byte("garbage") }, "Invalid message type"},
		{"one byte", func(*fakeKDC, *messages.ASReq) []byte { return []byte{0x6b} }, "Generic error (see e-text)"},
		{"broken KRB-ERROR", func(*fakeKDC, *messages.ASReq) []byte { return []byte("\x7e\x03\x30\x01\x00") }, "Generic error (see e-text)"},
		{"cut", func(k *fakeKDC, r *messages.ASReq) []byte { b := whole(k, r); return b[:len(b)/2] }, "Generic error (see e-text)"},
		{"changed bit", func(k *fakeKDC, r *messages.ASReq) []byte { b := whole(k, r); b[len(b)-1] ^= 1; return b }, "Decrypt integrity check failed"},
		{"TGS-REP", func(k *fakeKDC, r *messages.ASReq) []byte {
			return bytes.Replace(whole(k, r), []byte{0x6b}, []byte{0x6d}, 1)
		}, "Invalid message type"},
		{"AP-REP", func(k *fakeKDC, _ *messages.ASReq) []byte { return anyAPRep(k.t, 18, make([]byte, 50)) }, "Invalid message type"},
		{"short ciphertext", func(k *fakeKDC, r *messages.ASReq) []byte {
			b := whole(k, r)
			return bytes.Replace(b, b[len(b)-40:], nil, 1)
		}, "Generic error (see e-text)"},
		{"preauthentication without data", func(k *fakeKDC, _ *messages.ASReq) []byte { return k.error(CodePreauthRequired, nil) }, "Generic error (see e-text)"},
		{"garbage as METHOD-DATA", func(k *fakeKDC, _ *messages.ASReq) []byte { return k.error(CodePreauthRequired, []byte("garbage")) }, "Generic error (see e-text)"},
		{"garbage in METHOD-DATA", func(k *fakeKDC, _ *messages.ASReq) []byte {
			return k.error(CodePreauthRequired, []byte("\x30\x04\x30\x02\xa1\x00"))
		}, "Generic error (see e-text)"},
		{"garbage as ETYPE-INFO2", func(k *fakeKDC, _ *messages.ASReq) []byte {
			return k.error(CodePreauthRequired, []byte("\x30\x0c\x30\x0a\xa1\x03\x02\x01\x13\xa2\x03\x04\x01\x30"))
		}, "Generic error (see e-text)"},
		{"preauthentication again and again", func(k *fakeKDC, _ *messages.ASReq) []byte { return k.error(CodePreauthRequired, k.methodData()) }, "Additional pre-authentication required"},
		{"wrong time", func(k *fakeKDC, _ *messages.ASReq) []byte { return k.error(CodeSkew, nil) }, "Clock skew too great"},
		{"revoked", func(k *fakeKDC, _ *messages.ASReq) []byte { return k.error(CodeClientRevoked, nil) }, "Client's credentials have been revoked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, r := newKDC(t, enctype.AES256SHA1)
			k.answer = func(_ string, req *messages.ASReq) []byte { return c.answer(k, req) }
			r.KDCs = []profile.KDC{k.start()}
			cred, err := GetCredentials(context.Background(), r)
			if cred != nil || err == nil || Message(err) != c.text {
				t.Errorf("%v, want MIT's text %q", err, c.text)
			}
		})
	}
	t.Run("wrong key with preauthentication", func(t *testing.T) {
		k, r := newKDC(t, enctype.AES256SHA1)
		k.preauth, k.key = true, subkeyOf(t, enctype.AES256SHA1)
		r.KDCs = []profile.KDC{k.start()}
		_, err := GetCredentials(context.Background(), r)
		var remote *RemoteError
		if !errors.As(err, &remote) || remote.Code != CodePreauthFailed || remote.Text != "TEXT OF THE KDC" {
			t.Errorf("%v", err)
		}
	})
}

// TestKDCClock: the KDC's time is taken, or its difference is an error.
func TestKDCClock(t *testing.T) {
	for _, c := range []struct {
		clock   time.Duration
		sync    bool
		preauth bool
		want    error
	}{
		{0, true, true, nil},
		{time.Hour, true, false, nil},
		{time.Hour, true, true, nil},
		{-30 * 24 * time.Hour, true, true, nil},
		{2 * time.Minute, true, true, nil},
		{time.Hour, false, false, ErrKDCSkew},
		{-time.Hour, false, false, ErrKDCSkew},
		{time.Hour, false, true, &RemoteError{Code: CodeSkew}},
		{2 * time.Minute, false, false, nil},
	} {
		t.Run(c.clock.String()+map[bool]string{true: ", kdc_timesync"}[c.sync]+map[bool]string{true: ", preauthentication"}[c.preauth], func(t *testing.T) {
			k, r := newKDC(t, enctype.AES256SHA1)
			k.clock, k.preauth, r.SyncTime = c.clock, c.preauth, c.sync
			r.KDCs = []profile.KDC{k.start()}
			cred, err := GetCredentials(context.Background(), r)
			var remote *RemoteError
			switch {
			case c.want == nil && c.sync:
				k.checkCredentials(t, cred, err)
			case c.want == nil:
				if err != nil || cred.Offset != 0 {
					t.Errorf("%v, %+v", err, cred)
				}
			case errors.As(c.want, &remote):
				if want := remote.Code; !errors.As(err, &remote) || remote.Code != want {
					t.Errorf("%v, want code %d", err, want)
				}
			case !errors.Is(err, c.want):
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}
