package lmdb

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kprop/kprop/pkg/dump"
)

// value puts numbers and texts together: uint16, uint32 and strings.
func value(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = le.AppendUint16(b, uint16(p))
		case uint32:
			b = le.AppendUint32(b, p)
		case string:
			b = append(b, p...)
		default:
			panic(fmt.Sprintf("%T", p))
		}
	}
	return b
}

func fixedPart(parts ...any) []byte {
	return value(append([]any{uint32(1), uint32(2), uint32(3), uint32(4), uint32(5)}, parts...)...)
}

func TestDecodePrincipal(t *testing.T) {
	for _, c := range []struct {
		name  string
		value []byte
		fault string // part of it; empty: none
		tl    int
		keys  int
	}{
		{"empty", nil, "attributes ends behind", 0, 0},
		{"bare", fixedPart(0, 0), "", 0, 0},
		{"cut counts", fixedPart(0), "number of keys ends behind", 0, 0},
		{"trailing bytes", fixedPart(0, 0, "xyz"), "", 0, 0},
		{"tl_data", fixedPart(2, 0, 1, 3, "abc", 8, 0), "", 2, 0},
		{"tl_data cut", fixedPart(1, 0, 1, 3, "ab"), "tl_data ends behind", 0, 0},
		{"32768 tl_data", fixedPart(0x8000, 0), "number of tl_data of 32768", 0, 0},
		{"32768 keys", fixedPart(0, 0x8000), "number of keys of 32768", 0, 0},
		{"32767 keys that are not there", fixedPart(0, 0x7fff), "key ends behind", 0, 1},
		{"keys", fixedPart(0, 3, 0, 7, 1, 7, 18, 2, "kk", 2, 8, 17, 1, "k", 4, 0), "", 0, 3},
		{"a key of version 3", fixedPart(0, 1, 3, 7, 1, 0, 1, 0, 1, 0), "a key of version 3", 0, 1},
		{"a key of version 65535", fixedPart(0, 1, 0xffff, 7), "a key of version 65535", 0, 1},
		{"a key cut", fixedPart(0, 1, 1, 7, 18, 200, "kk"), "key ends behind", 0, 1},
	} {
		p := dump.Principal{LastSuccess: 9, TL: make([]dump.TL, 5), Keys: make([]dump.KeyData, 5)}
		fault, at := decodePrincipal(&p, []byte("a@R"), c.value)
		if (fault == "") != (c.fault == "") || !strings.Contains(fault, c.fault) || at > len(c.value) {
			t.Errorf("%s: fault %q at %d, want %q", c.name, fault, at, c.fault)
		}
		if len(p.TL) != c.tl || len(p.Keys) != c.keys || p.LastSuccess != 0 {
			t.Errorf("%s: %v, want %d tl_data and %d keys", c.name, &p, c.tl, c.keys)
		}
		if c.fault == "" && (p.Attributes != 1 || p.MaxLife != 2 || p.MaxRenewableLife != 3 || p.Expiration != 4 || p.PWExpiration != 5) {
			t.Errorf("%s: fields", c.name)
		}
	}
}

func TestLockoutRecord(t *testing.T) {
	for _, c := range []struct {
		value []byte
		want  [3]uint32
	}{
		{value(uint32(1), uint32(2), uint32(3)), [3]uint32{1, 2, 3}},
		{value(uint32(1), uint32(2), uint32(3), "more"), [3]uint32{1, 2, 3}},
		{value(uint32(1), uint32(2)), [3]uint32{}},
		{nil, [3]uint32{}},
	} {
		var p dump.Principal
		setLockout(&p, c.value)
		if got := [3]uint32{p.LastSuccess, p.LastFailed, uint32(p.FailAuthCount)}; got != c.want {
			t.Errorf("%v: %v, want %v", c.value, got, c.want)
		}
	}
}

// FuzzDecode: no record makes the decoder fail in another way than by an error,
// and the size of one that is good is that which was read.
func FuzzDecode(f *testing.F) {
	f.Add(fixedPart(2, 0, 1, 3, "abc", 8, 0))
	f.Add(fixedPart(0, 2, 1, 7, 18, 2, "kk", 2, 8, 17, 1, "k", 4, 0))
	f.Add(bytes.Repeat([]byte{0}, policyFixed+2))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4096 {
			return
		}
		var p dump.Principal
		if fault, at := decodePrincipal(&p, []byte("a@R"), b); fault == "" && at != principalSize(&p) || at > len(b) {
			t.Errorf("principal: read %d, size %d: %s", at, principalSize(&p), fault)
		}
		var q dump.Policy
		if fault, at := decodePolicy(&q, []byte("p"), b); fault == "" && at != policySize(&q) || at > len(b) {
			t.Errorf("policy: read %d, size %d: %s", at, policySize(&q), fault)
		}
	})
}

func TestDatabases(t *testing.T) {
	r, err := OpenRealm(t.Context(), vector("changed"), RealmOptions{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got := r.Main().Databases(); !slices.Equal(got, []string{"policy", "principal"}) {
		t.Errorf("databases %q", got)
	}
	if p, q := r.Counts(); p != 71 || q != 6 {
		t.Errorf("%d principals, %d policies", p, q)
	}
	if _, err := r.Main().Cursor("lockout"); err == nil {
		t.Error("a cursor of a database that is not there")
	}
	if got := r.Main().Info(); got != (Info{4096, 8 << 20, 35, 64, 147456}) {
		t.Errorf("%+v", got)
	}
	// An iprop dump has no lockout data.
	var out bytes.Buffer
	if err := r.Dump(&out, dump.Header{Version: 7, Iprop: true, IpropVersion: 1}); err != nil {
		t.Fatal(err)
	}
	d, err := dump.NewReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	for {
		rec, err := d.Next()
		if err != nil {
			break
		}
		if p, ok := rec.(*dump.Principal); ok && (p.LastSuccess != 0 || p.LastFailed != 0 || p.FailAuthCount != 0) {
			t.Errorf("%s has lockout data", p.Name)
		}
	}
}

// TestNoKeysInErrors: a record that cannot be decoded is named, its bytes are not
// shown.
func TestNoKeysInErrors(t *testing.T) {
	b := contents(t, vector("compact.mdb"))
	at := bytes.Index(b, []byte("alice@KDB.TEST"))
	if at < 0 {
		t.Fatal("no alice")
	}
	copy(b[at+len("alice@KDB.TEST")+20:], u16(0x7fff)) // number of tl_data
	err := everything(b, nil)
	var bad *CorruptError
	if err == nil || !strings.Contains(err.Error(), `record "alice@KDB.TEST": tl_data ends behind the record's`) {
		t.Errorf("error %v", err)
	}
	if bad, _ = err.(*CorruptError); bad == nil || bad.Page != uint64(at/pageBytes) || int(bad.Offset) < at {
		t.Errorf("%#v", bad)
	}
}
