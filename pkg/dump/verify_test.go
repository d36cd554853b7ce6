package dump_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/kprop/kprop/pkg/dump"
)

// A record without keys, by name, and the two that a realm cannot lack.
const (
	header7  = "kdb5_util load_dump version 7\n"
	kmLine   = "princ\t38\t5\t0\t1\t0\tK/M@R\t0\t0\t0\t0\t0\t0\t0\t0\t1\t1\t18\t62\t2000" + sixty + "\t-1;\n"
	sixty    = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b"
	fallback = "\t0\t0\t0\t0\t0\t0\t0\t0\t-1;\n"
)

func plain(name string) string {
	return fmt.Sprintf("princ\t38\t%d\t0\t0\t0\t%s", len(name), name) + fallback
}

// withPolicy is a principal that names a policy of 3 bytes.
func withPolicy(name, policy string) string {
	kadm := fmt.Sprintf("12345c0100000004%x00%s", policy, "00000800"+"00000000"+"00000002"+"00000000")
	return fmt.Sprintf("princ\t38\t%d\t1\t0\t0\t%s\t0\t0\t0\t0\t0\t0\t0\t0\t3\t28\t%s\t-1;\n", len(name), name, kadm)
}

func small(more ...string) string {
	return header7 + kmLine + plain("krbtgt/R@R") + strings.Join(more, "")
}

func TestVerifyFixtures(t *testing.T) {
	for _, f := range fixtures {
		data := fixture(t, f.file)
		rep, err := dump.Verify(bytes.NewReader(data), dump.VerifyOptions{Realm: "KDB.TEST"})
		if err != nil {
			t.Errorf("%s: %v", f.file, err)
			continue
		}
		if rep.Principals != 45 || rep.Policies != 5 || rep.Keys != 245 || rep.Bytes != int64(len(data)) ||
			rep.Realm != "KDB.TEST" || !rep.HasKrbtgt || rep.Header != f.header || len(rep.Warnings) > 0 ||
			rep.Duplicates != 0 || !rep.DuplicatesKnown || rep.Sorted != (f.file != "dump.rev") {
			t.Errorf("%s: %+v", f.file, rep)
		}
		if len(rep.KM.Keys) != 2 || len(rep.Sample) != 39 {
			t.Errorf("%s: K/M has %d keys, %d principals in the sample", f.file, len(rep.KM.Keys), len(rep.Sample))
		}
		want := []string{"nosuchpolicy"}
		if f.header.Version == 4 {
			want = nil
		}
		if d := cmp.Diff(want, rep.MissingPolicies); d != "" {
			t.Errorf("%s: missing policies %s", f.file, d)
		}
	}
}

