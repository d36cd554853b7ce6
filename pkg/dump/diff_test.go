package dump_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/dump"
)

// diff compares two dumps and gives the changes as lines.
func diff(tb testing.TB, a, b []byte, o dump.DiffOptions) ([]string, *dump.DiffReport) {
	tb.Helper()
	var lines []string
	rep, err := dump.Diff(bytes.NewReader(a), bytes.NewReader(b), o, func(c *dump.Change) error {
		lines = append(lines, c.String())
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return lines, rep
}

// edited gives a dump of version 7 with one of the fixture's principals or
// policies changed. A nil change removes it.
func edited(tb testing.TB, name string, change func(*dump.Principal), policy func(*dump.Policy)) []byte {
	tb.Helper()
	r, err := dump.NewReader(bytes.NewReader(fixture(tb, "dump.v7")))
	if err != nil {
		tb.Fatal(err)
	}
	var out bytes.Buffer
	w, err := dump.NewWriter(&out, r.Header())
	if err != nil {
		tb.Fatal(err)
	}
	for rec, err := r.Next(); err == nil; rec, err = r.Next() {
		switch rec := rec.(type) {
		case *dump.Principal:
			if string(rec.Name) == name {
				if change == nil {
					continue
				}
				change(rec)
			}
		case *dump.Policy:
			if string(rec.Name) == name {
				if policy == nil {
					continue
				}
				policy(rec)
			}
		}
		if err := w.Write(rec); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func setTL(p *dump.Principal, t int16, data []byte) {
	for i := range p.TL {
		if p.TL[i].Type == t {
			p.TL[i].Data = data
			return
		}
	}
	p.TL = append(p.TL, dump.TL{Type: t, Data: data})
}

func le32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

// Keys of bob, whose kvno is 4 with aes256 and aes128.
func TestDiffPrincipalFields(t *testing.T) {
	for _, c := range []struct {
		what   string
		name   string
		change func(*dump.Principal)
		want   string
	}{
		{"nothing", "bob", func(p *dump.Principal) {}, ""},
		{"order of tl_data", "bob", func(p *dump.Principal) { slices.Reverse(p.TL) }, ""},
		{"logins", "bob", func(p *dump.Principal) { p.LastSuccess, p.LastFailed, p.FailAuthCount = 1, 2, 3 }, ""},
		{"kvno", "bob", func(p *dump.Principal) { p.Keys[0].KVNO, p.Keys[1].KVNO = 5, 5 }, "kvno 4 -> 5"},
		{"keepold", "bob", func(p *dump.Principal) {
			k := p.Keys[0]
			k.KVNO = 5
			p.Keys = append([]dump.KeyData{k}, p.Keys...)
		}, "kvno 4 -> 5, enctypes -aes128-cts-hmac-sha1-96, old kvnos +4"},
		{"key", "bob", func(p *dump.Principal) { p.Keys[1].Contents[0][20] ^= 1 }, "keys changed"},
		{"enctype", "bob", func(p *dump.Principal) { p.Keys[0].Type[0] = 20 },
			"enctypes +aes256-cts-hmac-sha384-192 -aes256-cts-hmac-sha1-96"},
		{"unknown enctype", "bob", func(p *dump.Principal) { p.Keys[0].Type[0] = 99 },
			"enctypes +enctype-99 -aes256-cts-hmac-sha1-96"},
		{"order of enctypes", "bob", func(p *dump.Principal) { slices.Reverse(p.Keys) },
			"enctypes aes256-cts-hmac-sha1-96,aes128-cts-hmac-sha1-96 -> aes128-cts-hmac-sha1-96,aes256-cts-hmac-sha1-96"},
		{"no keys", "bob", func(p *dump.Principal) { p.Keys = nil },
			"kvno 4 -> none, enctypes -aes256-cts-hmac-sha1-96 -aes128-cts-hmac-sha1-96"},
		{"old key", "HTTP/www.kdb.test", func(p *dump.Principal) { p.Keys[5].Contents[0][9] ^= 1 }, "old keys 1 changed"},
		{"purge", "HTTP/www.kdb.test", func(p *dump.Principal) { p.Keys = p.Keys[:2] }, "old kvnos -2 -1"},
		{"salt type", "renamed", func(p *dump.Principal) { p.Keys[0].Type[1], p.Keys[1].Type[1] = 2, 2 }, "salt special -> norealm"},
		{"salt", "renamed", func(p *dump.Principal) { p.Keys[0].Contents[1][0] ^= 1 }, "salt changed"},
		{"attributes", "erin", func(p *dump.Principal) { p.Attributes ^= 0x40 | 0x80 | 1 | 0x10000 },
			"attributes +allow_tix +requires_preauth +0x00010000 -allow_postdated"},
		{"expiration", "bob", func(p *dump.Principal) { p.Expiration = 1 << 31 }, "expiration never -> 2038-01-19T03:14:08Z"},
		{"password expiration", "dave", func(p *dump.Principal) { p.PWExpiration = 0 },
			"password expiration 2021-06-07T08:09:10Z -> never"},
		{"lives", "bob", func(p *dump.Principal) { p.MaxLife, p.MaxRenewableLife = 36061, 604800 },
			"max life 1d -> 10h1m1s, max renewable life 0 -> 7d"},
		{"policy", "bob", func(p *dump.Principal) { setTL(p, dump.TLKadmData, kadm("other")) },
			"policy withhist -> other, password history 2 -> 0"},
		{"no policy", "ivan", func(p *dump.Principal) { setTL(p, dump.TLKadmData, kadm("")) }, "policy nosuchpolicy -> none"},
		{"history", "bob", func(p *dump.Principal) {
			d, _ := p.Find(dump.TLKadmData)
			d[len(d)-20] ^= 1
		}, "password history changed"},
		{"kadm data", "alice", func(p *dump.Principal) {
			d, _ := p.Find(dump.TLKadmData)
			d[len(d)-5] ^= 1
		}, "kadm data changed"},
		{"string attributes", "alice", func(p *dump.Principal) { setTL(p, 11, []byte("mail\x00other\x00new\x00\x00")) },
			"string attribute mail changed, string attribute new added, string attribute otp removed"},
		{"mkvno", "bob", func(p *dump.Principal) { setTL(p, dump.TLMKVNO, []byte{2, 0}) }, "mkvno 1 -> 2"},
		{"modified", "bob", func(p *dump.Principal) { setTL(p, dump.TLModPrinc, append(le32(1), "x/admin@R\x00"...)) },
			"modified 1970-01-01T00:00:01Z by x/admin@R"},
		{"password changed", "nokey", func(p *dump.Principal) { setTL(p, dump.TLLastPwdChange, le32(7)) },
			"password changed 2026-11-22T06:17:43Z -> 1970-01-01T00:00:07Z"},
		{"unlocked", "bob", func(p *dump.Principal) { setTL(p, 1792, le32(9)) }, "unlocked none -> 1970-01-01T00:00:09Z"},
		{"alias", "bob", func(p *dump.Principal) { setTL(p, 12, []byte("to@R\x00")) }, "alias target none -> to@R"},
		{"unknown tl_data", "bob", func(p *dump.Principal) { setTL(p, -7, []byte("x")) }, "tl_data -7 added"},
		{"second value", "bob", func(p *dump.Principal) { p.TL = append(p.TL, dump.TL{Type: 8, Data: []byte{9, 0}}) }, "tl_data 8 changed"},
	} {
		name := c.name + "@KDB.TEST"
		old, now := edited(t, name, func(*dump.Principal) {}, nilPolicy), edited(t, name, c.change, nilPolicy)
		lines, rep := diff(t, old, now, dump.DiffOptions{})
		var want []string
		counts := dump.DiffCounts{Same: 45}
		if c.want != "" {
			want = []string{"~ " + name + "  " + c.want}
			counts = dump.DiffCounts{Same: 44, Changed: 1}
		}
		if d := cmp.Diff(want, lines); d != "" {
			t.Errorf("%s: %s", c.what, d)
		}
		if rep.Principals != counts || rep.Policies.Same != 5 || rep.Equal() != (c.want == "") || rep.MasterKey ||
			rep.LoginsOnly != map[string]int{"logins": 1}[c.what] {
			t.Errorf("%s: %+v", c.what, rep)
		}
	}
}

func nilPolicy(*dump.Policy) {}

// kadm is a KADM_DATA with a policy and no history.
func kadm(policy string) []byte {
	be := binary.BigEndian
	b := be.AppendUint32(nil, 0x12345c01)
	if policy == "" {
		b = append(b, 0, 0, 0, 0)
	} else {
		b = be.AppendUint32(b, uint32(len(policy)+1))
		b = append(b, policy...)
		for b = append(b, 0); len(b)%4 != 0; {
			b = append(b, 0)
		}
	}
	return append(b, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0)
}

func TestDiffPolicyFields(t *testing.T) {
	old := fixture(t, "dump.v7")
	now := edited(t, "lockout", nil, func(p *dump.Policy) {
		p.PWMinLife, p.PWMaxLife, p.PWMinLength, p.PWMinClasses, p.PWHistoryNum = 60, 3600, 9, 3, 4
		p.PWMaxFail, p.FailCountInterval, p.LockoutDuration = 7, 120, 86401
		p.Attributes, p.MaxLife, p.MaxRenewableLife, p.AllowedKeysalts = 0x80, 5, 6, []byte("aes256-cts")
		p.RefCount = 9
		p.TL = []dump.TL{{Type: 5, Data: []byte("x")}}
	})
	lines, rep := diff(t, old, now, dump.DiffOptions{})
	if len(lines) != 1 || rep.Policies != (dump.DiffCounts{Changed: 1, Same: 4}) {
		t.Fatal(lines, rep)
	}
	for _, want := range []string{"~ policy lockout  ", "min password life 0 -> 1m", "max password life ", "-> 1h", "min password length ",
		"-> 9", "min password classes 1 -> 3", "password history 1 -> 4", "max failures ", "-> 7", "failure count interval ", "-> 2m",
		"lockout duration ", "-> 1d1s", "attributes +requires_preauth", "max life 0 -> 5s", "max renewable life 0 -> 6s",
		"allowed keysalts none -> aes256-cts", "tl_data 5 added"} {
		if !strings.Contains(lines[0], want) {
			t.Errorf("%q is not in %q", want, lines[0])
		}
	}
	if lines, _ = diff(t, edited(t, "lockout", nil, nil), old, dump.DiffOptions{}); !slices.Equal(lines, []string{"+ policy lockout"}) {
		t.Error(lines)
	}
	if lines, _ = diff(t, old, edited(t, "lockout", nil, nil), dump.DiffOptions{}); !slices.Equal(lines, []string{"- policy lockout"}) {
		t.Error(lines)
	}
}

// TestDiffOptions: what is left out by default, and shown on request.
func TestDiffOptions(t *testing.T) {
	old := fixture(t, "dump.v7")
	now := edited(t, "alice@KDB.TEST", func(p *dump.Principal) {
		p.LastSuccess, p.LastFailed, p.FailAuthCount = 1, 2, 3
		setTL(p, 11, []byte("mail\x00other\x00new\x00secret\x00"))
	}, nilPolicy)
	lines, _ := diff(t, old, now, dump.DiffOptions{Logins: true, Values: true})
	want := []string{`~ alice@KDB.TEST  string attribute mail alice@kdb.test -> other, string attribute new none -> secret, ` +
		`string attribute otp [{\type\:\x\}] -> none, ` +
		`last success never -> 1970-01-01T00:00:01Z, last failed never -> 1970-01-01T00:00:02Z, fail auth count 0 -> 3`}
	if d := cmp.Diff(want, lines); d != "" {
		t.Error(d)
	}
}

// TestDiffOrder: master key first, then by name, whatever the order of the
// dumps.
func TestDiffOrder(t *testing.T) {
	newKM := strings.Replace(kmLine, "2000000102", "2000ff0102", 1)
	tgt := plain("krbtgt/R@R")
	a := header7 + plain("a@R") + kmLine + plain("b@R") + tgt + plain("x@R")
	b := header7 + plain("A@R") + newKM + withPolicy("b@R", "abc") + tgt
	want := []string{"~ K/M@R  keys changed", "+ A@R", "- a@R", "~ b@R  policy none -> abc", "- x@R"}
	for _, order := range []struct{ a, b string }{
		{a, b}, {reversed(a), b}, {a, reversed(b)}, {reversed(a), reversed(b)}, {inOrder(a), b}, {a, inOrder(b)}, {inOrder(a), inOrder(b)},
	} {
		lines, rep := diff(t, []byte(order.a), []byte(order.b), dump.DiffOptions{})
		if d := cmp.Diff(want, lines); d != "" {
			t.Error(d)
		}
		if !rep.MasterKey || rep.Principals != (dump.DiffCounts{Added: 1, Removed: 2, Changed: 2, Same: 1}) {
			t.Errorf("%+v", rep)
		}
	}
}

// inOrder puts the lines into the order of their names.
func inOrder(text string) string {
	lines := strings.Split(strings.TrimSuffix(strings.TrimPrefix(text, header7), "\n"), "\n")
	name := func(line string) string { return strings.Split(line, "\t")[6] }
	slices.SortFunc(lines, func(x, y string) int { return strings.Compare(name(x), name(y)) })
	return header7 + strings.Join(lines, "\n") + "\n"
}

func reversed(text string) string {
	lines := strings.SplitAfter(strings.TrimPrefix(text, header7), "\n")
	slices.Reverse(lines)
	return header7 + strings.Join(lines, "")
}

// TestDiffDuplicates: the last of several counts, as in a load.
func TestDiffDuplicates(t *testing.T) {
	lines, rep := diff(t, []byte(small(plain("a@R"), withPolicy("a@R", "abc"))), []byte(small(plain("a@R"))), dump.DiffOptions{})
	if !slices.Equal(lines, []string{"~ a@R  policy abc -> none"}) || rep.A.Duplicates != 1 {
		t.Error(lines, rep.A)
	}
}

// TestDiffVersions: what the older formats leave out is all that differs.
func TestDiffVersions(t *testing.T) {
	newest := fixture(t, "dump.v7")
	for _, c := range []struct {
		file       string
		principals int
		policies   int
	}{{"dump.v7", 0, 0}, {"dump.rev", 0, 0}, {"dump.i1", 0, 0}, {"dump.r18", 0, 1}, {"dump.r13", 0, 3}, {"dump.b7", 43, 3}} {
		_, rep := diff(t, newest, fixture(t, c.file), dump.DiffOptions{})
		if rep.Principals.Changed != c.principals || rep.Policies.Changed != c.policies || rep.Principals.Added+rep.Principals.Removed > 0 {
			t.Errorf("%s: %+v %+v", c.file, rep.Principals, rep.Policies)
		}
	}
}

// TestDiffLacks: a dump of some principals is compared, and what it lacks is
// told.
func TestDiffLacks(t *testing.T) {
	lines, rep := diff(t, []byte(header7+plain("a@R")), []byte(header7), dump.DiffOptions{})
	if !slices.Equal(lines, []string{"- a@R"}) || !errors.Is(rep.A.Lacks, dump.ErrNoKM) || !errors.Is(rep.B.Lacks, dump.ErrEmpty) || rep.MasterKey {
		t.Errorf("%v %+v", lines, rep)
	}
	if _, rep = diff(t, []byte(small()), []byte(header7), dump.DiffOptions{}); !rep.MasterKey {
		t.Error("the missing master key is not told")
	}
}

func TestDiffFaults(t *testing.T) {
	good := small(plain("a@R"))
	bad := strings.Replace(good, "a@R\t0\t0", "a@R\t0\tx", 1)
	never := func(*dump.Change) error { return errors.New("reported") }
	for _, c := range []struct {
		a, b   string
		second bool
	}{{bad, good, false}, {good, bad, true}, {bad, bad, false}, {good, good[:len(good)-1], true}} {
		_, err := dump.Diff(strings.NewReader(c.a), strings.NewReader(c.b), dump.DiffOptions{}, never)
		var which *dump.DiffError
		var fault *dump.FaultError
		if !errors.As(err, &which) || which.Second != c.second || !errors.As(err, &fault) || fault.Line != 4 {
			t.Errorf("%v", err)
		}
	}
	if _, err := dump.Diff(strings.NewReader(""), strings.NewReader(good), dump.DiffOptions{}, never); !errors.Is(err, dump.ErrEmpty) {
		t.Error(err)
	}
	if _, err := dump.Diff(strings.NewReader(good), strings.NewReader(small()), dump.DiffOptions{}, never); err == nil || err.Error() != "reported" {
		t.Error(err)
	}
}

// changing is a dump that changes after n bytes were read.
type changing struct {
	first, then []byte
	left        int64
}

func (c *changing) ReadAt(p []byte, off int64) (int, error) {
	from := c.first
	if c.left <= 0 {
		from = c.then
	}
	n, err := bytes.NewReader(from).ReadAt(p, off)
	c.left -= int64(n)
	return n, err
}

// TestDiffChanging: a dump that is written to between the two readings gives an
// error, not wrong changes.
func TestDiffChanging(t *testing.T) {
	good := []byte(small(plain("x@R"), plain("y@R")))
	for _, then := range []string{
		"", header7, small(), small(plain("x@R")), small(plain("z@R"), plain("y@R")), strings.Replace(string(good), "\t0\t0\t0", "\tx\t0\t0", 1),
		strings.ReplaceAll(string(good), "princ", "trash"), string(good[:len(good)-3]),
	} {
		for _, sorted := range []string{string(good), reversed(string(good))} {
			if sorted != string(good) && strings.Contains(then, "z@R") {
				continue // another order is no wonder there
			}
			c := &changing{first: []byte(sorted), then: []byte(then), left: int64(len(good))}
			_, err := dump.Diff(c, bytes.NewReader(good), dump.DiffOptions{}, func(*dump.Change) error { return nil })
			if !errors.Is(err, dump.ErrDiffChanged) {
				t.Errorf("from %q to %q: %v", sorted, then, err)
			}
		}
	}
}

// TestDiffShowsNoKeys: no byte of a key or of a string attribute's value is in
// any text.
func TestDiffShowsNoKeys(t *testing.T) {
	old := fixture(t, "dump.v7")
	var secrets []string
	r, _ := dump.NewReader(bytes.NewReader(old))
	var out bytes.Buffer
	w, _ := dump.NewWriter(&out, r.Header())
	for rec, err := r.Next(); err == nil; rec, err = r.Next() {
		if p, ok := rec.(*dump.Principal); ok {
			for i := range p.Keys {
				secrets = append(secrets, string(p.Keys[i].Contents[0][8:16]))
				p.Keys[i].Contents[0][30] ^= 1
			}
		}
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	_, err := dump.Diff(bytes.NewReader(old), bytes.NewReader(out.Bytes()), dump.DiffOptions{}, func(c *dump.Change) error {
		text := fmt.Sprintf("%s %+v %#v", c, c, c.Fields)
		for _, s := range secrets {
			if strings.Contains(text, s) || strings.Contains(text, fmt.Sprintf("%x", s)) {
				t.Errorf("%s shows a key", c)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDiffGenerated: a larger realm, in which each n-th principal changes.
func TestDiffGenerated(t *testing.T) {
	var a, b bytes.Buffer
	if _, err := krbtest.GenDump(&a, krbtest.GenOptions{Principals: 3000, Policies: 20}); err != nil {
		t.Fatal(err)
	}
	r, _ := dump.NewReader(bytes.NewReader(a.Bytes()))
	w, _ := dump.NewWriter(&b, r.Header())
	var want []string
	for n := 1; ; n++ {
		rec, err := r.Next()
		if err != nil {
			break
		}
		p, ok := rec.(*dump.Principal)
		switch {
		case ok && n%7 == 0:
			want = append(want, "- "+string(p.Name))
			continue
		case ok && n%11 == 0:
			p.MaxLife++
			want = append(want, "~ "+string(p.Name))
		case ok && n%13 == 0:
			p.LastSuccess++
		}
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	lines, rep := diff(t, a.Bytes(), b.Bytes(), dump.DiffOptions{})
	for i := range lines {
		lines[i], _, _ = strings.Cut(lines[i], "  ")
	}
	if d := cmp.Diff(want, lines); d != "" || rep.LoginsOnly == 0 {
		t.Errorf("%+v %s", rep, d)
	}
	for i := range want {
		want[i] = strings.Replace(want[i], "- ", "+ ", 1)
	}
	lines, _ = diff(t, b.Bytes(), []byte(reversed(a.String())), dump.DiffOptions{})
	for i := range lines {
		lines[i], _, _ = strings.Cut(lines[i], "  ")
	}
	if d := cmp.Diff(want, lines); d != "" {
		t.Error(d)
	}
}
