package dump_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/kprop/kprop/pkg/dump"
)

// FuzzDiff: a dump does not differ from itself; two dumps differ in the names
// that a reader of both finds, and the other way round in the same.
func FuzzDiff(f *testing.F) {
	for _, file := range []string{"dump.v7", "dump.rev", "dump.b7"} {
		lines := bytes.SplitAfter(fixture(f, file), []byte("\n"))
		pick := func(at ...int) (b []byte) {
			for _, i := range at {
				b = append(b, lines[i]...)
			}
			return b
		}
		f.Add(pick(0, 2, 15, 30, 46, 49), pick(0, 2, 15, 31, 46, 48, 49))
	}
	f.Add([]byte(small(withPolicy("b@R", "abc"))), []byte(small(plain("b@R"), plain("b@R"))))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if len(a)+len(b) > maxFuzz {
			return
		}
		there, ok := tryDiff(t, a, b)
		if !ok {
			return
		}
		back, ok := tryDiff(t, b, a)
		if !ok {
			t.Fatal("only one way round")
		}
		if len(there) != len(back) {
			t.Fatalf("%q, but back %q", there, back)
		}
		for _, dumped := range [][]byte{a, b} {
			if same, ok := tryDiff(t, dumped, dumped); !ok || len(same) > 0 {
				t.Fatalf("differs from itself: %q", same)
			}
		}
		in, on := namesOf(t, a), namesOf(t, b)
		for _, name := range append(slices.Clone(in), on...) {
			was, is := slices.Contains(in, name), slices.Contains(on, name)
			kind := there[name]
			if was && !is && kind != dump.Removed || !was && is && kind != dump.Added ||
				was && is && kind != "" && kind != dump.Changed {
				t.Fatalf("%q: in the first %v, in the second %v, told %q", name, was, is, kind)
			}
		}
	})
}

// tryDiff gives what became of each record, by its name with a mark for
// policies. A dump that is refused gives false.
func tryDiff(t *testing.T, a, b []byte) (map[string]dump.ChangeKind, bool) {
	found := make(map[string]dump.ChangeKind)
	_, err := dump.Diff(bytes.NewReader(a), bytes.NewReader(b), dump.DiffOptions{Logins: true, Values: true}, func(c *dump.Change) error {
		name := c.Name
		if c.Policy {
			name = "policy " + name
		}
		if _, twice := found[name]; twice || (c.Kind == dump.Changed) != (len(c.Fields) > 0) {
			t.Fatalf("%q is told twice, or without fields", c)
		}
		found[name] = c.Kind
		return nil
	})
	return found, err == nil
}

func namesOf(t *testing.T, data []byte) (names []string) {
	r, err := dump.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for {
		rec, err := r.Next()
		if err != nil {
			return names
		}
		switch rec := rec.(type) {
		case *dump.Principal:
			names = append(names, string(rec.Name))
		case *dump.Policy:
			names = append(names, "policy "+string(rec.Name))
		}
	}
}
