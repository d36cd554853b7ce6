package kdb

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/dump"
)

const fixtures = "../../testdata/kdb"

// principals reads all principals of a dump.
func principals(t testing.TB, path string) map[string]*dump.Principal {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := dump.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]*dump.Principal)
	for {
		rec, err := r.Next()
		if err != nil {
			break
		}
		if p, ok := rec.(*dump.Principal); ok {
			out[string(p.Name)] = p.Clone()
		}
	}
	if len(out) != 45 {
		t.Fatalf("%d principals in %s", len(out), path)
	}
	return out
}

const kmName = "K/M@KDB.TEST"

func fixtureKM(t testing.TB) *dump.Principal {
	t.Helper()
	return principals(t, fixtures+"/dump.v7")[kmName]
}

func mustStash(t testing.TB, name string) *Stash {
	t.Helper()
	s, err := LoadStash(filepath.Join(fixtures, name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// stashOf makes a stash in memory.
func stashOf(t testing.TB, name string, keys ...MasterKey) *Stash {
	t.Helper()
	p, err := principal.Parse(name, "")
	if err != nil {
		t.Fatal(err)
	}
	kt := &keytab.Keytab{}
	for _, k := range keys {
		if err := kt.Append(keytab.Entry{Principal: p, KVNO: k.KVNO, EType: int32(k.Key.ID()), Key: k.Key.Bytes()}); err != nil {
			t.Fatal(err)
		}
	}
	s, err := ParseStash(kt.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func kinds(findings []Finding) string {
	var out []string
	names := map[FindingKind]string{StashMatches: "matches", StashDiffers: "differs", StashUnknownKVNO: "unknown",
		StashOnlyOld: "old", MKVNOWrong: "mkvno", AuxMissing: "noaux", AuxWrong: "aux", ActiveUnknown: "active"}
	for _, f := range findings {
		out = append(out, fmt.Sprintf("%s%d", names[f.Kind], f.KVNO))
	}
	return strings.Join(out, " ")
}

func TestStashFixtures(t *testing.T) {
	for _, c := range []struct{ name, keys, findings string }{
		{"stash", "[kvno 2, aes256-cts-hmac-sha1-96 kvno 1, aes256-cts-hmac-sha1-96]", "matches2 matches1"},
		{"stash.kvno2-only", "[kvno 2, aes256-cts-hmac-sha1-96]", "matches2"},
		{"stash.legacy", "[kvno unknown, aes256-cts-hmac-sha1-96]", "matches2"},
	} {
		s := mustStash(t, c.name)
		if got := fmt.Sprint(s.Keys); got != c.keys {
			t.Errorf("%s: keys %s, want %s", c.name, got, c.keys)
		}
		if s.Legacy != (c.name == "stash.legacy") {
			t.Errorf("%s: legacy %t", c.name, s.Legacy)
		}
		findings, err := CheckStash(fixtureKM(t), filepath.Join(fixtures, c.name))
		if err != nil || kinds(findings) != c.findings {
			t.Errorf("%s: %v, %v; want %s", c.name, findings, err, c.findings)
		}
		for _, f := range findings {
			if f.Problem() {
				t.Errorf("%s: %v is a problem", c.name, f)
			}
		}
	}
}

// The documented master passwords give the keys that the stash opens.
func TestMasterPasswords(t *testing.T) {
	m, err := OpenMasterKeys(fixtureKM(t), mustStash(t, "stash.kvno2-only"))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range m.Keys {
		want, err := enctype.StringToKey(k.EType, fmt.Sprintf("fixture-master-%d", k.KVNO), "KDB.TESTKM", nil)
		if err != nil || !k.Key.Equal(want) {
			t.Errorf("%v differs from its password's key (%v)", k, err)
		}
	}
	if len(m.Keys) != 2 || m.Newest().KVNO != 2 {
		t.Errorf("keys %v", m.Keys)
	}
}

// Every key of the fixture opens, with a length that its enctype wants.
func TestDecryptAllKeys(t *testing.T) {
	all := principals(t, fixtures+"/dump.v7")
	m, err := OpenMasterKeys(all[kmName], mustStash(t, "stash"))
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	for name, p := range all {
		for _, kd := range p.Keys {
			if _, err := m.Decrypt(p, kd); err != nil {
				t.Error(err)
			}
			if name != kmName {
				opened++
			}
		}
	}
	if opened != 243 {
		t.Errorf("%d keys opened, want 243", opened)
	}
	alice := all["alice@KDB.TEST"]
	want, err := enctype.StringToKey(enctype.ID(alice.Keys[0].Type[0]), "Alice-Secret-1", "KDB.TESTalice", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := m.Decrypt(alice, alice.Keys[0]); err != nil || !got.Equal(want) {
		t.Errorf("alice's key is not that of her password (%v)", err)
	}
}

func TestDecryptErrors(t *testing.T) {
	all := principals(t, fixtures+"/dump.v7")
	m, err := OpenMasterKeys(all[kmName], mustStash(t, "stash"))
	if err != nil {
		t.Fatal(err)
	}
	change := func(edit func(p *dump.Principal)) error {
		p := all["bob@KDB.TEST"].Clone()
		edit(p)
		_, err := m.Decrypt(p, p.Keys[0])
		return err
	}
	for name, c := range map[string]struct {
		edit func(p *dump.Principal)
		want error
	}{
		"foreign version": {func(p *dump.Principal) { p.TL = append([]dump.TL{{Type: 8, Data: []byte{9, 0}}}, p.TL...) }, ErrDamaged},
		"other version":   {func(p *dump.Principal) { p.TL = append([]dump.TL{{Type: 8, Data: []byte{2, 0}}}, p.TL...) }, ErrDamaged},
		"bit flipped":     {func(p *dump.Principal) { p.Keys[0].Contents[0][20] ^= 1 }, ErrDamaged},
		"no data":         {func(p *dump.Principal) { p.Keys[0].Contents[0] = nil }, ErrDamaged},
		"length too long": {func(p *dump.Principal) { p.Keys[0].Contents[0][1] = 1 }, ErrDamaged},
		"wrong enctype":   {func(p *dump.Principal) { p.Keys[0].Type[0] = 17 }, ErrDamaged},
		"old enctype":     {func(p *dump.Principal) { p.Keys[0].Type[0] = 1 }, enctype.ErrUnknown},
	} {
		if err := change(c.edit); !errors.Is(err, c.want) || !strings.Contains(err.Error(), "bob@KDB.TEST") {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestActiveKVNO(t *testing.T) {
	km := fixtureKM(t)
	m, err := OpenMasterKeys(km, mustStash(t, "stash"))
	if err != nil {
		t.Fatal(err)
	}
	data, _ := km.Find(dump.TLActKVNO)
	since := time.Unix(int64(binary.LittleEndian.Uint32(data[10:])), 0)
	for at, want := range map[time.Time]uint32{since: 2, since.Add(-time.Second): 1, time.Unix(-5, 0): 1, since.Add(time.Hour): 2} {
		if got := m.ActiveKVNO(at); got != want {
			t.Errorf("active at %v: %d, want %d", at, got, want)
		}
	}
	m.active = nil
	if got := m.ActiveKVNO(since); got != 1 {
		t.Errorf("active without a list: %d, want 1", got)
	}
}

func TestStashFindings(t *testing.T) {
	full := mustStash(t, "stash").Keys
	two, one := full[0], full[1]
	wrong, err := enctype.RandomKey(enctype.AES256SHA1)
	if err != nil {
		t.Fatal(err)
	}
	number := func(k MasterKey, kvno uint32) MasterKey { k.KVNO = kvno; return k }
	for name, c := range map[string]struct {
		stash []MasterKey
		edit  func(km *dump.Principal)
		want  string
	}{
		"old only":                {[]MasterKey{one}, nil, "matches1 old2"},
		"old one under new kvno":  {[]MasterKey{number(one, 2)}, nil, "differs2 old2"},
		"kvno not there":          {[]MasterKey{number(two, 7)}, nil, "unknown7"},
		"old one differs":         {[]MasterKey{two, {KVNO: 1, Key: wrong}}, nil, "matches2 differs1"},
		"no auxiliary keys":       {[]MasterKey{two}, dropTL(dump.TLMKeyAux), "matches2 noaux1"},
		"auxiliary keys cut":      {[]MasterKey{two}, cutTL(dump.TLMKeyAux), "matches2 aux0 noaux1"},
		"no MKVNO":                {[]MasterKey{two}, dropTL(dump.TLMKVNO), "matches2"},
		"wrong MKVNO":             {[]MasterKey{two}, setTL(dump.TLMKVNO, "0100"), "matches2 mkvno1"},
		"active one is not there": {[]MasterKey{two}, setTL(dump.TLActKVNO, "01000500ffffff00"), "matches2 active5"},
	} {
		km := fixtureKM(t)
		if c.edit != nil {
			c.edit(km)
		}
		m, err := OpenMasterKeys(km, stashOf(t, kmName, c.stash...))
		if err != nil || kinds(m.Findings) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
			if err == nil {
				t.Log(m.Findings)
			}
		}
	}
}

func dropTL(typ int16) func(*dump.Principal) {
	return func(km *dump.Principal) {
		for i := range km.TL {
			if km.TL[i].Type == typ {
				km.TL[i].Type = 255
			}
		}
	}
}

func setTL(typ int16, hexData string) func(*dump.Principal) {
	return func(km *dump.Principal) {
		data, err := hex.DecodeString(hexData)
		if err != nil {
			panic(err)
		}
		dropTL(typ)(km)
		km.TL = append(km.TL, dump.TL{Type: typ, Data: data})
	}
}

func cutTL(typ int16) func(*dump.Principal) {
	return func(km *dump.Principal) {
		for i := range km.TL {
			if km.TL[i].Type == typ {
				km.TL[i].Data = km.TL[i].Data[:len(km.TL[i].Data)-1]
			}
		}
	}
}

func TestStashDoesNotOpen(t *testing.T) {
	one := mustStash(t, "stash").Keys[1]
	wrong, err := enctype.RandomKey(enctype.AES256SHA1)
	if err != nil {
		t.Fatal(err)
	}
	km := fixtureKM(t)
	_, err = OpenMasterKeys(km, stashOf(t, kmName, MasterKey{KVNO: 1, Key: wrong}))
	var me *MasterKeyError
	if !errors.As(err, &me) || me.KVNO != 2 || me.Stash.KVNO != 1 {
		t.Fatalf("wrong key: %v", err)
	}
	if want := "the stash (kvno 1, aes256-cts-hmac-sha1-96) does not open K/M@KDB.TEST (kvno 2)"; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %q, want %q", err, want)
	}
	dropTL(dump.TLMKeyAux)(km)
	if _, err = OpenMasterKeys(km, stashOf(t, kmName, one)); !errors.As(err, &me) {
		t.Errorf("old key without auxiliary keys: %v", err)
	}
	if _, err := OpenMasterKeys(km, stashOf(t, "K/M@OTHER.TEST", one)); err == nil || !strings.Contains(err.Error(), "K/M@OTHER.TEST") {
		t.Errorf("stash of another realm: %v", err)
	}
	if _, err := OpenMasterKeys(&dump.Principal{Name: []byte(kmName)}, mustStash(t, "stash")); !errors.Is(err, ErrDamaged) {
		t.Errorf("K/M without keys: %v", err)
	}
	km = fixtureKM(t)
	km.Keys[1].Contents[0][9] ^= 1
	if _, err := OpenMasterKeys(km, mustStash(t, "stash")); !errors.Is(err, ErrDamaged) {
		t.Errorf("second key damaged: %v", err)
	}
	km = fixtureKM(t)
	setTL(dump.TLActKVNO, "0200010000000000")(km)
	if _, err := OpenMasterKeys(km, mustStash(t, "stash")); !errors.Is(err, ErrDamaged) {
		t.Errorf("ACTKVNO of another version: %v", err)
	}
}

func TestParseStashForms(t *testing.T) {
	key := bytes.Repeat([]byte{0x5a}, 32)
	le := append([]byte{18, 0, 32, 0, 0, 0}, key...)
	be := append([]byte{0, 18, 0, 0, 0, 32}, key...)
	for _, data := range [][]byte{le, be} {
		if s, err := ParseStash(data); err != nil || s.Keys[0].EType != 18 || !s.Legacy {
			t.Errorf("legacy stash %x: %v", data[:6], err)
		}
	}
	for name, data := range map[string][]byte{
		"empty":           {},
		"short":           {18, 0, 32, 0, 0, 0},
		"cut":             le[:30],
		"long":            append(bytes.Clone(le), 0),
		"unknown enctype": append([]byte{99, 0, 32, 0, 0, 0}, key...),
		"wrong length":    append([]byte{17, 0, 32, 0, 0, 0}, key...),
		"empty keytab":    {5, 2},
		"cut keytab":      {5, 2, 0, 0, 0, 9, 1},
		"keytab, bad key": shortKeyStash(t),
	} {
		_, err := ParseStash(data)
		if !errors.Is(err, ErrStash) {
			t.Errorf("%s: %v, want ErrStash", name, err)
		} else if strings.Contains(err.Error(), "ZZZ") || strings.Contains(err.Error(), "5a5a") {
			t.Errorf("%s: the error shows key bytes: %v", name, err)
		}
	}
	if _, err := LoadStash(t.TempDir() + "/absent"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent stash: %v", err)
	}
}

func shortKeyStash(t *testing.T) []byte {
	t.Helper()
	kt := &keytab.Keytab{}
	if err := kt.Append(keytab.Entry{Principal: principal.New("R", "K", "M"), KVNO: 1, EType: 18, Key: []byte("ZZZZ")}); err != nil {
		t.Fatal(err)
	}
	return kt.Marshal()
}

func TestStashIsNotPrinted(t *testing.T) {
	s := mustStash(t, "stash")
	m, err := OpenMasterKeys(fixtureKM(t), s)
	if err != nil {
		t.Fatal(err)
	}
	raw := s.Keys[0].Key.Bytes()
	shown := []string{string(raw[:4]), hex.EncodeToString(raw[:4]), fmt.Sprint(raw[:4])[1:8]}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		for _, v := range []any{s, *s, s.Keys, s.Keys[0], &s.Keys[0], m, *m} {
			out := fmt.Sprintf(verb, v)
			for _, secret := range shown {
				if strings.Contains(out, secret) {
					t.Errorf("%s of %T shows key bytes", verb, v)
				}
			}
		}
	}
}

func FuzzParseStash(f *testing.F) {
	for _, name := range []string{"stash", "stash.legacy"} {
		data, err := os.ReadFile(filepath.Join(fixtures, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<14 {
			return
		}
		s, err := ParseStash(data)
		if err != nil && !errors.Is(err, ErrStash) {
			t.Fatal(err)
		}
		if err == nil && len(s.Keys) == 0 {
			t.Fatal("a stash without keys and error")
		}
	})
}

func FuzzOpenMasterKeys(f *testing.F) {
	km := fixtureKM(f)
	stash := mustStash(f, "stash")
	old := stashOf(f, kmName, stash.Keys[1])
	for _, typ := range []int16{dump.TLMKVNO, dump.TLActKVNO, dump.TLMKeyAux} {
		data, _ := km.Find(typ)
		f.Add(typ, data, km.Keys[1].Contents[0], true)
		f.Add(typ, data, km.Keys[1].Contents[0], false)
	}
	f.Fuzz(func(t *testing.T, typ int16, tl, contents []byte, useOld bool) {
		if len(tl) > 1<<12 || len(contents) > 1<<12 {
			return
		}
		p := km.Clone()
		p.TL = append([]dump.TL{{Type: typ, Data: tl}}, p.TL...)
		p.Keys[1].Contents[0] = contents
		s := stash
		if useOld {
			s = old
		}
		m, err := OpenMasterKeys(p, s)
		if err != nil {
			return
		}
		if m.ActiveKVNO(time.Unix(1<<31, 0)); m.Newest().KVNO != 2 {
			t.Fatalf("newest kvno %d", m.Newest().KVNO)
		}
		for _, kd := range p.Keys {
			_, _ = m.Decrypt(p, kd)
		}
	})
}
