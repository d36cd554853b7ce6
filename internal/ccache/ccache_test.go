package ccache

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/kprop/kprop/internal/principal"
)

var (
	alice = principal.New("R.TEST", "alice")
	tgt   = principal.New("R.TEST", "krbtgt", "R.TEST")
	host  = principal.New("R.TEST", "host", "h.test")
)

// made writes a cache as MIT's library does.
type made struct {
	version byte
	header  string
	creds   []Credential
}

func addData(b *cryptobyte.Builder, data string) {
	b.AddUint32(uint32(len(data)))
	b.AddBytes([]byte(data))
}

func addPrincipal(b *cryptobyte.Builder, n principal.Name) {
	b.AddUint32(1)
	b.AddUint32(uint32(len(n.Components)))
	addData(b, n.Realm)
	for _, c := range n.Components {
		addData(b, c)
	}
}

func (m made) bytes(t testing.TB) []byte {
	t.Helper()
	var b cryptobyte.Builder
	b.AddBytes([]byte{5, m.version})
	if m.version == 4 {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(m.header)) })
	}
	addPrincipal(&b, alice)
	for _, c := range m.creds {
		addPrincipal(&b, c.Client)
		addPrincipal(&b, c.Server)
		b.AddUint16(uint16(c.EType))
		if m.version == 3 {
			b.AddUint16(uint16(c.EType))
		}
		addData(&b, string(c.Key))
		for range 2 {
			b.AddUint32(1)
		}
		b.AddUint32(uint32(c.EndTime.Unix()))
		b.AddUint32(0)
		b.AddBytes([]byte{0, 1, 2, 3, 4})
		b.AddUint32(1) // one address
		b.AddUint16(2)
		addData(&b, "\x7f\x00\x00\x01")
		b.AddUint32(0)
		addData(&b, string(c.Ticket))
		addData(&b, "")
	}
	data, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func sample() []Credential {
	late := time.Unix(1<<32-2, 0) // beyond 2038
	setting := principal.New("X-CACHECONF:", "krb5_ccache_conf_data", "pa_type")
	return []Credential{
		{Client: alice, Server: setting, Ticket: []byte("2")},
		{Client: alice, Server: tgt, EType: 18, Key: []byte("key one"), EndTime: time.Unix(0, 0), Ticket: []byte("removed")},
		{Client: alice, Server: tgt, EType: 18, Key: []byte("key two"), EndTime: time.Unix(2, 0), Ticket: []byte("old")},
		{Client: alice, Server: tgt, EType: -133, Key: []byte("key three"), EndTime: late, Ticket: []byte("new")},
		{Client: host, Server: host, EType: 18, EndTime: late, Ticket: []byte("of another client")},
	}
}

const offsetHeader = "\x00\x01\x00\x08\xff\xff\xff\xfe\x00\x00\x00\x05"

func TestParse(t *testing.T) {
	for _, m := range []made{{version: 3}, {version: 4}, {version: 4, header: offsetHeader}, {version: 4, header: "\x00\x63\x00\x01x" + offsetHeader}} {
		m.creds = sample()
		c, err := Parse(m.bytes(t))
		if err != nil {
			t.Fatal(err)
		}
		want := time.Duration(0)
		if m.header != "" {
			want = -2*time.Second + 5*time.Microsecond
		}
		if !c.Client.Equal(alice) || len(c.Credentials) != 3 || c.Offset != want {
			t.Errorf("version %d: %+v", m.version, c)
		}
		got, ok := c.Find(tgt)
		if !ok || string(got.Ticket) != "new" || string(got.Key) != "key three" || got.EType != -133 || got.EndTime.Unix() != 1<<32-2 {
			t.Errorf("version %d: %+v", m.version, got)
		}
		if got, ok := c.Find(host); ok {
			t.Errorf("version %d: %+v", m.version, got)
		}
	}
}

func TestParseBad(t *testing.T) {
	whole := made{version: 4, creds: sample()[2:3]}.bytes(t)
	if c, err := Parse(whole[:len(made{version: 4}.bytes(t))]); err != nil || len(c.Credentials) != 0 {
		t.Errorf("a cache without credentials: %v", err)
	}
	for n := range whole {
		if n == len(made{version: 4}.bytes(t)) {
			continue
		}
		if _, err := Parse(whole[:n]); !errors.Is(err, ErrFormat) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	for _, data := range []string{"\x05\x01", "\x05\x02xxxx", "\x05\x05", "\x04\x04", "\x05\x04\xff\xff", "\x05\x03\x00\x00\x00\x01\xff\xff\xff\xff",
		strings.Repeat("\x05", MaxSize+1)} {
		if _, err := Parse([]byte(data)); !errors.Is(err, ErrFormat) {
			t.Errorf("%.20q: %v", data, err)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "tkt1")
	if err := os.WriteFile(file, made{version: 4, creds: sample()}.bytes(t), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load("DIR:" + dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory without a cache: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "primary"), []byte("tkt1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file, "FILE:" + file, "DIR:" + dir, "DIR::" + file} {
		if c, err := Load(name); err != nil || c.Name != name || !c.Client.Equal(alice) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"KEYRING:persistent:0", "KCM:", "MEMORY:x", "API:"} {
		if _, err := Load(name); !errors.Is(err, ErrType) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{"../tkt1", "other", ""} {
		if err := os.WriteFile(filepath.Join(dir, "primary"), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load("DIR:" + dir); !errors.Is(err, ErrFormat) {
			t.Errorf("primary %q: %v", bad, err)
		}
	}
	if _, err := Load(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := Load(dir); err == nil {
		t.Error("a directory is a cache")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(made{version: 3, creds: sample()}.bytes(f))
	f.Add(made{version: 4, header: offsetHeader, creds: sample()}.bytes(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Error(err)
			}
			return
		}
		total := 0
		for _, cred := range c.Credentials {
			total += len(cred.Key) + len(cred.Ticket)
		}
		if total > len(data) {
			t.Errorf("%d bytes out of %d", total, len(data))
		}
	})
}