// TestPieces: where a dump is cut into pieces makes no difference.
func TestPieces(t *testing.T) {
	data := fixture(t, "dump.v7")
	whole, err := dump.Verify(bytes.NewReader(data), dump.VerifyOptions{SampleSize: -1})
	if err != nil {
		t.Fatal(err)
	}
	check := func(size int, rep *dump.Report, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("pieces of %d: %v", size, err)
		}
		if got, want := fmt.Sprintf("%+v", *rep), fmt.Sprintf("%+v", *whole); got[:40] != want[:40] || rep.Keys != whole.Keys || rep.Bytes != whole.Bytes {
			t.Fatalf("pieces of %d: %s\nwant %s", size, got, want)
		}
	}
	for _, size := range []int{1, 2, 3, 7, 29, 30, 31, 64, 100, 441, 1000, 4096, 65536} {
		v := dump.NewVerifier(dump.VerifyOptions{SampleSize: -1})
		for rest := data; len(rest) > 0; {
			n := min(size, len(rest))
			// A copy, spoilt afterwards, shows whether anything of it was kept.
			piece := bytes.Clone(rest[:n])
			if _, err := v.Write(piece); err != nil {
				t.Fatal(err)
			}
			clear(piece)
			rest = rest[n:]
		}
		rep, err := v.Close()
		check(size, rep, err)
	}
	rep, err := dump.Verify(iotest.DataErrReader(iotest.HalfReader(bytes.NewReader(data))), dump.VerifyOptions{SampleSize: -1})
	check(0, rep, err)
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		name, data, realm string
		want              error
	}{
		{"empty", "", "", dump.ErrEmpty},
		{"header only", header7, "", dump.ErrEmpty},
		{"policies only", header7 + "policy\tp\t0\t0\t8\t2\t1\t0\t0\t0\t0\n", "", dump.ErrEmpty},
		{"good", small(), "R", nil},
		{"good, any realm", small(), "", nil},
		{"no K/M", header7 + plain("krbtgt/R@R"), "R", dump.ErrNoKM},
		{"no K/M, any realm", header7 + plain("krbtgt/R@R"), "", dump.ErrNoKM},
		{"K/M without key", header7 + plain("K/M@R") + plain("krbtgt/R@R"), "R", dump.ErrNoKM},
		{"no krbtgt", header7 + kmLine + plain("krbtgt/S@R"), "R", dump.ErrNoKrbtgt},
		{"krbtgt of another realm", header7 + kmLine + plain("krbtgt/S@S"), "R", dump.ErrNoKrbtgt},
		{"krbtgt first", header7 + plain("krbtgt/R@R") + kmLine, "R", nil},
		{"another realm", small(), "S", dump.ErrWrongRealm},
		{"escaped realm", header7 + strings.Replace(kmLine, "5\t0\t1\t0\tK/M@R", "8\t0\t1\t0\tK/M@R\\/1", 1) + plain(`krbtgt/R\/1@R\/1`), "R/1", nil},
	} {
		rep, err := dump.Verify(strings.NewReader(c.data), dump.VerifyOptions{Realm: c.realm})
		if !errors.Is(err, c.want) || rep == nil {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if c.want == nil && err == nil && c.realm != "" && rep.Realm != c.realm {
			t.Errorf("%s: realm %q", c.name, rep.Realm)
		}
	}
}

func TestMasterKeyName(t *testing.T) {
	data := header7 + strings.Replace(kmLine, "5\t0\t1\t0\tK/M@R", "8\t0\t1\t0\tmaster@R", 1) + plain("krbtgt/R@R")
	if _, err := dump.Verify(strings.NewReader(data), dump.VerifyOptions{MasterKeyName: "master"}); err != nil {
		t.Error(err)
	}
	if _, err := dump.Verify(strings.NewReader(data), dump.VerifyOptions{}); !errors.Is(err, dump.ErrNoKM) {
		t.Error(err)
	}
}

