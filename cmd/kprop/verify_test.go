package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/krbtest"
)

const kdbFixtures = "../../testdata/kdb"

// noConfig hides the configuration of this host, and gives a kdc.conf with a
// stash for KDB.TEST in its place.
func noConfig(t *testing.T, stash string) {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	text := fmt.Sprintf("[libdefaults]\n default_realm = OTHER\n[realms]\n KDB.TEST = {\n  key_stash_file = %s\n }\n", stash)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KRB5_CONFIG", conf)
	t.Setenv("KRB5_KDC_PROFILE", "/nonexistent")
}

// withMark copies a fixture, with a finished .dump_ok beside it.
func withMark(t *testing.T, fixture string) string {
	t.Helper()
	path := dumpFile(t, readText(t, filepath.Join(kdbFixtures, fixture)))
	if err := os.WriteFile(path+".dump_ok", []byte{0}, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func fixturePath(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(kdbFixtures, name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestVerifyGood(t *testing.T) {
	stash := fixturePath(t, "stash")
	noConfig(t, stash)
	for _, c := range []struct {
		fixture, header, stash string
		args                   []string
	}{
		{"dump.v7", "kdb5_util load_dump version 7", stash + " opens the master key (kvno 2, aes256-cts-hmac-sha1-96) and ", nil},
		{"dump.rev", "kdb5_util load_dump version 7", "39 principals that were tried", []string{"--realm", "KDB.TEST"}},
		{"dump.b7", "kdb5_util load_dump version 4", "stash.legacy opens", []string{"--stash", fixturePath(t, "stash.legacy")}},
		{"dump.i1", "ipropx 1 3 1795328509 430804", "not tried: --no-stash", []string{"--no-stash"}},
	} {
		path := withMark(t, c.fixture)
		got := runAlone(t, newVerifyCommand(), nil, append(c.args, path)...)
		if got.exit != 0 || got.stderr != "" || !strings.HasPrefix(got.stdout, path+": good\n") {
			t.Errorf("%s: %+v", c.fixture, got)
		}
		for _, want := range []string{"  realm          KDB.TEST\n", c.header, "45, with 245 keys\n", "policies       5\n", c.stash} {
			if !strings.Contains(got.stdout, want) {
				t.Errorf("%s: no %q in %s", c.fixture, want, got.stdout)
			}
		}
		if missing := strings.Contains(got.stdout, "not restricted by them: nosuchpolicy"); missing != (c.fixture != "dump.b7") {
			t.Errorf("%s: %s", c.fixture, got.stdout)
		}
	}
}

func TestVerifyStdin(t *testing.T) {
	noConfig(t, filepath.Join(t.TempDir(), "none"))
	f, err := os.Open(filepath.Join(kdbFixtures, "dump.v7"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := runAlone(t, newVerifyCommand(), f, "-")
	if got.exit != 0 || !strings.Contains(got.stdout, "stash          not tried: ") || strings.Contains(got.stdout, "dump_ok") {
		t.Errorf("%+v", got)
	}
}

func TestVerifyBad(t *testing.T) {
	noConfig(t, "/nonexistent")
	good := smallDump(princLine("x@R", "0"))
	for _, c := range []struct {
		text string
		args []string
		want []string
	}{
		{good[:len(good)-5], nil, []string{"dump line 4: the dump ends in the middle of a record", "make it anew on the primary:  kdb5_util dump ", "df -h"}},
		{strings.Replace(good, "x@R\t0\t0", "x@R\t0\tz", 1), nil, []string{`dump line 4, column 24, principal "x@R", max_life: `, "principals     2, with 1 key, as far"}},
		{dumpHeader, nil, []string{"the dump holds no principals"}},
		{dumpHeader + princLine("x@R", "0"), nil, []string{"lacks the master key entry: there is no K/M", "a part of a realm only"}},
		{good, []string{"--realm", "S"}, []string{"the dump is of another realm: it has K/M@\"R\" instead of K/M@S", "kdb5_util -r S dump "}},
		{"no dump\n", nil, []string{"this is not a dump made by kdb5_util dump"}},
		{"", nil, []string{"it has 0 bytes"}},
	} {
		path := dumpFile(t, c.text)
		got := runAlone(t, newVerifyCommand(), nil, append(c.args, path)...)
		if got.exit != 1 || !strings.HasPrefix(got.stdout, path+": NOT GOOD\n  ") {
			t.Errorf("%q: %+v", c.text, got)
		}
		for _, want := range c.want {
			if !strings.Contains(got.stdout, want) {
				t.Errorf("no %q in %s", want, got.stdout)
			}
		}
	}
}

// TestVerifyStash: a stash that opens nothing, and keys that none opens.
func TestVerifyStash(t *testing.T) {
	noConfig(t, "/nonexistent")
	path := withMark(t, "dump.v7")
	broken := dumpFile(t, flipKeys(readText(t, path)))
	trash := dumpFile(t, "trash")
	other := dumpFile(t, "\x12\x00\x20\x00\x00\x00"+strings.Repeat("k", 32))
	for _, c := range []struct {
		stash, dump string
		want        []string
	}{
		{other, path, []string{"does not open K/M@KDB.TEST (kvno 2)", "kdb5_util stash  and copy the file"}},
		{trash, path, []string{"malformed stash file", "kdb5_util stash"}},
		{fixturePath(t, "stash"), broken, []string{"decrypt key of ", "kadmin.local -q 'cpw "}},
	} {
		got := runAlone(t, newVerifyCommand(), nil, "--stash", c.stash, c.dump)
		if got.exit != 1 || !strings.Contains(got.stdout, ": NOT GOOD\n") || !strings.Contains(got.stdout, "stash          "+c.stash+" does not open it\n") {
			t.Errorf("%+v", got)
		}
		for _, want := range c.want {
			if !strings.Contains(got.stdout, want) {
				t.Errorf("no %q in %s", want, got.stdout)
			}
		}
	}
}

// flipKeys changes a digit of every newest key but those of K/M.
func flipKeys(text string) string {
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		at := strings.LastIndex(line, "\t18\t62\t2000")
		if at < 0 || strings.Contains(line, "K/M@") {
			continue
		}
		at += len("\t18\t62\t2000") + 20
		digit := "0"
		if line[at] == '0' {
			digit = "1"
		}
		lines[i] = line[:at] + digit + line[at+1:]
	}
	return strings.Join(lines, "")
}

func TestVerifyDumpOK(t *testing.T) {
	noConfig(t, "/nonexistent")
	path := dumpFile(t, smallDump())
	check := func(want string) {
		t.Helper()
		got := runAlone(t, newVerifyCommand(), nil, path)
		if got.exit != 0 || !strings.Contains(got.stdout, "  warning: ") || !strings.Contains(got.stdout, want) ||
			!strings.Contains(got.stdout, "make it anew:  kdb5_util dump "+path) {
			t.Errorf("%+v, want %q", got, want)
		}
	}
	mark := path + ".dump_ok"
	check("there is no " + mark)
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	check(mark + " is empty")
	if err := os.WriteFile(mark, []byte{0}, 0o600); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(mark, long, long); err != nil {
		t.Fatal(err)
	}
	check(mark + " is older than the dump")
}

func TestVerifyJSON(t *testing.T) {
	noConfig(t, fixturePath(t, "stash"))
	path := withMark(t, "dump.v7")
	var o verifyOutcome
	got := runAlone(t, newVerifyCommand(), nil, path, "--json")
	if err := json.Unmarshal([]byte(got.stdout), &o); err != nil || got.exit != 0 {
		t.Fatal(got, err)
	}
	if !o.Good || o.Problem != nil || o.Principals != 45 || o.Realm != "KDB.TEST" || len(o.Digest) != 64 || !o.Stash.Tried ||
		o.Stash.KVNO != 2 || o.Stash.Keys < 100 || o.Newest.Unix() < 1_700_000_000 || len(o.MissingPolicies) != 1 {
		t.Errorf("%+v", o)
	}
	o = verifyOutcome{}
	got = runAlone(t, newVerifyCommand(), nil, dumpFile(t, smallDump("trash\n")), "--json")
	if err := json.Unmarshal([]byte(got.stdout), &o); err != nil || got.exit != 1 {
		t.Fatal(got, err)
	}
	if o.Good || o.Problem == nil || o.Problem.Line != 4 || o.Problem.Column != 1 || len(o.Problem.Mend) == 0 {
		t.Errorf("%+v", o)
	}
}

// TestVerifyRealm verifies a dump of a real realm with the stash that its
// kdc.conf names, and with that of another realm of the same name.
func TestVerifyRealm(t *testing.T) {
	realm := krbtest.New(t, krbtest.Options{})
	for _, v := range realm.Primary.Env() {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, "KRB5_") {
			t.Setenv(name, value)
		}
	}
	path := realm.Dump()
	got := runAlone(t, newVerifyCommand(), nil, path)
	if got.exit != 0 || !strings.Contains(got.stdout, realm.Primary.Stash+" opens the master key (kvno 1, ") || strings.Contains(got.stdout, "warning") {
		t.Errorf("%+v", got)
	}
	other := krbtest.New(t, krbtest.Options{})
	if got = runAlone(t, newVerifyCommand(), nil, path, "--stash", other.Primary.Stash); got.exit != 1 {
		t.Errorf("%+v", got)
	}
	before := dumpFile(t, readText(t, path))
	realm.Kadmin("modprinc +requires_preauth krbtgt/" + realm.Name)
	got = runAlone(t, newDiffCommand(), nil, before, realm.Dump())
	if want := "~ krbtgt/" + realm.Name + "@" + realm.Name + "  attributes +requires_preauth, "; got.exit != 1 || !strings.HasPrefix(got.stdout, want) {
		t.Errorf("%+v", got)
	}
}

func readText(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestVerifyFails(t *testing.T) {
	noConfig(t, "/nonexistent")
	path := dumpFile(t, smallDump())
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{filepath.Join(t.TempDir(), "none")}, "no such file"},
		{[]string{t.TempDir()}, "is a directory"},
		{[]string{path, "--stash", "/nonexistent/stash"}, "read stash /nonexistent/stash"},
		{nil, "one dump is to be named, not 0"},
		{[]string{path, path}, "one dump is to be named, not 2"},
		{[]string{path, "--stash", "x", "--no-stash"}, "contradict"},
		{[]string{path, "--nonsense"}, "unknown flag"},
	} {
		got := runAlone(t, newVerifyCommand(), io.MultiReader(), c.args...)
		if got.exit != 2 || got.stdout != "" || !strings.Contains(got.stderr, c.want) {
			t.Errorf("%v: %+v", c.args, got)
		}
	}
}
