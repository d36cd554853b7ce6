package dump_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kprop/kprop/pkg/dump"
)

func fixture(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "testdata", "kdb", name))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

var fixtures = []struct {
	file   string
	header dump.Header
}{
	{"dump.v7", dump.Header{Version: 7}},
	{"dump.rev", dump.Header{Version: 7}},
	{"dump.r18", dump.Header{Version: 6}},
	{"dump.r13", dump.Header{Version: 5}},
	{"dump.b7", dump.Header{Version: 4}},
	{"dump.i0", dump.Header{Version: 5, Iprop: true, Serial: 3, Sec: 1795328509, Usec: 430804}},
	{"dump.i1", dump.Header{Version: 7, Iprop: true, IpropVersion: 1, Serial: 3, Sec: 1795328509, Usec: 430804}},
}

func TestRoundTrip(t *testing.T) {
	for _, f := range fixtures {
		data := fixture(t, f.file)
		r, err := dump.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Errorf("%s: %v", f.file, err)
			continue
		}
		if r.Header() != f.header {
			t.Errorf("%s: header %+v, want %+v", f.file, r.Header(), f.header)
		}
		var out bytes.Buffer
		rewrite(t, data, &out)
		if !bytes.Equal(out.Bytes(), data) {
			t.Errorf("%s: written back differently", f.file)
		}
	}
}

// TestDownVersions: writing the records of the newest version in an older one
// gives what MIT writes with the option of that version.
func TestDownVersions(t *testing.T) {
	for _, f := range fixtures[2:5] {
		var out bytes.Buffer
		w, err := dump.NewWriter(&out, f.header)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range records(t, fixture(t, "dump.v7")) {
			if err := w.Write(rec); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.Bytes(), fixture(t, f.file)) {
			t.Errorf("dump.v7 written as version %d is not %s", f.header.Version, f.file)
		}
	}
}

// records reads a whole dump into copies.
func records(tb testing.TB, data []byte) []dump.Record {
	tb.Helper()
	r, err := dump.NewReader(bytes.NewReader(data))
	var all []dump.Record
	for err == nil {
		var rec dump.Record
		rec, err = r.Next()
		switch rec := rec.(type) {
		case *dump.Principal:
			all = append(all, rec.Clone())
		case *dump.Policy:
			all = append(all, rec.Clone())
		}
	}
	if err.Error() != "EOF" {
		tb.Fatal(err)
	}
	return all
}

func TestFields(t *testing.T) {
	got := make(map[string]*dump.Principal)
	var policies []string
	for _, rec := range records(t, fixture(t, "dump.v7")) {
		switch rec := rec.(type) {
		case *dump.Principal:
			got[string(rec.Name)] = rec
		case *dump.Policy:
			policies = append(policies, fmt.Sprintf("%s %d %d %d %s", rec.Name, rec.PWMaxLife, rec.PWMaxFail, rec.LockoutDuration, rec.AllowedKeysalts))
		}
	}
	want := "basic 0 0 0 |lockout 0 3 3600 |lockperm 0 2 0 |onlyaes 0 0 0 aes256-cts,aes128-cts|withhist 7776000 0 0 "
	if s := strings.Join(policies, "|"); s != want {
		t.Errorf("policies %s\nwant %s", s, want)
	}
	if p := got["K/M@KDB.TEST"]; p.Attributes != 8388672 || len(p.Keys) != 2 || p.Keys[0].KVNO != 2 || p.Keys[1].KVNO != 1 {
		t.Errorf("K/M: %v", p)
	}
	if p := got["frank@KDB.TEST"]; p.FailAuthCount != 3 || p.LastFailed == 0 || string(p.Policy()) != "lockout" {
		t.Errorf("frank: fail_auth_count %d, last_failed %d, policy %s", p.FailAuthCount, p.LastFailed, p.Policy())
	}
	if p := got["carol@KDB.TEST"]; p.Expiration != 1577934245 || p.PWExpiration != 0 {
		t.Errorf("carol: expiration %d, pw_expiration %d", p.Expiration, p.PWExpiration)
	}
	mia := got["mia@KDB.TEST"]
	if len(mia.Keys) != 3 || mia.Keys[0].Version != 2 {
		t.Errorf("mia: %v", mia)
	}
	if kvno, ok := got["aftermkey2@KDB.TEST"].MKVNO(); !ok || kvno != 2 {
		t.Errorf("aftermkey2: MKVNO %d, %v", kvno, ok)
	}
}