func TestDuplicatesAndPolicies(t *testing.T) {
	rep, err := dump.Verify(strings.NewReader(small(plain("b@R"), plain("a@R"), withPolicy("b@R", "abc"), plain("b@R"),
		withPolicy("c@R", "def"), withPolicy("d@R", "xyz"), "policy\tdef\t0\t0\t8\t2\t1\t0\t0\t0\t0\n")), dump.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Duplicates != 2 || !rep.DuplicatesKnown || rep.Sorted || len(rep.Warnings) != 1 {
		t.Errorf("duplicates %d, sorted %v, %v", rep.Duplicates, rep.Sorted, rep.Warnings)
	}
	if d := cmp.Diff([]string{"abc", "xyz"}, rep.MissingPolicies); d != "" {
		t.Error(d)
	}
}

// TestOnlyMITFails: names that only MIT's load gets wrong.
func TestOnlyMITFails(t *testing.T) {
	for name, line := range map[string]string{
		"leading space":  plain(" lead@R"),
		"leading CR":     plain("\rlead@R"),
		"very long":      plain(strings.Repeat("x", 2014) + "@R"),
		"policy":         "policy\ta b\t0\t0\t8\t2\t1\t0\t0\t0\t0\n",
		"allowed spaces": "policy\tab\t0\t0\t8\t2\t1\t0\t0\t0\t0\t0\t0\t0\ta, b\t0\n",
	} {
		var f *dump.FaultError
		if _, err := dump.Verify(strings.NewReader(small(line)), dump.VerifyOptions{}); !errors.As(err, &f) || f.Line != 4 {
			t.Errorf("%s: %v", name, err)
		}
		rep, err := dump.Verify(strings.NewReader(small(line)), dump.VerifyOptions{NativeLoad: true})
		if err != nil || len(rep.Warnings) != 1 || rep.Warnings[0].Line != 4 {
			t.Errorf("%s, native: %v, %v", name, err, rep.Warnings)
		}
	}
	if _, err := dump.Verify(strings.NewReader(small(plain(strings.Repeat("x", 2013)+"@R"))), dump.VerifyOptions{}); err != nil {
		t.Error(err)
	}
}

func TestWarningsAreBounded(t *testing.T) {
	var b strings.Builder
	for i := range 150 {
		b.WriteString(plain(fmt.Sprintf(" %03d@R", i)))
	}
	rep, err := dump.Verify(strings.NewReader(small(b.String())), dump.VerifyOptions{NativeLoad: true})
	if err != nil || len(rep.Warnings) != 100 || rep.MoreWarnings != 50 {
		t.Errorf("%v: %d and %d warnings", err, len(rep.Warnings), rep.MoreWarnings)
	}
}

func TestHooks(t *testing.T) {
	var seen []string
	stop := errors.New("stop")
	opts := dump.VerifyOptions{
		OnPrincipal: func(p *dump.Principal) error { seen = append(seen, string(p.Name)); return nil },
		OnPolicy:    func(p *dump.Policy) error { seen = append(seen, string(p.Name)); return stop },
	}
	_, err := dump.Verify(strings.NewReader(small("policy\tpol\t0\t0\t8\t2\t1\t0\t0\t0\t0\n", plain("x@R"))), opts)
	if !errors.Is(err, stop) || !strings.Contains(err.Error(), `line 4, policy "pol"`) {
		t.Error(err)
	}
	if d := cmp.Diff([]string{"K/M@R", "krbtgt/R@R", "pol"}, seen); d != "" {
		t.Error(d)
	}
}

func TestReadError(t *testing.T) {
	broken := errors.New("cable cut")
	r := io.MultiReader(strings.NewReader(small()), iotest.ErrReader(broken))
	rep, err := dump.Verify(r, dump.VerifyOptions{})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "line 4") || rep.Principals != 2 {
		t.Errorf("%v after %d principals", err, rep.Principals)
	}
}

func TestNewestMod(t *testing.T) {
	line := "princ\t38\t3\t2\t0\t0\tz@R\t0\t0\t0\t0\t0\t0\t0\t0\t1\t4\tff000080\t2\t8\t05000080" + "61405200\t-1;\n"
	rep, err := dump.Verify(strings.NewReader(small(line)), dump.VerifyOptions{})
	if err != nil || rep.NewestMod != 0x800000ff {
		t.Errorf("%v, newest %d", err, rep.NewestMod)
	}
}

// TestNoAllocation: the memory that a verification takes does not depend on how
// many records there are.
func TestNoAllocation(t *testing.T) {
	lines := []byte(strings.Repeat(withPolicy("a@R", "abc")+kmLine[:len(kmLine)-1]+"\n", 50))
	v := dump.NewVerifier(dump.VerifyOptions{Realm: "OTHER", SampleSize: -1})
	if _, err := v.Write([]byte(header7)); err != nil {
		t.Fatal(err)
	}
	write := func() {
		if _, err := v.Write(lines); err != nil {
			t.Fatal(err)
		}
	}
	write()
	if n := testing.AllocsPerRun(100, write); n > 0 {
		t.Errorf("%v allocations for 100 records", n)
	}
}
