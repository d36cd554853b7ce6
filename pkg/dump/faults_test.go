package dump_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/dump"
)

// faultBase is a part of the fixture: K/M, krbtgt, alice and kim, and a policy.
func faultBase(t testing.TB) string {
	t.Helper()
	lines := strings.SplitAfter(string(fixture(t, "dump.v7")), "\n")
	out := lines[0]
	for _, l := range lines[1:] {
		for _, name := range []string{"\tK/M@", "\talice@", "\tkim@", "\tkrbtgt/KDB", "policy\tonlyaes\t"} {
			if strings.Contains(l[:min(len(l), 60)], name) {
				out += l
			}
		}
	}
	return out
}

const (
	keyOf18 = "\t18\t62\t2000" // how each AES-256 key of the fixture begins
	dave    = "princ\t38\t13\t0\t0\t0\tdave@KDB.TEST\t0\t1\t2\t3\t4\t5\t6\t7\t-1;\n"
)

// faults are ways to spoil faultBase. Each replaces the last occurrence of old
// by new, or old is empty and new is a record added at the end. The error must
// contain want; no want means that the dump is good.
var faults = []struct{ name, old, new, want string }{
	{"untouched", "", "", ""},
	{"added principal", "", dave, ""},
	{"signed time", "", strings.Replace(dave, "\t3\t4\t", "\t-3\t-4\t", 1), ""},
	{"upper case hex", "616c69636540", "616C69636540", ""},
	{"another realm", "", strings.Replace(dave, "KDB.TEST", "ABC.TEST", 1), ""},

	{"cut in a record", "\taes256-cts,aes128-cts\t0\n", "\taes256", "middle of a record"},
	{"no LF at the end", "\taes256-cts,aes128-cts\t0\n", "\taes256-cts,aes128-cts\t0", "middle of a record"},
	{"line cut", ";\nprinc\t38\t24\t", "\nprinc\t38\t24\t", `does not end in ";"`},
	{"trash at end", ";\nprinc\t38\t24\t", "; x\nprinc\t38\t24\t", `does not end in ";"`},
	{"two semicolons", ";\nprinc\t38\t24\t", ";;\nprinc\t38\t24\t", "e_data: has more digits"},
	{"blank line", ";\nprinc\t38\t24\t", ";\n\nprinc\t38\t24\t", "line is empty"},
	{"line broken", "\tkim@KDB.TEST\t0", "\tkim@KDB.TEST\n0", `does not end in ";"`},
	{"lines joined", ";\nprinc\t38\t24\t", ";princ\t38\t24\t", "e_data: has more digits"},
	{"End", "", "End\n" + dave, "End record"},
	{"unknown record", "", "user\tx\n", "neither princ nor policy"},
	{"CR LF", ";\nprinc\t38\t24\t", ";\r\nprinc\t38\t24\t", `does not end in ";"`},
	{"space for TAB", "", strings.Replace(dave, "38\t13", "38 13", 1), "len: is not a decimal number"},
	{"two TABs", "", strings.Replace(dave, "38\t13", "38\t\t13", 1), "name_len: is empty"},

	{"len 39", "", strings.Replace(dave, "\t38\t", "\t39\t", 1), "len: is not 38"},
	{"len 0", "", strings.Replace(dave, "\t38\t", "\t0\t", 1), "len: is not 38"},
	{"e_len", "", strings.Replace(strings.Replace(dave, "\t0\tdave", "\t2\tdave", 1), "-1;", "abcd;", 1), "e_data: is not empty"},
	{"e_len without e_data", "", strings.Replace(dave, "\t0\tdave", "\t2\tdave", 1), "e_data: has"},
	{"e_data without e_len", "", strings.Replace(dave, "-1;", "abcd;", 1), "e_data: must be -1"},
	{"name_len + 1", "", strings.Replace(dave, "\t13\t", "\t14\t", 1), "name: is not followed by a TAB"},
	{"name_len - 1", "", strings.Replace(dave, "\t13\t", "\t12\t", 1), "name: is not followed by a TAB"},
	{"name_len 0", "", strings.Replace(dave, "\t13\t", "\t0\t", 1), "name"},
	{"name_len beyond", "", strings.Replace(dave, "\t13\t", "\t2000\t", 1), "name: is shorter"},
	{"name_len too large", "", strings.Replace(dave, "\t13\t", "\t32767\t", 1), "name_len: is out of range"},
	{"name_len negative", "", strings.Replace(dave, "\t13\t", "\t-13\t", 1), "name_len: is out of range"},

	{"no realm", "", strings.Replace(dave, "13\t0\t0\t0\tdave@KDB.TEST", "4\t0\t0\t0\tdave", 1), "name: has no realm"},
	{"two realms", "", strings.Replace(dave, "13\t0\t0\t0\tdave@KDB.TEST", "17\t0\t0\t0\tdave@KDB.TEST@ABC", 1), "name: is not a principal name"},
	{"needless backslash", "", strings.Replace(dave, "13\t0\t0\t0\tdave", "14\t0\t0\t0\t\\dave", 1), "name: is not written as MIT"},
	{"backslash at the end", "", strings.Replace(dave, "13\t0\t0\t0\tdave@KDB.TEST", "14\t0\t0\t0\tdave@KDB.TEST\\", 1), "name: is not a principal name"},
	{"raw TAB", "", strings.Replace(dave, "13\t0\t0\t0\tdave", "13\t0\t0\t0\tda\te", 1), "name: is not written as MIT"},
	{"raw NUL", "", strings.Replace(dave, "dave", "da\x00e", 1), "name: is not written as MIT"},
	{"leading space", "", strings.Replace(dave, "dave", " ave", 1), "name: begins with white space"},
	{"name of 2016 bytes", "", strings.Replace(dave, "13\t0\t0\t0\tdave", "2016\t0\t0\t0\t"+strings.Repeat("d", 2007), 1), "name: has 2016 bytes"},

	{"attributes too large", "", strings.Replace(dave, "TEST\t0\t", "TEST\t2147483648\t", 1), "attributes: is out of range"},
	{"max_life too small", "", strings.Replace(dave, "\t1\t2\t", "\t-2147483649\t2\t", 1), "max_life: is out of range"},
	{"expiration too large", "", strings.Replace(dave, "\t3\t4\t", "\t4294967296\t4\t", 1), "expiration: is out of range"},
	{"20 digits", "", strings.Replace(dave, "\t3\t4\t", "\t18446744073709551619\t4\t", 1), "expiration: is out of range"},
	{"leading zero", "", strings.Replace(dave, "\t3\t4\t", "\t03\t4\t", 1), "expiration: has a needless zero"},
	{"plus sign", "", strings.Replace(dave, "\t3\t4\t", "\t+3\t4\t", 1), "expiration: is not a decimal number"},
	{"negative zero", "", strings.Replace(dave, "\t3\t4\t", "\t-0\t4\t", 1), "expiration: has a needless zero"},
	{"letter", "", strings.Replace(dave, "\t3\t4\t", "\t3\tx\t", 1), "pw_expiration: is not a decimal number"},
	{"field lacking", "", strings.Replace(dave, "\t3\t4\t", "\t3\t", 1), "fail_auth_count: is followed by the end"},
	{"field too many", "", strings.Replace(dave, "\t3\t4\t", "\t3\t3\t4\t", 1), "e_data"},

	{"n_tl + 1", "\t4\t2\t0\tkim@", "\t5\t2\t0\tkim@", "key 1 version"},
	{"n_tl - 1", "\t4\t2\t0\tkim@", "\t3\t2\t0\tkim@", "key 1"},
	{"n_tl beyond", "\t4\t2\t0\tkim@", "\t32768\t2\t0\tkim@", "n_tl: is out of range"},
	{"n_key + 1", "\t4\t2\t0\tkim@", "\t4\t3\t0\tkim@", "key 3 version"},
	{"n_key - 1", "\t4\t2\t0\tkim@", "\t4\t1\t0\tkim@", "e_data"},
	{"n_key negative", "\t4\t2\t0\tkim@", "\t4\t-2\t0\tkim@", "n_key: is out of range"},
	{"bad hex", keyOf18, "\t18\t62\t20g0", "has a byte that is not a hex digit"},
	{"hex with space", keyOf18, "\t18\t62\t20 00", "has a byte that is not a hex digit"},
	{"digit lacking", keyOf18, "\t18\t62\t200", "has fewer digits than its length says"},
	{"digit too many", keyOf18, "\t18\t62\t20000", "has more digits than its length says"},
	{"length too small", keyOf18, "\t18\t61\t2000", "has more digits than its length says"},
	{"length too large", keyOf18, "\t18\t63\t2000", "has fewer digits than its length says"},
	{"length 0", keyOf18, "\t18\t0\t2000", "must be -1"},
	{"length 65536", keyOf18, "\t18\t65598\t2000", "length: is out of range"},
	{"key version 3", "\t1\t1" + keyOf18, "\t3\t1" + keyOf18, "version: is out of range"},
	{"key version -1", "", strings.Replace(dave, "13\t0\t0\t0\tdave@KDB.TEST\t0\t1\t2\t3\t4\t5\t6\t7", "13\t0\t1\t0\tdave@KDB.TEST\t0\t1\t2\t3\t4\t5\t6\t7\t-1\t1", 1), "key 1 version: is out of range"},
	{"kvno too large", "\t1\t1" + keyOf18, "\t1\t65537" + keyOf18, "kvno: is out of range"},
	{"enctype too large", keyOf18, "\t65554\t62\t2000", "type: is out of range"},
	{"tl type too large", "\t8\t2\t0100\t1\t4", "\t65544\t2\t0100\t1\t4", "type: is out of range"},

	{"key length of another enctype", keyOf18, "\t18\t62\t1000", "the key's length is not that of its enctype"},
	{"enctype of another key", keyOf18, "\t17\t62\t2000", "the key's length is not that of its enctype"},
	{"password change of 2 bytes", "\t8\t2\t0100\t1\t4", "\t1\t2\t0100\t1\t4", "last password change"},
	{"master key version of 4 bytes", "\t8\t2\t0100\t1\t4", "\t8\t4\t01000000\t1\t4", "master key version"},
	{"KADM_DATA version", "12345c01", "12345c02", "KADM_DATA has an unknown version"},
	{"KADM_DATA too long", "\t3\t32\t12345c01", "\t3\t33\t0012345c01", "KADM_DATA has an unknown version"},
	{"KADM_DATA history count", "0000080000000000000000020000000", "0000080000000000000000020000001", "KADM_DATA is not well formed"},
	{"modification without NUL", "\t2\t24\t", "\t2\t23\t", "has more digits"},
	{"DB_ARGS", "", strings.Replace(dave, "13\t0\t0\t0\tdave@KDB.TEST\t0\t1\t2\t3\t4\t5\t6\t7", "13\t1\t0\t0\tdave@KDB.TEST\t0\t1\t2\t3\t4\t5\t6\t7\t32767\t2\t6100", 1), "type 32767"},

	{"policy without name", "policy\tonlyaes\t", "policy\t\t", "name: is empty"},
	{"policy tag alone", "", "policy\t\n", "name: is empty"},
	{"policy name alone", "", "policy\tp\n", "name: is empty, or the line ends"},
	{"policy with space", "policy\tonlyaes\t", "policy\tonly aes\t", "name: has white space"},
	{"policy cut", "\taes256-cts,aes128-cts\t0\n", "\n", "max_renewable_life"},
	{"policy of 10 fields", "\t0\t0\t0\taes256-cts,aes128-cts\t0\n", "\n", ""},
	{"policy of 7 fields", "", "policy\tseven\t0\t0\t1\t1\t1\t0\n", "refcnt"},
	{"policy with more fields", "\taes256-cts,aes128-cts\t0\n", "\taes256-cts,aes128-cts\t0\t0\n", "n_tl: is 0, but the line goes on"},
	{"policy with letters", "policy\tonlyaes\t0", "policy\tonlyaes\tx", "min_life: is not a decimal number"},
	{"policy number too large", "policy\tonlyaes\t0", "policy\tonlyaes\t4294967296", "min_life: is out of range"},
	{"policy keysalts too long", "aes256-cts,aes128-cts", strings.Repeat("a", 513), "allowed_keysalts"},
	{"policy keysalts with NUL", "aes256-cts,aes128-cts", "aes256-cts\x00,aes128-cts", "allowed_keysalts: has a NUL byte"},
	{"policy name with NUL", "policy\tonlyaes", "policy\tonly\x00aes", "name: has a NUL byte"},
	{"policy tl", "aes128-cts\t0\n", "aes128-cts\t1\t300\t1\t2a\n", ""},
	{"policy name too long", "policy\tonlyaes", "policy\t" + strings.Repeat("a", 1024), "name: is longer"},

	{"no K/M", "\tK/M@", "\tK/N@", "lacks the master key"},
	{"no krbtgt", "\tkrbtgt/KDB.TEST@", "\tkrbtgt/KDB.TESR@", "lacks the realm's ticket-granting"},
}

