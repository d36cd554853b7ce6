package transport

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/ccache"
	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/profile"
)

// tgsParties are a request, and a good answer to it.
func tgsParties(t testing.TB) (r *tgsRequest, reply *asReply, tkt []byte, session *enctype.Key) {
	t.Helper()
	id := enctype.AES128SHA1
	tgtKey, session := fuzzKey(t, id), fuzzKey(t, enctype.AES256SHA2)
	now := time.Now()
	tgt := &Credentials{Client: primary, Server: principal.New(testRealm, "krbtgt", testRealm), Key: tgtKey, EndTime: now.Add(time.Hour)}
	tgt.Ticket = makeTicket(t, tgtKey, tgtKey, ticketOptions{client: primary, server: tgt.Server, kvno: 1, start: now, end: tgt.EndTime})
	r = &tgsRequest{tgt: tgt, server: replica, etypes: []int32{int32(session.ID())}, nonce: 4711, time: now}
	reply = &asReply{client: primary, server: replica, nonce: 4711, tag: tagEncTGSPart, key: tgtKey, session: session, authTime: now}
	tkt = makeTicket(t, session, session, ticketOptions{client: primary, server: replica, kvno: 1, start: now, end: now})
	return r, reply, tkt, session
}

// TestTGSReply: only an answer to the request is believed.
func TestTGSReply(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*tgsRequest, *asReply)
		usage uint32
		want  error // nil: success
	}{
		"good":             {func(*tgsRequest, *asReply) {}, usageTGSRep, nil},
		"nonce":            {func(_ *tgsRequest, a *asReply) { a.nonce++ }, usageTGSRep, ErrKDCReply},
		"other server":     {func(_ *tgsRequest, a *asReply) { a.server = primary }, usageTGSRep, ErrKDCReply},
		"other ticket":     {func(*tgsRequest, *asReply) {}, usageTGSRep, ErrKDCReply},
		"other client":     {func(_ *tgsRequest, a *asReply) { a.client = replica }, usageTGSRep, ErrKDCReply},
		"other enctype":    {func(r *tgsRequest, _ *asReply) { r.etypes = []int32{17} }, usageTGSRep, ErrKDCReply},
		"weak session key": {func(_ *tgsRequest, a *asReply) { a.session = subkeyOf(t, enctype.RC4) }, usageTGSRep, ErrKDCReply},
		"other key":        {func(_ *tgsRequest, a *asReply) { a.key = subkeyOf(t, enctype.AES128SHA1) }, usageTGSRep, &Error{}},
		"other usage":      {func(*tgsRequest, *asReply) {}, usageASRep, &Error{}},
	} {
		r, reply, tkt, session := tgsParties(t)
		test.spoil(r, reply)
		if name == "other ticket" {
			tkt = makeTicket(t, session, session, ticketOptions{client: primary, server: primary, kvno: 1})
		}
		c, err := r.open(reply.message(t, tagTGSRep, test.usage, tkt), 0)
		var own *Error
		switch {
		case test.want == nil:
			if err != nil || !c.Key.Equal(session) || string(c.Ticket) != string(tkt) || !c.Server.Equal(replica) {
				t.Errorf("%s: %+v, %v", name, c, err)
			}
		case test.want == ErrKDCReply && !errors.Is(err, ErrKDCReply), test.want != ErrKDCReply && !errors.As(err, &own):
			t.Errorf("%s: %v", name, err)
		}
	}
	r, reply, tkt, _ := tgsParties(t)
	if _, err := r.open(reply.message(t, tagASRep, usageTGSRep, tkt), 0); err == nil {
		t.Error("an AS-REP is taken for a TGS-REP")
	}
}

func FuzzTGSRep(f *testing.F) {
	r, reply, tkt, session := tgsParties(f)
	f.Add(reply.message(f, tagTGSRep, usageTGSRep, tkt))
	f.Add(errorMessage(f, CodeServerUnknown, "no"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		c, err := r.open(msg, 0)
		if (c == nil) == (err == nil) || c != nil && !c.Key.Equal(session) {
			t.Errorf("%v, %v", c, err)
		}
	})
}

// nodeProfile is the profile of a node of a realm.
func nodeProfile(t *testing.T, n *krbtest.Node) *profile.Profile {
	t.Helper()
	env := map[string]string{}
	for _, e := range n.Env() {
		name, value, _ := strings.Cut(e, "=")
		env[name] = value
	}
	p, err := profile.Load(profile.Options{Env: func(name string) string { return env[name] }})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// listenGranting is a krdistd that says back what it hears.
func listenGranting(t *testing.T, n *krbtest.Node) (port string, peers chan principal.Name) {
	t.Helper()
	a, _, err := HostAcceptor(context.Background(), nodeProfile(t, n), n.RealmName(), "FILE:"+n.Keytab, KrdistVersion, Timeouts{})
	if err != nil {
		t.Fatal(err)
	}
	a.Replays = newReplays(t, filepath.Join(t.TempDir(), "rcache2")) // not this machine's
	l, _ := listenBoth(t)
	t.Cleanup(func() { l.Close() })
	peers = make(chan principal.Name, 10)
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			if s, err := grant(a, nc); err == nil {
				peers <- s.Peer()
				_, _ = io.Copy(s, s)
				_ = s.CloseWrite()
				s.Close()
			}
		}
	}()
	return l.Addr().String()[len("127.0.0.1:"):], peers
}

