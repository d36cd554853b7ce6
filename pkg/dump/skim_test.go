package dump_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kprop/kprop/pkg/dump"
)

// bothWays verifies data as fast as can be and, as a hook needs each record,
// with the parser that the Reader has. It tells where the two differ.
func bothWays(data []byte, native bool) error {
	opts := dump.VerifyOptions{NativeLoad: native, SampleSize: -1, Digest: true}
	fast, fastErr := verifyAtOnce(data, opts)
	opts.OnPrincipal = func(*dump.Principal) error { return nil }
	full, fullErr := verifyAtOnce(data, opts)
	if fmt.Sprint(fastErr) != fmt.Sprint(fullErr) {
		return fmt.Errorf("fast: %v; full: %v", fastErr, fullErr)
	}
	// A Principal prints as less than it is, but K/M goes the same way in both.
	if a, b := fmt.Sprintf("%+v", *fast), fmt.Sprintf("%+v", *full); a != b {
		return fmt.Errorf("reports: fast: %s; full: %s", a, b)
	}
	return nil
}

func verifyAtOnce(data []byte, opts dump.VerifyOptions) (*dump.Report, error) {
	v := dump.NewVerifier(opts)
	if _, err := v.Write(data); err != nil {
		return v.Report(), err
	}
	return v.Close()
}

// FuzzFastPath: the fast path of the Verifier takes nothing that the full
// parser refuses, and reports the same.
func FuzzFastPath(f *testing.F) {
	for _, l := range skimLines(f) {
		f.Add([]byte(l), true)
	}
	f.Fuzz(func(t *testing.T, line []byte, native bool) {
		if len(line) > maxFuzz {
			return
		}
		// Twice, for what the fast path remembers of a line.
		data := small(string(line)+"\n", plain("x@R"), string(line)+"\n")
		if err := bothWays([]byte(data), native); err != nil {
			t.Fatal(err)
		}
	})
}

// skimLines is a variety of principals.
func skimLines(tb testing.TB) (lines []string) {
	all := strings.Split(string(fixture(tb, "dump.v7")), "\n")
	for _, name := range []string{"\talice@", "\tkim@", "\tmia@", "\tfrank@", "\tzo", "\\"} {
		for _, l := range all {
			if strings.HasPrefix(l, "princ\t") && strings.Contains(l[:min(len(l), 60)], name) {
				lines = append(lines, l)
				break
			}
		}
	}
	wide := strings.Replace(plain("abcdefgh/ijk@R"), "\t0\t0\t0\t0\t0\t0\t0\t0\t", "\t2147483647\t86400\t604800\t4294967295\t999999999\t12345678\t1234567\t2147483647\t", 1)
	long := strings.Replace(kmLine, "5\t0\t1\t0\tK/M@R", "23\t2\t2\t0\tabcdefghijklmnop/qrst@R", 1)
	long = strings.Replace(long, "\t1\t1\t18\t62", "\t2\t8\t05000080"+"61405200\t300\t3\t0a1b2c\t2\t65535\t18\t62", 1)
	long = strings.Replace(long, "\t-1;", "\t4\t2\tabcd\t1\t0\t0\t-1\t-1;", 1)
	short := strings.Replace(long, "abcdefghijklmnop/qrst@R", "a@R", 1)
	return append(lines, strings.TrimSuffix(wide, "\n"), strings.TrimSuffix(long, "\n"), strings.Replace(short, "23", "3", 1))
}

// TestFastPathEveryByte puts every byte into every place of some lines.
func TestFastPathEveryByte(t *testing.T) {
	for _, l := range skimLines(t) {
		if err := bothWays([]byte(small(l+"\n")), false); err != nil {
			t.Fatal(err)
		}
		for i := range len(l) {
			// All places, and in each the bytes at which something changes.
			for _, c := range []byte("\x00\t\n -/019:@FG\\`fg\x80\xff") {
				spoilt := l[:i] + string([]byte{c}) + l[i+1:]
				if err := bothWays([]byte(small(spoilt+"\n")), true); err != nil {
					t.Fatalf("byte %d of %q is %q: %v", i, l, c, err)
				}
			}
			for _, spoilt := range []string{l[:i] + l[i+1:], l[:i] + l[i:i+1] + l[i:], l[:i]} {
				if err := bothWays([]byte(small(spoilt+"\n")), true); err != nil {
					t.Fatalf("%q: %v", spoilt, err)
				}
			}
		}
	}
}