func spoil(t testing.TB, base, old, with string) string {
	t.Helper()
	if old == "" {
		return base + with
	}
	i := strings.LastIndex(base, old)
	if i < 0 {
		t.Fatalf("the fixture has no %q", old)
	}
	return base[:i] + with + base[i+len(old):]
}

func TestFaults(t *testing.T) {
	base := faultBase(t)
	for _, c := range faults {
		_, err := dump.Verify(strings.NewReader(spoil(t, base, c.old, c.new)), dump.VerifyOptions{Realm: "KDB.TEST"})
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v\nwant %q", c.name, err, c.want)
			continue
		}
		var f *dump.FaultError
		if errors.As(err, &f) && (f.Line < 2 || f.Line > 7 || strings.Contains(err.Error(), "2000")) {
			t.Errorf("%s: line %d: %v", c.name, f.Line, err)
		}
	}
}

// TestFaultPlace: line, column and principal of a fault.
func TestFaultPlace(t *testing.T) {
	data := small(strings.Replace(plain("x@R"), "\t0\t-1;", "\tz\t-1;", 1))
	_, err := dump.Verify(strings.NewReader(data), dump.VerifyOptions{})
	want := `dump line 4, column 36, principal "x@R", fail_auth_count: is not a decimal number`
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

// TestCutAnywhere: wherever a dump is cut, except behind a record once K/M
// and krbtgt have come, it is refused.
func TestCutAnywhere(t *testing.T) {
	data := []byte(faultBase(t))
	krbtgt := bytes.Index(data, []byte("krbtgt/KDB"))
	for n := range data {
		_, err := dump.Verify(bytes.NewReader(data[:n]), dump.VerifyOptions{})
		whole := n > krbtgt && data[n-1] == '\n'
		if (err == nil) != whole {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

// TestMITDamage: whatever kdb5_util load turns into a database that does not
// hold what the dump says, we refuse. With -v the table of both sides' answers
// is printed.
func TestMITDamage(t *testing.T) {
	k := krbtest.NewKDBUtil(t, "KDB.TEST", "../../testdata/kdb/stash")
	base := faultBase(t)
	for _, c := range faults {
		data := spoil(t, base, c.old, c.new)
		_, ours := dump.Verify(strings.NewReader(data), dump.VerifyOptions{Realm: "KDB.TEST"})
		mit, damaged := mitAnswer(k, data)
		if damaged && ours == nil {
			t.Errorf("%s: MIT makes a damaged database of it (%s), and we accept it", c.name, mit)
		}
		if mit == "refuses it" && ours == nil {
			t.Errorf("%s: MIT refuses it, and we accept it", c.name)
		}
		t.Logf("%-32s MIT %s; we: %v", c.name, mit, ours)
	}
}

func mitAnswer(k *krbtest.KDBUtil, data string) (answer string, damaged bool) {
	if _, err := k.Load([]byte(data)); err != nil {
		if strings.Contains(err.Error(), "signal") {
			return "load dies: " + err.Error(), false
		}
		return "refuses it", false
	}
	got, err := k.Dump()
	switch {
	case err != nil:
		return "loads it, then: " + strings.SplitN(err.Error(), "\n", 2)[0], true
	case sameRecords(string(got), data):
		return "loads it", false
	}
	return "loads something else", true
}

// sameRecords compares without regard to order, the case of hex digits and the
// looser forms of numbers, which do no harm.
func sameRecords(got, given string) bool {
	set := make(map[string]bool)
	for _, l := range strings.Split(got, "\n") {
		set[l] = true
	}
	n := strings.Count(strings.TrimRight(got, "\n"), "\n")
	for _, l := range strings.Split(given, "\n") {
		l = strings.Replace(strings.Replace(l, "616C69636540", "616c69636540", 1), "\t-3\t-4\t", "\t4294967293\t4294967292\t", 1)
		if strings.HasPrefix(l, "policy\tonlyaes\t") && strings.Count(l, "\t") == 10 {
			l += "\t0\t0\t0\t-\t0"
		}
		if !set[l] {
			return false
		}
	}
	return n == strings.Count(strings.TrimRight(given, "\n"), "\n")
}
