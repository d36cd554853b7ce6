package check

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/transport"
)

func TestHasListener(t *testing.T) {
	const table = `  sl  local_address rem_address   st
   0: 0100007F:02F2 00000000:0000 0A 00000000:00000000
   1: 0100007F:02F3 0100007F:1234 01 00000000:00000000
   2: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 0
`
	for port, want := range map[int]bool{754: true, 755: false, 22: true, 23: false} {
		if got := hasListener(table, port); got != want {
			t.Errorf("port %d: %v, want %v", port, got, want)
		}
	}
}

func TestBrand(t *testing.T) {
	for text, want := range map[string]string{
		"\x00KRB5_BRAND: krb5-1.20.1-final 1.20.1 20221111\x00x": "krb5-1.20.1-final",
		"KRB5_BRAND: krb5-1.9": "krb5-1.9",
		"no brand":             "",
	} {
		if got := brandIn([]byte(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestOwnKDC(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "127.0.0.1:88"},
		{"[kdcdefaults]\nkdc_listen = 750", "127.0.0.1:750"},
		{"[kdcdefaults]\nkdc_listen = 192.0.2.1:89, 90", "192.0.2.1:89"},
		{"[kdcdefaults]\nkdc_ports = 750,88\n[realms]\nR = {\nkdc_listen = [::1]:91\n}", "[::1]:91"},
		{"[kdcdefaults]\nkdc_listen = 0.0.0.0:92", "127.0.0.1:92"},
	} {
		p, err := profile.Parse("kdc.conf", c.text, profile.Options{})
		if err != nil {
			t.Fatal(err)
		}
		f := files{host: &host{profile: p, realm: "R"}}
		if got := f.ownKDC().Addr(); got != c.want {
			t.Errorf("%q: %s, want %s", c.text, got, c.want)
		}
	}
}

func TestSites(t *testing.T) {
	cfg := &config.Config{Realms: []config.Realm{
		{Name: "A", Replicas: []config.Replica{{Name: "a1", Host: "a1.example", Port: "1754", Enabled: true}, {Name: "a2", Host: "a2.example"}}},
		{Name: "B", Replicas: []config.Replica{{Name: "b1", Host: "b1.example", Enabled: true}}},
	}}
	for _, c := range []struct {
		name string
		s    Sending
		cfg  *config.Config
		want string
	}{
		{"nothing", Sending{}, nil, ""},
		{"hosts", Sending{Realm: "X", Replicas: []string{"h1", "h2"}, Port: "7"}, nil, "X h1:7 X h2:7"},
		{"all of the file", Sending{}, cfg, "A a1.example:1754 B b1.example:"},
		{"one realm", Sending{Realm: "B"}, cfg, "B b1.example:"},
		{"by name and host", Sending{Replicas: []string{"b1", "a1.example"}}, cfg, "A a1.example:1754 B b1.example:"},
		{"a stranger", Sending{Replicas: []string{"other"}}, cfg, "A other:"},
		{"a disabled one is a stranger", Sending{Replicas: []string{"a2"}}, cfg, "A a2:"},
		{"a realm that the file has not", Sending{Realm: "C", Replicas: []string{"c"}}, cfg, "C c:"},
		{"the port of -P", Sending{Realm: "A", Port: "9"}, cfg, "A a1.example:9"},
	} {
		var got []string
		for _, at := range c.s.sites(c.cfg) {
			for _, r := range at.replicas {
				got = append(got, at.realm+" "+r.host+":"+r.port)
			}
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s: %s, want %s", c.name, text, c.want)
		}
	}
}

func TestFrames(t *testing.T) {
	heard := []byte{0}
	for _, m := range []string{"", "abc", "de"} {
		heard = binary.BigEndian.AppendUint32(heard, uint32(len(m)))
		heard = append(heard, m...)
	}
	for n, want := range map[int][]string{0: nil, 1: nil, 4: nil, 5: {""}, 11: {""}, 12: {"", "abc"}, len(heard): {"", "abc", "de"}} {
		var got []string
		for _, m := range frames(heard[:n]) {
			got = append(got, string(m))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d bytes: %q, want %q", n, got, want)
		}
	}
}

// What a replica says is read without harm.
func FuzzHeard(f *testing.F) {
	key, err := enctype.RandomKey(enctype.AES256SHA1)
	if err != nil {
		f.Fatal(err)
	}
	p, err := profile.Parse("krb5.conf", "", profile.Options{})
	if err != nil {
		f.Fatal(err)
	}
	h := &host{profile: p, own: principal.New("R", "host", "a"), series: new(series)}
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x04\x6f\x02\x30\x00"))
	f.Add([]byte("\x00\x00\x00\x00\x02\x7e\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, heard []byte) {
		if len(heard) > 4096 {
			return
		}
		for _, m := range frames(heard) {
			if _, ok := hasSubkey(m, &transport.Credentials{Key: key}); ok {
				t.Error("an AP-REP in a key that nobody has")
			}
			r := &remote{host: h, series: new(series), principal: h.own}
			if e, ok := readRefusal(m); ok && len(r.refused(e)) == 0 {
				t.Error("no finding")
			}
		}
	})
}
