package dump_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kprop/kprop/pkg/dump"
)

func digestOf(t *testing.T, text string) string {
	t.Helper()
	rep, err := dump.Verify(strings.NewReader(text), dump.VerifyOptions{Digest: true, SampleSize: -1})
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return fmt.Sprintf("%x", rep.Digest)
}

// TestDigest: logins and mistyped passwords leave the digest as it is, every
// other change does not.
func TestDigest(t *testing.T) {
	const zeros = "\t0\t0\t0\t0\t0\t0\t0\t0\t"
	user := plain("alice@R")
	if !strings.Contains(user, zeros) {
		t.Fatalf("the line has other numbers: %q", user)
	}
	base := digestOf(t, small(user))
	with := func(numbers string) string { return small(strings.Replace(user, zeros, numbers, 1)) }
	for _, same := range []string{
		"\t0\t0\t0\t0\t0\t1700000000\t0\t0\t",
		"\t0\t0\t0\t0\t0\t0\t4294967295\t0\t",
		"\t0\t0\t0\t0\t0\t0\t0\t5\t",
		"\t0\t0\t0\t0\t0\t1\t2\t-3\t",
	} {
		if got := digestOf(t, with(same)); got != base {
			t.Errorf("%q: another digest", same)
		}
	}
	seen := map[string]string{base: zeros}
	for _, other := range []string{
		"\t128\t0\t0\t0\t0\t0\t0\t0\t", "\t0\t1\t0\t0\t0\t0\t0\t0\t", "\t0\t0\t1\t0\t0\t0\t0\t0\t",
		"\t0\t0\t0\t1\t0\t0\t0\t0\t", "\t0\t0\t0\t0\t1\t0\t0\t0\t",
	} {
		got := digestOf(t, with(other))
		if former, ok := seen[got]; ok {
			t.Errorf("%q and %q have one digest", other, former)
		}
		seen[got] = other
	}
	if digestOf(t, small(plain("alicf@R"))) == base || digestOf(t, small()) == base {
		t.Error("another name, or none, has the same digest")
	}
}

// Every line of a real dump counts, wherever the pieces end, and the fast path
// gives what the full one does.
func TestDigestOfFixture(t *testing.T) {
	data := fixture(t, "dump.v7")
	want := digestOf(t, string(data))
	for _, size := range []int{1, 7, 4096} {
		v := dump.NewVerifier(dump.VerifyOptions{
			Digest: true, OnPrincipal: func(*dump.Principal) error { return nil },
		})
		for piece := range slices.Chunk(data, size) {
			if _, err := v.Write(piece); err != nil {
				t.Fatal(err)
			}
		}
		rep, err := v.Close()
		if got := fmt.Sprintf("%x", rep.Digest); err != nil || got != want {
			t.Errorf("pieces of %d: %s, %v; want %s", size, got, err, want)
		}
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	for i := 1; i < len(lines)-1; i++ {
		if bytes.Contains(lines[i], []byte("K/M@")) || bytes.Contains(lines[i], []byte("krbtgt/")) {
			continue
		}
		less := bytes.Join(append(append([][]byte{}, lines[:i]...), lines[i+1:]...), nil)
		if digestOf(t, string(less)) == want {
			t.Errorf("the digest does not show that line %d is gone", i+1)
		}
	}
	rep, err := dump.Verify(bytes.NewReader(data), dump.VerifyOptions{})
	if err != nil || rep.Digest != nil {
		t.Errorf("%x, %v: a digest that nobody asked for", rep.Digest, err)
	}
}