// dialed opens a stream and uses it.
func dialed(t *testing.T, d *Dialer) {
	t.Helper()
	s, err := d.Dial(context.Background(), "alice", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(s); string(got) != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestMITCache: tickets by kinit, and with them service tickets from the real
// KDC, or those that kvno has put into the cache.
func TestMITCache(t *testing.T) {
	t.Parallel()
	for _, id := range []enctype.ID{enctype.AES256SHA1, enctype.AES128SHA2, enctype.AES256SHA2, enctype.Camellia256, enctype.RC4, enctype.DES3} {
		t.Run(id.String(), func(t *testing.T) {
			t.Parallel()
			r := krbtest.New(t, krbtest.Options{Enctype: id.String()})
			r.AddPrincipal("alice", "secret")
			r.StartKDC(t)
			if err := r.Primary.Kinit("alice", "secret"); err != nil {
				t.Fatal(err)
			}
			port, peers := listenGranting(t, r.Replica)
			d := &Dialer{Profile: nodeProfile(t, r.Primary), Port: port}
			dialed(t, d)
			if got, want := <-peers, principal.New(r.Name, "alice"); !got.Equal(want) {
				t.Errorf("it is %v, want %v", got, want)
			}
			dialed(t, &Dialer{Profile: d.Profile, Port: port, AsHost: true, Keytab: r.Primary.Keytab})
			if got := <-peers; got.Components[0] != "host" {
				t.Errorf("as host it is %v", got)
			}
			if err := r.Primary.Run("kvno", "host/localhost"); err != nil {
				t.Fatal(err)
			}
			r.Primary.StopKDC()
			dialed(t, d) // by what is in the cache
		})
	}
}

// TestMITCacheRefusals: what is missing is told, with the mend.
func TestMITCacheRefusals(t *testing.T) {
	t.Parallel()
	r := krbtest.New(t, krbtest.Options{})
	r.AddPrincipal("alice", "secret")
	r.Kadmin("addprinc -randkey host/elsewhere.test")
	r.StartKDC(t)
	server := principal.New(r.Name, "host", "localhost")
	p := nodeProfile(t, r.Primary)
	ask := func(cache string, server principal.Name) error {
		_, err := CacheCredentials(context.Background(), p, cache, server)
		return err
	}
	want := func(err error, is error, text string) {
		t.Helper()
		if !errors.Is(err, is) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %q", err, text)
		}
	}
	want(ask(r.Primary.CCache, server), ErrNoCache, "kinit")
	want(ask("KCM:", server), ccache.ErrType, "KRB5CCNAME=FILE:")
	if err := r.Primary.Kinit("alice", "secret"); err != nil {
		t.Fatal(err)
	}
	var remote *RemoteError
	if err := ask(r.Primary.CCache, principal.New(r.Name, "host", "unknown.test")); !errors.As(err, &remote) || remote.Code != CodeServerUnknown {
		t.Errorf("unknown server: %v", err)
	}
	if err := ask(r.Primary.CCache, principal.New("OTHER.TEST", "host", "x")); !errors.As(err, &remote) || remote.Code != CodeServerUnknown {
		t.Errorf("unknown realm: %v", err)
	}
	if err := r.Primary.Run("kinit", "-k", "-t", r.Primary.Keytab, "-l", "20s", "host/"+localHost(t)); err != nil {
		t.Fatal(err)
	}
	want(ask(r.Primary.CCache, server), ErrTGTExpired, "get a new one with kinit")
	if err := r.Primary.Run("kinit", "-k", "-t", r.Primary.Keytab, "-S", "host/elsewhere.test", "host/"+localHost(t)); err != nil {
		t.Fatal(err)
	}
	want(ask(r.Primary.CCache, server), ErrNoTGT, "get one with kinit")
	if err := ask(r.Primary.CCache, principal.New(r.Name, "host", "elsewhere.test")); err != nil {
		t.Errorf("a ticket that is there: %v", err)
	}

	d := &Dialer{Profile: p, AsHost: true, Keytab: r.Primary.Keytab, Port: "1"}
	_, err := d.Dial(context.Background(), "alice", "localhost")
	if err == nil || !strings.Contains(err.Error(), "nothing listens there: start krdistd on localhost") {
		t.Errorf("%v", err)
	}
	d.Keytab = filepath.Join(t.TempDir(), "none")
	if _, err := d.Dial(context.Background(), "alice", "localhost"); err == nil || !strings.Contains(err.Error(), "ktadd") {
		t.Errorf("%v", err)
	}
}

func localHost(t *testing.T) string {
	t.Helper()
	name, err := krbtest.LocalHost()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// TestMITCrossRealm: a user of one realm at a host of another.
func TestMITCrossRealm(t *testing.T) {
	t.Parallel()
	home := krbtest.New(t, krbtest.Options{Realm: "HOME.TEST"})
	away := krbtest.New(t, krbtest.Options{Realm: "AWAY.TEST"})
	for _, r := range []*krbtest.Realm{home, away} {
		r.Kadmin("addprinc -pw shared krbtgt/AWAY.TEST@HOME.TEST")
		r.StartKDC(t)
	}
	home.AddPrincipal("alice", "secret")
	if err := home.Primary.Kinit("alice", "secret"); err != nil {
		t.Fatal(err)
	}
	conf, err := os.ReadFile(home.Primary.Krb5Conf)
	if err != nil {
		t.Fatal(err)
	}
	text := string(conf) + "\tAWAY.TEST = {\n\t\tkdc = " + away.Primary.KDCAddr() + "\n\t}\n"
	if err := os.WriteFile(home.Primary.Krb5Conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	port, peers := listenGranting(t, away.Replica)
	dialed(t, &Dialer{Profile: nodeProfile(t, home.Primary), Realm: "AWAY.TEST", Port: port})
	if got, want := <-peers, principal.New("HOME.TEST", "alice"); !got.Equal(want) {
		t.Errorf("it is %v, want %v", got, want)
	}
}
