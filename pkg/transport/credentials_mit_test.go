package transport

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/profile"
)

// mitRealm is a realm of the real programs, with a request for a ticket for
// host/localhost.
func mitRealm(t *testing.T, o krbtest.Options) (*krbtest.Realm, CredentialRequest) {
	t.Helper()
	own, err := krbtest.LocalHost()
	if err != nil {
		t.Fatal(err)
	}
	realm := krbtest.New(t, o)
	kdc, err := profile.ParseKDC(realm.StartKDC(t))
	if err != nil {
		t.Fatal(err)
	}
	kt, err := keytab.Load("FILE:" + realm.Primary.Keytab)
	if err != nil {
		t.Fatal(err)
	}
	ids := []enctype.ID{}
	for _, name := range append([]string{o.Enctype}, o.SessionEnctypes...) {
		if id, ok := enctype.ByName(name); ok {
			ids = append(ids, id)
		}
	}
	return realm, CredentialRequest{
		Client: principal.New(realm.Name, "host", own),
		Server: principal.New(realm.Name, "host", "localhost"),
		Keytab: kt,
		KDCs:   []profile.KDC{kdc},
		Config: kdcConfig(ids...),
	}
}

// checkWithMIT: the replica's keytab opens the ticket.
func checkWithMIT(t *testing.T, realm *krbtest.Realm, r CredentialRequest, c *Credentials, session enctype.ID) {
	t.Helper()
	kt, err := keytab.Load("FILE:" + realm.Replica.Keytab)
	if err != nil {
		t.Fatal(err)
	}
	p := &parties{cred: c, acceptor: &Acceptor{
		Application: KpropVersion,
		Principals:  []principal.Name{r.Server},
		Keytab:      func() (*keytab.Keytab, error) { return kt, nil },
		Replays:     newReplays(t, filepath.Join(t.TempDir(), "rcache2")),
	}}
	client, server := p.connect(t)
	if !server.Peer().Equal(r.Client) || !server.Self().Equal(r.Server) {
		t.Errorf("%v at %v", server.Peer(), server.Self())
	}
	want, _ := enctype.ByName(realm.Options.Enctype)
	if server.TicketEnctype() != want || client.SessionEnctype() != session {
		t.Errorf("ticket %v, session %v; want %v, %v", server.TicketEnctype(), client.SessionEnctype(), want, session)
	}
}

// TestMITKDC gets tickets from the real KDC.
func TestMITKDC(t *testing.T) {
	for _, id := range enctype.All() {
		t.Run(id.String(), func(t *testing.T) {
			realm, r := mitRealm(t, krbtest.Options{Enctype: id.String()})
			for _, preauth := range []string{"", "+requires_preauth"} {
				if preauth != "" {
					for _, name := range []string{r.Client.String(), r.Server.String()} {
						realm.Kadmin("modprinc " + preauth + " " + name)
					}
				}
				for _, transport := range []string{"", "udp", "tcp"} {
					r.KDCs[0].Transport = transport
					c, err := GetCredentials(context.Background(), r)
					if err != nil {
						t.Fatalf("transport %q %s: %v", transport, preauth, err)
					}
					checkWithMIT(t, realm, r, c, id)
				}
			}
			r.KDCs[0].Transport = ""
			mitRefusals(t, r)
		})
	}
}

// mitRefusals needs preauthentication to be required.
func mitRefusals(t *testing.T, r CredentialRequest) {
	t.Helper()
	unknown := r
	unknown.Server = principal.New(r.Server.Realm, "host", "unknown.test")
	_, err := GetCredentials(context.Background(), unknown)
	var remote *RemoteError
	if !errors.As(err, &remote) || remote.Code != CodeServerUnknown {
		t.Errorf("unknown server: %v", err)
	}

	stale := r
	stale.Keytab = &keytab.Keytab{Name: "FILE:stale.keytab"}
	id := enctype.ID(r.Keytab.Newest(r.Client)[0].EType)
	if err := stale.Keytab.Append(keytab.Entry{Principal: r.Client, KVNO: 1, EType: int32(id), Key: subkeyOf(t, id).Bytes()}); err != nil {
		t.Fatal(err)
	}
	if _, err = GetCredentials(context.Background(), stale); !errors.As(err, &remote) || remote.Code != CodePreauthFailed {
		t.Errorf("stale key: %v", err)
	}
}

// TestMITSessionEnctype: the session key may be of another enctype than the
// ticket, and the conversation uses it.
func TestMITSessionEnctype(t *testing.T) {
	realm, r := mitRealm(t, krbtest.Options{
		Enctype: "aes256-cts-hmac-sha1-96", SessionEnctypes: []string{"aes128-cts-hmac-sha256-128"},
	})
	c, err := GetCredentials(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	checkWithMIT(t, realm, r, c, enctype.AES128SHA2)
}

// TestMITStaleReplicaKeytab: the KDC's key is newer than the replica's.
func TestMITStaleReplicaKeytab(t *testing.T) {
	realm, r := mitRealm(t, krbtest.Options{Enctype: "aes256-cts-hmac-sha1-96"})
	realm.Kadmin("cpw -randkey " + r.Server.String())
	c, err := GetCredentials(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	kt, err := keytab.Load("FILE:" + realm.Replica.Keytab)
	if err != nil {
		t.Fatal(err)
	}
	p := newParties(t, enctype.AES256SHA1, ticketOptions{})
	p.cred = c
	p.acceptor.Principals = []principal.Name{r.Server}
	p.acceptor.Keytab = func() (*keytab.Keytab, error) { return kt, nil }
	client, server := p.handshake(t)
	var own *Error
	if !errors.As(server, &own) || own.Code != CodeBadKeyVersion || !strings.Contains(server.Error(), "it has kvno") {
		t.Errorf("the server says %v", server)
	}
	var remote *RemoteError
	if !errors.As(client, &remote) || remote.Code != CodeBadKeyVersion {
		t.Errorf("the client says %v", client)
	}
}
