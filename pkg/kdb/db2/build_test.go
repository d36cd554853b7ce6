package db2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/dump"
)

// buildFrom builds a database in a new directory, from pieces of random sizes.
func buildFrom(t testing.TB, text []byte, opts BuildOptions) (name string, built *Built, err error) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "principal")
	opts.ReadBack = true
	b, err := NewBuilder(name, opts)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, uint64(len(text))))
	for rest := text; len(rest) > 0; {
		n := min(len(rest), 1+rng.IntN(1+len(text)/8))
		if _, err := b.Write(rest[:n]); err != nil {
			break // Finish tells it again
		}
		rest = rest[n:]
	}
	built, err = b.Finish()
	if err != nil {
		wantNothing(t, filepath.Dir(name))
	}
	return name, built, err
}

// wantNothing: no file is left.
func wantNothing(t testing.TB, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

// mustBuild also checks all of the structure.
func mustBuild(t testing.TB, text []byte, opts BuildOptions) (name string, built *Built) {
	t.Helper()
	name, built, err := buildFrom(t, text, opts)
	if err != nil {
		t.Fatal(err)
	}
	wantSound(t, name)
	return name, built
}

// wantSound: Check finds nothing, and no page is free or leaked.
func wantSound(t testing.TB, name string) {
	t.Helper()
	for _, path := range []string{name, name + PolicySuffix} {
		st, err := os.Stat(path)
		if err != nil || st.Mode() != 0o600 {
			t.Fatal(st, err)
		}
		decode := decodePrincipal
		if path != name {
			decode = decodePolicy
		}
		r, err := Check(openFile(t, path), decode)
		if err != nil || !r.Good() || r.Leaked > 0 || r.Free > 0 {
			t.Fatalf("%s: %+v, %v", path, r, err)
		}
	}
}

func openFile(t testing.TB, path string) Records {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := OpenRecordsBytes(b, path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// loaded is what a dump of the database must be once text is loaded: of version
// 7, in order, the last of each name (reference kdb-formats.md 1.7).
func loaded(text []byte) ([]byte, error) {
	r, err := dump.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	if r.Header().Iprop {
		return nil, ErrIprop
	}
	principals, policies := map[string]*dump.Principal{}, map[string]*dump.Policy{}
	for {
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		switch p := rec.(type) {
		case *dump.Principal:
			if len(p.EData) > 0 || slices.ContainsFunc(p.TL, isDBArgs) {
				return nil, errors.New("cannot be stored")
			}
			principals[string(p.Name)] = p.Clone()
			principals[string(p.Name)].SortKeys()
		case *dump.Policy:
			if slices.ContainsFunc(p.TL, isDBArgs) {
				return nil, errors.New("cannot be stored")
			}
			p.RefCount, p.Fields = 0, dump.PolicyFields11
			policies[string(p.Name)] = p.Clone()
		}
	}
	var out bytes.Buffer
	w, err := dump.NewWriter(&out, dump.Header{Version: dump.Version7})
	for _, name := range sortedNames(principals) {
		err = errors.Join(err, w.WritePrincipal(principals[name]))
	}
	for _, name := range sortedNames(policies) {
		err = errors.Join(err, w.WritePolicy(policies[name]))
	}
	err = errors.Join(err, w.Flush())
	return out.Bytes(), err
}

func isDBArgs(t dump.TL) bool { return t.Type == dump.TLDBArgs }

// sortedNames are in the order of their keys, which end in NUL; no name has one.
func sortedNames[T any](m map[string]T) (names []string) {
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// wantDump compares the database with what a load must give.
func wantDump(t testing.TB, name string, text []byte) {
	t.Helper()
	want, err := loaded(text)
	if err != nil {
		t.Fatal(err)
	}
	got := dumped(t, openFile(t, name), openFile(t, name+PolicySuffix))
	if !bytes.Equal(got, want) {
		t.Fatalf("the database gives %d bytes of dump, not the %d that were loaded", len(got), len(want))
	}
}

var plainDumps = []string{"dump.v7", "dump.r18", "dump.r13", "dump.b7", "dump.rev"}

// TestBuildVectors: of each recorded dump.
func TestBuildVectors(t *testing.T) {
	for _, fixture := range plainDumps {
		text := contents(t, fixture)
		name, built := mustBuild(t, text, BuildOptions{Verifier: dump.NewVerifier(dump.VerifyOptions{NativeLoad: true, Digest: true})})
		wantDump(t, name, text)
		rep := built.Report
		if rep.Principals != built.Principals || rep.Policies != built.Policies || len(rep.Digest) == 0 || built.Replaced != 0 {
			t.Errorf("%s: %+v", fixture, built)
		}
		if built.Sorted != (fixture != "dump.rev") {
			t.Errorf("%s: sorted: %v", fixture, built.Sorted)
		}
	}
	for _, fixture := range []string{"dump.i0", "dump.i1"} {
		if _, _, err := buildFrom(t, contents(t, fixture), BuildOptions{}); !errors.Is(err, ErrIprop) {
			t.Errorf("%s: %v", fixture, err)
		}
	}
}

// princ is a line of a principal with a key and a value of given sizes.
func princ(name string, tl, key int) string {
	value := func(n int) string {
		if n == 0 {
			return "-1"
		}
		return strings.Repeat("a5", n)
	}
	return fmt.Sprintf("princ\t38\t%d\t1\t1\t0\t%s\t128\t86400\t604800\t0\t0\t1\t2\t3\t11\t%d\t%s\t1\t1\t18\t%d\t%s\t-1;\n",
		len(name), name, tl, value(tl), key, value(key))
}

const header7 = "kdb5_util load_dump version 7\n"

// recordSize is the size of key and data of princ, without tl and key.
func recordSize(name string) int { return (len(name) + 1) + recHead + 2 + (len(name) + 1) + 4 + 8 }

// sizes are dumps at the edges of the format.
func sizes() map[string][]byte {
	all := make(map[string][]byte)
	add := func(name string, lines ...string) { all[name] = []byte(header7 + strings.Join(lines, "")) }
	sized := func(name string, n int) string { return princ(name, n-recordSize(name), 0) }
	many := func(n, size int) (lines []string) {
		for i := range n {
			lines = append(lines, sized(fmt.Sprintf("p%06d@R", i), size))
		}
		return lines
	}
	add("empty")
	add("one record", many(1, 300)...)
	add("only a policy", "policy\tp\t0\t0\t0\t0\t0\t0\t0\t0\t0\t0\t0\t0\t-\t0\n")
	// 299 bytes and 9 make an item of 308; with its slot 310. 4076 has 13 and 46
	// bytes. Items of 288 and slots of 2 fill a page but for 16: 14 of them and
	// one of 4 times 4 more fill it.
	add("exactly one page", append(many(13, 279), sized("q@R", 295))...)
	add("one page and a record", append(many(13, 279), sized("q@R", 295), sized("r@R", 100))...)
	add("two exact pages", slices.Concat(many(13, 279), []string{sized("p9@R", 295)}, []string{}, many2(13, 279, sized), []string{sized("q9@R", 295)})...)
	for _, n := range []int{2023, 2024, 2025, 2026, 4076, 4077, 10_000, 21_000, 4*65_535 + 2000} {
		var lines []string
		for i := range 5 {
			lines = append(lines, bigPrinc(fmt.Sprintf("big%d@R", i), n), princ(fmt.Sprintf("big%d/x@R", i), 20, 62))
		}
		add(fmt.Sprintf("records of %d", n), lines...)
	}
	for _, n := range []int{1900, 2014, 2015, 2016, 2017, 2018, 2022, 2023, 2024, 2025, 4076, 9000, 32766} {
		var lines []string
		for i := range 9 {
			name := fmt.Sprintf("%d", i) + strings.Repeat("n", n-3) + "@R"
			lines = append(lines, princ(name, 3, 62), princ(fmt.Sprintf("%d/small@R", i), 3, 62))
		}
		slices.SortFunc(lines, func(a, b string) int {
			return strings.Compare(strings.Split(a, "\t")[6], strings.Split(b, "\t")[6])
		})
		add(fmt.Sprintf("names of %d", n), lines...)
	}
	// Names that agree far: separators as long as may be.
	var far []string
	for i := range 40 {
		far = append(far, princ(strings.Repeat("f", 1990)+fmt.Sprintf("%03d@R", i), 3, 62))
	}
	add("long separators", far...)
	return all
}

func many2(n, size int, sized func(string, int) string) (lines []string) {
	for i := range n {
		lines = append(lines, sized(fmt.Sprintf("q%06d@R", i), size))
	}
	return lines
}

// bigPrinc is a record of n bytes, in as many values as are needed.
func bigPrinc(name string, n int) string {
	var tl []string
	left := n - recordSize(name) + 4
	for left > 0 {
		v := min(left-4, 60_000)
		if left-4-v > 0 && left-4-v < 5 {
			v -= 8
		}
		tl = append(tl, fmt.Sprintf("11\t%d\t%s", v, strings.Repeat("5a", v)))
		left -= v + 4
	}
	return fmt.Sprintf("princ\t38\t%d\t%d\t1\t0\t%s\t128\t86400\t604800\t0\t0\t1\t2\t3\t%s\t1\t1\t18\t0\t-1\t-1;\n",
		len(name), len(tl), name, strings.Join(tl, "\t"))
}

// TestBuildSizes: at each edge of the format, sorted or not, the records are there
// and the structure is whole.
func TestBuildSizes(t *testing.T) {
	for what, text := range sizes() {
		t.Run(what, func(t *testing.T) {
			name, _ := mustBuild(t, text, BuildOptions{})
			wantDump(t, name, text)
			backward := reversed(text)
			name, _ = mustBuild(t, backward, BuildOptions{})
			wantDump(t, name, backward)
		})
	}
	pages := map[string]int64{"empty": 2, "one record": 2, "exactly one page": 2, "one page and a record": 4, "two exact pages": 4, "records of 2024": 7}
	for what, n := range pages {
		name, _ := mustBuild(t, sizes()[what], BuildOptions{})
		if st, err := os.Stat(name); err != nil || st.Size() != n*pageSize {
			t.Errorf("%s: %d pages, %v, want %d", what, st.Size()/pageSize, err, n)
		}
	}
}

func reversed(text []byte) []byte {
	lines := bytes.SplitAfter(text, []byte("\n"))
	lines = lines[:len(lines)-1]
	slices.Reverse(lines[1:])
	return bytes.Join(lines, nil)
}

// TestBuildSeparatorTooLong: names that agree in 2000 bytes are refused by name.
func TestBuildSeparatorTooLong(t *testing.T) {
	var lines []string
	for i := range 40 {
		lines = append(lines, princ(strings.Repeat("f", 2001)+fmt.Sprintf("%03d@R", i), 3, 62))
	}
	_, _, err := buildFrom(t, []byte(header7+strings.Join(lines, "")), BuildOptions{})
	if err == nil || !strings.Contains(err.Error(), "agree in their first 20") {
		t.Error(err)
	}
}

// randomDump has names that share beginnings, sizes of all kinds, duplicates, and
// keys and policies of every form.
func randomDump(rng *rand.Rand, n int) []byte {
	var out bytes.Buffer
	w, _ := dump.NewWriter(&out, dump.Header{Version: dump.Version7})
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	tl := func() (all []dump.TL) {
		for range rng.IntN(5) {
			size := rng.IntN(40)
			if rng.IntN(200) == 0 {
				size = rng.IntN(65536)
			}
			all = append(all, dump.TL{Type: int16(rng.IntN(65535) - 32768), Data: random(size)})
		}
		return all
	}
	for range n {
		if rng.IntN(20) == 0 {
			p := &dump.Policy{Name: fmt.Append(nil, "pol", rng.IntN(n/20+1)), Fields: []int{10, 15}[rng.IntN(2)], RefCount: rng.Uint32()}
			for _, v := range []*uint32{&p.PWMaxLife, &p.PWHistoryNum, &p.PWMaxFail, &p.MaxLife} {
				if rng.IntN(3) == 0 {
					*v = rng.Uint32()
				}
			}
			if p.Fields == 15 && rng.IntN(3) == 0 {
				p.AllowedKeysalts, p.TL = []byte("aes256-cts:normal"), tl()
			}
			_ = w.WritePolicy(p)
			continue
		}
		name := strings.Repeat("ab/", rng.IntN(4)) + strings.Repeat("z", rng.IntN(12)) + fmt.Sprint(rng.IntN(2*n)) + "@R"
		if rng.IntN(100) == 0 {
			name = strings.Repeat(string(rune('c'+rng.IntN(20))), 1+rng.IntN(3)) + strings.Repeat("y", rng.IntN(4000)) + fmt.Sprint(rng.IntN(1000)) + "@R"
		}
		p := &dump.Principal{Name: []byte(name), Attributes: int32(rng.Uint32()), MaxLife: int32(rng.Uint32()), Expiration: rng.Uint32(),
			PWExpiration: rng.Uint32(), LastSuccess: rng.Uint32(), LastFailed: rng.Uint32(), FailAuthCount: int32(rng.Uint32()), TL: tl()}
		for range rng.IntN(6) {
			k := dump.KeyData{Version: int16(rng.IntN(3)), KVNO: uint16(rng.IntN(4)), Type: [2]int16{int16(rng.IntN(30)), int16(rng.IntN(6) - 2)}}
			for i := range int(k.Version) {
				k.Contents[i] = random(rng.IntN(64))
			}
			p.Keys = append(p.Keys, k)
		}
		_ = w.WritePrincipal(p)
	}
	_ = w.Flush()
	return out.Bytes()
}

// TestBuildRandom compares random dumps, in the order that they have and sorted,
// with the slow way, from no memory for sorting on.
func TestBuildRandom(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 7))
		text := randomDump(rng, 1+rng.IntN(1000))
		for _, opts := range []BuildOptions{{}, {SortMemory: 1, piece: 5000}, {SortMemory: 200_000, piece: 20_000}, {piece: 100}} {
			name, built := mustBuild(t, text, opts)
			wantDump(t, name, text)
			if lines := bytes.Count(text, []byte("\n")) - 1; built.Principals+built.Policies+built.Replaced != lines {
				t.Fatalf("seed %d: of %d lines: %+v", seed, lines, built)
			}
		}
		inOrder, err := loaded(text)
		if err != nil {
			t.Fatal(err)
		}
		name, built := mustBuild(t, inOrder, BuildOptions{piece: 1 + rng.IntN(10_000)})
		wantDump(t, name, inOrder)
		if built.Replaced != 0 || !built.Sorted {
			t.Fatalf("seed %d: %+v", seed, built)
		}
	}
}

// TestBuildManyRuns: more sorted parts than may be open at a time.
func TestBuildManyRuns(t *testing.T) {
	var text bytes.Buffer
	if _, err := krbtest.GenDump(&text, krbtest.GenOptions{Principals: 10_000, Policies: 20}); err != nil {
		t.Fatal(err)
	}
	backward := reversed(text.Bytes())
	name, built := mustBuild(t, backward, BuildOptions{SortMemory: 1, piece: 16 << 10})
	wantDump(t, name, text.Bytes())
	if built.Sorted {
		t.Error("the dump is said to be sorted")
	}
	wantOnly(t, name)
}

// wantOnly: nothing is left but the two files.
func wantOnly(t testing.TB, name string) {
	t.Helper()
	if left, err := os.ReadDir(filepath.Dir(name)); err != nil || len(left) != 2 {
		t.Errorf("left: %v %v", left, err)
	}
}