func TestHeaders(t *testing.T) {
	for _, c := range []struct{ line, fault string }{
		{"kdb5_util load_dump version 4", ""},
		{"kdb5_util load_dump version 7", ""},
		{"iprop 0 4294967295 1", ""},
		{"ipropx 1 3 1795328509 430804", ""},
		{"", "not a dump"},
		{"kdb5_util load_dump version 7\r", "CR LF"},
		{"kdb5_util load_dump version 8", "not 4, 5, 6 or 7"},
		{"kdb5_util load_dump version 7 ", "not 4, 5, 6 or 7"},
		{"kdb5_edit load_dump version 3.0", "beta 6"},
		{"kdb5_edit load_dump version 2.0", "old format"},
		{"OpenV*Secure V1.0\t", "OpenV*Secure"},
		{"iprop 1 2", "three numbers"},
		{"iprop 1 2 3 4", "three numbers"},
		{"iprop 1 2 -3", "decimal"},
		{"iprop 1 2 03", "decimal"},
		{"iprop 1 2 4294967296", "decimal"},
		{"ipropx 0 1 2 3", "not 1"},
		{"ipropx 2 1 2 3", "not 1"},
		{"ipropx", "not a dump"},
		{"ipropy 1 1 2 3", "not a dump"},
	} {
		h, err := dump.ParseHeader(c.line)
		if c.fault == "" {
			if err != nil || h.String() != c.line {
				t.Errorf("ParseHeader(%q) = %q, %v", c.line, h, err)
			}
			continue
		}
		var f *dump.FaultError
		if !errors.As(err, &f) || f.Line != 1 || !strings.Contains(err.Error(), c.fault) {
			t.Errorf("ParseHeader(%q): %v, want %q", c.line, err, c.fault)
		}
	}
}

// TestSecrets: no way of printing a record shows what may be a key.
func TestSecrets(t *testing.T) {
	const secret = "\x20\x00SECRETSECRET"
	k := dump.KeyData{Version: 1, KVNO: 3, Type: [2]int16{18}, Contents: [2][]byte{[]byte(secret), []byte(secret)}}
	tl := dump.TL{Type: 3, Data: []byte(secret)}
	p := &dump.Principal{Name: []byte("a@R"), TL: []dump.TL{tl}, Keys: []dump.KeyData{k}, EData: []byte(secret)}
	for _, v := range []any{p, *p, k, &k, tl, &tl, p.Keys, p.TL, dump.Report{KM: p, Sample: []dump.Principal{*p}},
		struct{ P dump.Principal }{*p}, []*dump.Principal{p}, map[string]dump.KeyData{"k": k}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			out := fmt.Sprintf(verb, v)
			for _, leak := range []string{"SECRET", "534543", "83 69 67", "0x53, 0x45"} {
				if strings.Contains(out, leak) {
					t.Errorf("%s of %T shows the key: %s", verb, v, out)
				}
			}
		}
	}
}

func TestSortKeys(t *testing.T) {
	p := &dump.Principal{}
	for _, k := range [][2]int{{1, 18}, {3, 17}, {1, 17}, {3, 18}} {
		p.Keys = append(p.Keys, dump.KeyData{KVNO: uint16(k[0]), Type: [2]int16{int16(k[1])}})
	}
	p.SortKeys()
	if got := fmt.Sprint(p.Keys); got != "[key kvno 3 enctype 17 key kvno 3 enctype 18 key kvno 1 enctype 18 key kvno 1 enctype 17]" {
		t.Error(got)
	}
}

func TestWriterRefuses(t *testing.T) {
	if _, err := dump.NewWriter(&bytes.Buffer{}, dump.Header{Version: 3}); err == nil {
		t.Error("a header of version 3 is written")
	}
	w, err := dump.NewWriter(&bytes.Buffer{}, dump.Header{Version: 7})
	if err != nil {
		t.Fatal(err)
	}
	long := make([]byte, 65536)
	for name, rec := range map[string]dump.Record{
		"no realm":      &dump.Principal{Name: []byte("a")},
		"raw TAB":       &dump.Principal{Name: []byte("a\tb@R")},
		"long name":     &dump.Principal{Name: []byte(strings.Repeat("a", 32766) + "@R")},
		"long tl":       &dump.Principal{Name: []byte("a@R"), TL: []dump.TL{{Type: 300, Data: long}}},
		"many tl":       &dump.Principal{Name: []byte("a@R"), TL: make([]dump.TL, 32768)},
		"key version":   &dump.Principal{Name: []byte("a@R"), Keys: []dump.KeyData{{Version: 3}}},
		"long key":      &dump.Principal{Name: []byte("a@R"), Keys: []dump.KeyData{{Version: 1, Contents: [2][]byte{long}}}},
		"empty policy":  &dump.Policy{},
		"TAB in policy": &dump.Policy{Name: []byte("a\tb")},
		"long keysalts": &dump.Policy{Name: []byte("a"), AllowedKeysalts: long[:513]},
	} {
		if err := w.Write(rec); err == nil {
			t.Errorf("%s: written", name)
		}
	}
}

// TestPutHex: of every length, from what the standard library makes of it.
func TestPutHex(t *testing.T) {
	var data [256 + 9]byte
	for i := range data {
		data[i] = byte(i * 7)
	}
	for n := range data {
		dst := make([]byte, 2*n+1)
		dump.PutHex(dst, data[len(data)-n:])
		if want := hex.EncodeToString(data[len(data)-n:]) + "\x00"; string(dst) != want {
			t.Fatalf("%d bytes: %q, want %q", n, dst, want)
		}
	}
}
