package db2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/dump"
)

// readerFault is how the Reader ends on a dump.
func readerFault(text []byte) error {
	r, err := dump.NewReader(bytes.NewReader(text))
	for err == nil {
		_, err = r.Next()
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// TestBuildRefuses: faults are told with the words and the line of the Reader,
// however far into the dump they are, and nothing is left.
func TestBuildRefuses(t *testing.T) {
	defer goleak.VerifyNone(t)
	var good strings.Builder
	good.WriteString(header7)
	for i := range 800 {
		good.WriteString(princ(fmt.Sprintf("p%06d@R", i), 20, 62))
	}
	for _, bad := range []string{"x", "\n", "End\n", "princ\t38\t4\n", strings.Replace(princ("x@R", 4, 4), "a5", "g5", 1), strings.TrimSuffix(princ("x@R", 4, 4), "\n")} {
		for _, text := range []string{header7 + bad, good.String() + bad, header7 + bad + good.String()[len(header7):]} {
			want := readerFault([]byte(text))
			_, _, err := buildFrom(t, []byte(text), BuildOptions{piece: 10_000})
			if want == nil || err == nil || err.Error() != want.Error() {
				t.Errorf("%.20q: %v, want %v", bad, err, want)
			}
		}
	}
	for _, text := range []string{"", "x", "\n", header7[:10], header7[:len(header7)-1], "kdb5_edit load_dump version 2.0\n", strings.Repeat("x", 3<<20)} {
		want := readerFault([]byte(text))
		if _, _, err := buildFrom(t, []byte(text), BuildOptions{}); err == nil || err.Error() != want.Error() {
			t.Errorf("%.40q: %v, want %v", text, err, want)
		}
	}
	for text, msg := range map[string]string{
		strings.Replace(princ("x@R", 4, 4), "\t-1;", "\tab;", 1):              "dump line 2, principal \"x@R\", e_data: is not empty",
		strings.Replace(princ("x@R", 4, 4), "\t11\t", "\t32767\t", 1):         "dump line 2, principal \"x@R\", tl 1 type: is 32767",
		"policy\tp\t0\t0\t0\t0\t0\t0\t0\t0\t0\t0\t0\t0\t-\t1\t32767\t0\t-1\n": "dump line 2, policy \"p\", tl 1 type: is 32767",
	} {
		text = strings.Replace(text, "1\t1\t0\tx@R", "1\t1\t1\tx@R", 1)
		if !strings.Contains(text, "\tab;") {
			text = strings.Replace(text, "1\t1\t1\tx@R", "1\t1\t0\tx@R", 1)
		}
		if _, _, err := buildFrom(t, []byte(header7+text), BuildOptions{}); err == nil || !strings.HasPrefix(err.Error(), msg) {
			t.Errorf("%v, want %s", err, msg)
		}
	}
}

// TestBuildLongLine: a line that is longer than a piece is taken, one above the bound is not.
func TestBuildLongLine(t *testing.T) {
	text := []byte(header7 + princ("a@R", 3, 4) + bigPrinc("long@R", 5<<20) + princ("z@R", 3, 4))
	name, _ := mustBuild(t, text, BuildOptions{})
	wantDump(t, name, text)
	for _, most := range []int{1000, 3 << 20} {
		if _, _, err := buildFrom(t, text, BuildOptions{MaxLine: most}); err == nil || err.Error() != "dump line 3: the line is longer than the bound" {
			t.Errorf("bound %d: %v", most, err)
		}
	}
}

// TestBuildVerified: what only the Verifier finds ends the build; it comes first.
func TestBuildVerified(t *testing.T) {
	defer goleak.VerifyNone(t)
	text := header7 + princ("a@R", 3, 4) + "bad\n"
	built, _, err := buildVerified(t, text)
	var fault *dump.FaultError
	if !errors.As(err, &fault) || fault.Line != 2 || built.Report == nil {
		t.Error(err)
	}
	text = header7 + strings.ReplaceAll(princ("a@R", 3, 0), "\t11\t", "\t12\t")
	built, name, err := buildVerified(t, text)
	if !errors.Is(err, dump.ErrNoKM) || built.Report.Principals != 1 {
		t.Error(err)
	}
	wantNothing(t, filepath.Dir(name))
}

func buildVerified(t *testing.T, text string) (*Built, string, error) {
	name, built, err := buildFrom(t, []byte(text), BuildOptions{Verifier: dump.NewVerifier(dump.VerifyOptions{})})
	return built, name, err
}

// TestBuildFaults fails every step on the disk in turn: the error names it, and
// nothing is left but what cannot be removed.
func TestBuildFaults(t *testing.T) {
	defer goleak.VerifyNone(t)
	text := randomDump(rand.New(rand.NewPCG(1, 2)), 500)
	steps := map[string]int{}
	for at := int64(1); ; at++ {
		var n atomic.Int64
		var failedAt atomic.Value
		osutil.Fault = func(op, path string) error {
			if n.Add(1) == at {
				failedAt.Store(op)
				return syscall.ENOSPC
			}
			return nil
		}
		name := filepath.Join(t.TempDir(), "principal")
		b, err := NewBuilder(name, BuildOptions{SortMemory: 1, piece: 20_000})
		if err == nil {
			_, _ = b.Write(text)
			_, err = b.Finish()
		}
		osutil.Fault = nil
		op, _ := failedAt.Load().(string)
		if op == "" {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		steps[op]++
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), op) || !strings.Contains(err.Error(), filepath.Dir(name)) {
			t.Errorf("step %d, %s: %v", at, op, err)
		}
		wantNothing(t, filepath.Dir(name))
	}
	for _, op := range []string{"create", "write", "fsync", "remove"} {
		if steps[op] < 2 {
			t.Errorf("steps: %v", steps)
		}
	}
}

// TestBuildAbort removes all at any time, and does nothing after Finish.
func TestBuildAbort(t *testing.T) {
	defer goleak.VerifyNone(t)
	text := randomDump(rand.New(rand.NewPCG(1, 2)), 500)
	for _, size := range []int{0, 10, len(text) / 2, len(text)} {
		name := filepath.Join(t.TempDir(), "principal")
		b, err := NewBuilder(name, BuildOptions{SortMemory: 1, piece: 20_000})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Write(text[:size]); err != nil {
			t.Fatal(err)
		}
		if err := b.Abort(); err != nil {
			t.Error(err)
		}
		wantNothing(t, filepath.Dir(name))
		if _, err := b.Write(text); err == nil {
			t.Error("a builder that was given up takes more")
		}
		if _, err := b.Finish(); err == nil {
			t.Error("a builder that was given up finishes")
		}
		if b, err = NewBuilder(name, BuildOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err = b.Write(text); err == nil {
			_, err = b.Finish()
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Abort(); err != nil {
			t.Error(err)
		}
		wantOnly(t, name)
		if _, err := NewBuilder(name, BuildOptions{}); !errors.Is(err, os.ErrExist) {
			t.Error(err)
		}
	}
}

// TestReadBackDiffers: a byte of a record that is changed on the disk is found, and so
// is a record that is missing.
func TestReadBackDiffers(t *testing.T) {
	text := contents(t, "dump.v7")
	name, built := mustBuild(t, text, BuildOptions{})
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := ReadBack(name, built); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		at := pageSize + rng.IntN(len(good)-pageSize)
		if bytes.Equal(good[at-4:min(at+4, len(good))], make([]byte, 8)) {
			continue // free space perhaps
		}
		bad := bytes.Clone(good)
		bad[at] ^= 1 << rng.IntN(8)
		if err := os.WriteFile(name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := ReadBack(name, built); err == nil && !lockout(t, good, bad) {
			t.Errorf("a changed byte at %d is not found", at)
		} else if err != nil && !errors.Is(err, ErrReadBack) {
			t.Error(err)
		}
	}
	if err := os.WriteFile(name, good, 0o600); err != nil {
		t.Fatal(err)
	}
	built.Policies++
	if err := ReadBack(name, built); !errors.Is(err, ErrReadBack) {
		t.Error(err)
	}
}

// TestReadBackSeparators: a separator that is too high leads a search past a record
// which the links between the leaves reach.
func TestReadBackSeparators(t *testing.T) {
	name, built := mustBuild(t, contents(t, "dump.v7"), BuildOptions{})
	good, err := os.ReadFile(name)
	ok(t, err)
	f, err := OpenBytes(good, name)
	ok(t, err)
	root, err := f.page(rootPage)
	ok(t, err)
	if root.items < 3 {
		t.Fatalf("the root has %d entries", root.items)
	}
	for i := 1; i < root.items; i++ {
		it, err := root.internal(i)
		ok(t, err)
		last := &it.key[len(it.key)-1] // of good
		was := *last
		for _, now := range []byte{was + 1, 0xff} {
			*last = now
			if _, err := f.Search(firstKey(t, f, it.child)); err == nil {
				continue // it is found all the same
			}
			ok(t, os.WriteFile(name, good, 0o600))
			if err := ReadBack(name, built); !errors.Is(err, ErrReadBack) {
				t.Errorf("entry %d, last byte %d instead of %d: %v", i, now, was, err)
			}
		}
		*last = was
	}
}

func firstKey(t *testing.T, f *File, n uint32) []byte {
	t.Helper()
	p, err := f.page(n)
	ok(t, err)
	it, err := p.leaf(0)
	ok(t, err)
	return it.key
}

// TestFinishReadsBack: a file that changes once it is written is no success.
func TestFinishReadsBack(t *testing.T) {
	name := filepath.Join(t.TempDir(), "principal")
	b, err := NewBuilder(name, BuildOptions{ReadBack: true})
	ok(t, err)
	_, err = b.Write(contents(t, "dump.v7"))
	ok(t, err)
	changed := false
	osutil.Fault = func(op, path string) error {
		if op != "write" || path != name+PolicySuffix || changed {
			return nil
		}
		// The principals are written by now.
		changed = true
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		at := bytes.LastIndex(text, []byte("alice@KDB.TEST"))
		if at < 0 {
			return errors.New("alice is not written")
		}
		text[at+20] ^= 1
		return os.WriteFile(name, text, 0o600)
	}
	_, err = b.Finish()
	osutil.Fault = nil
	if !changed || !errors.Is(err, ErrReadBack) {
		t.Errorf("changed: %v; %v", changed, err)
	}
	wantNothing(t, filepath.Dir(name))
}

// lockout says that two files differ in nothing but lockout fields or in what no
// record uses.
func lockout(t *testing.T, a, b []byte) bool {
	x, err1 := OpenBytes(a, "a")
	y, err2 := OpenBytes(b, "b")
	if err1 != nil || err2 != nil {
		return false
	}
	p, q := records(t, x), records(t, y)
	for i := range p {
		clear(p[i].data[recSuccess:recTLCount])
		clear(q[i].data[recSuccess:recTLCount])
	}
	return sameRecords(p, q) == nil
}

// FuzzBuild: what the Reader takes is built and gives the same dump; what it does not
// take is refused, in the same words.
func FuzzBuild(f *testing.F) {
	for _, fixture := range plainDumps {
		text := contents(f, fixture)
		f.Add(text[:bytes.LastIndexByte(text[:min(len(text), 4000)], '\n')+1], 7)
	}
	f.Add(randomDump(rand.New(rand.NewPCG(1, 2)), 10), 3)
	f.Add([]byte(header7+princ("b@R", 3, 4)+princ("a@R", 3, 4)+princ("b@R", 5, 4)), 100)
	f.Fuzz(func(t *testing.T, text []byte, piece int) {
		if len(text) > 1<<16 {
			return
		}
		name := filepath.Join(t.TempDir(), "principal")
		b, err := NewBuilder(name, BuildOptions{SortMemory: 1, piece: max(1, piece%5000), ReadBack: true})
		if err != nil {
			t.Fatal(err)
		}
		for rest := text; len(rest) > 0 && err == nil; {
			n := min(len(rest), max(1, piece))
			_, err = b.Write(rest[:n])
			rest = rest[n:]
		}
		_, err = b.Finish()
		want, wantErr := loaded(text)
		if (err == nil) != (wantErr == nil) {
			if err != nil && strings.Contains(err.Error(), "agree in their first") {
				return
			}
			t.Fatalf("built: %v; read: %v", err, wantErr)
		}
		if err != nil {
			wantNothing(t, filepath.Dir(name))
			if fault := readerFault(text); fault != nil && fault.Error() != err.Error() && !errors.Is(err, ErrIprop) && !strings.Contains(err.Error(), "never stored") && !strings.Contains(err.Error(), "e_data") {
				t.Fatalf("built: %v; read: %v", err, fault)
			}
			return
		}
		wantSound(t, name)
		if got := dumped(t, openFile(t, name), openFile(t, name+PolicySuffix)); !bytes.Equal(got, want) {
			t.Fatalf("built %q from %q", got, text)
		}
	})
}
