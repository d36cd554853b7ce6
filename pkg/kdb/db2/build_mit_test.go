package db2

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/dump"
)

// fixtureRealm is a realm with the name and the stash of testdata/kdb.
func fixtureRealm(t *testing.T) *database {
	t.Helper()
	r := krbtest.New(t, krbtest.Options{Realm: "KDB.TEST"})
	if err := os.WriteFile(r.Primary.Stash, contents(t, "stash"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &database{node: r.Primary, path: r.Primary.Database}
}

// withKM is a dump of other records behind those without which kdb5_util does not
// start.
func withKM(t testing.TB, lines string) []byte {
	t.Helper()
	var km string
	for line := range strings.Lines(string(contents(t, "dump.v7"))) {
		if strings.Contains(line, "\tK/M@") || strings.Contains(line, "\tkrbtgt/KDB.TEST@") {
			km += line
		}
	}
	return []byte(header7 + km + lines)
}

// install puts a database in the place of the one that d has.
func (d *database) install(t *testing.T, name string) {
	t.Helper()
	for _, suffix := range []string{"", PolicySuffix} {
		if err := os.WriteFile(d.path+suffix, fileContents(t, name+suffix), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// mitCases are dumps of every version, and what else kdb5_util load takes.
func mitCases(t testing.TB) map[string][]byte {
	all := make(map[string][]byte)
	for _, fixture := range plainDumps {
		all[fixture] = contents(t, fixture)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	random := string(randomDump(rng, 4000)[len(header7):])
	all["random"] = withKM(t, random)
	for i, version := range []string{"6", "5", "4"} {
		// Lines of policies differ between the versions; those of principals do not.
		var lines []string
		for line := range strings.Lines(random) {
			if strings.HasPrefix(line, "princ\t") {
				lines = append(lines, line)
			}
		}
		lines = append(lines, "policy\tp\t1\t2\t3\t4\t5\t6", "\t7\t8\t9"[:[]int{6, 0, 0}[i]], "\n")
		text := withKM(t, strings.Join(lines, ""))
		all["random "+version] = bytes.Replace(text, []byte("version 7"), []byte("version "+version), 1)
	}
	all["policies"] = withKM(t, strings.Join([]string{
		"policy\tlast\t1\t2\t3\t4\t5\t6\t0\t0\t0\t0\t0\t0\t-\t0\n", "policy\tfirst\t-1\t4294967295\t3\t4\t5\t0\t0\t0\t9\t0\t0\t0\t-\t0\n",
		"policy\tshort\t1\t2\t3\t4\t5\t0\t0\t0\t0\n", "policy\tattr\t1\t2\t3\t4\t5\t0\t0\t0\t0\t1\t0\t0\t-\t0\n",
		"policy\tsalts\t1\t2\t3\t4\t5\t0\t7\t0\t0\t0\t0\t0\taes256-cts,aes128-cts:normal\t0\n",
		"policy\tvalues\t1\t2\t3\t4\t5\t0\t0\t0\t0\t0\t0\t0\t-\t3\t11\t5\t0102030405\t-2\t0\t-1\t300\t2\tabcd\n",
		"policy\tlast\t9\t9\t9\t9\t9\t9\t0\t0\t0\t0\t0\t0\t-\t0\n"}, ""))
	all["loose"] = withKM(t, strings.Join([]string{
		strings.ReplaceAll(princ("upper@KDB.TEST", 9, 62), "a5", "A5"),
		strings.Replace(princ("before1970@KDB.TEST", 9, 62), "\t0\t0\t1\t2\t", "\t-1\t-2147483648\t-5\t-6\t", 1),
		"princ\t38\t12\t0\t3\t0\ty\\@@KDB.TEST\t0\t0\t0\t0\t0\t0\t0\t0\t1\t1\t18\t0\t-1\t0\t7\t2\t3\t-5\t1\tff\t4\t0\t-1\t-1;\n"}, ""))
	for what, text := range sizes() {
		all[what] = withKM(t, strings.ReplaceAll(string(text[len(header7):]), "@R\t", "@R\t"))
	}
	return all
}

// TestBuildAsMITLoads: both files have the same records, byte for byte, as those
// that kdb5_util load makes.
func TestBuildAsMITLoads(t *testing.T) {
	d := fixtureRealm(t)
	for what, text := range mitCases(t) {
		d.load(t, text)
		name, _ := mustBuild(t, text, BuildOptions{})
		for _, suffix := range []string{"", PolicySuffix} {
			got, want := records(t, openFile(t, name+suffix)), records(t, openFile(t, d.path+suffix))
			// MIT's own tree is out of order beside names of 2016 bytes and more (4.6).
			slices.SortFunc(want, func(a, b record) int { return bytes.Compare(a.key, b.key) })
			if err := sameRecords(got, want); err != nil {
				t.Errorf("%s, %q: %v", what, suffix, err)
			}
		}
	}
}

func sameRecords(got, want []record) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d records, not %d", len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i].key, want[i].key) || !bytes.Equal(got[i].data, want[i].data) {
			return fmt.Errorf("record %q:\n%x, not\n%x of %q", got[i].key, got[i].data, want[i].data, want[i].key)
		}
	}
	return nil
}

// wantDumps: each way in which kdb5_util goes through the database gives the
// same, and so does the native dump.
func (d *database) wantDumps(t *testing.T, what string, want []byte) {
	t.Helper()
	for _, options := range [][]string{nil, {"-recurse"}, {"-rev"}, {"-recurse", "-rev"}} {
		got := d.dump(t, options...)
		if slices.Contains(options, "-rev") {
			got = unreversed(got)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: dump %v: %s", what, options, difference(got, want))
		}
	}
	var native bytes.Buffer
	if _, err := snapshot(t, d.path, SnapshotAuto).Dump(t.Context(), &native, dump.Header{Version: dump.Version7}, DumpOptions{}); err != nil || !bytes.Equal(native.Bytes(), want) {
		t.Errorf("%s: native dump: %v: %s", what, err, difference(native.Bytes(), want))
	}
}

// unreversed puts the principals of dump -rev in order; the policies are.
func unreversed(text []byte) []byte {
	lines := bytes.SplitAfter(text, []byte("\n"))
	end := 1
	for end < len(lines) && bytes.HasPrefix(lines[end], []byte("princ\t")) {
		end++
	}
	slices.Reverse(lines[1:end])
	return bytes.Join(lines, nil)
}

// loadedTwice is loaded, but with the tl_data of policies in the opposite order:
// MIT writes them to the database in the order of the dump, and reads them
// backward.
func loadedTwice(text []byte) ([]byte, error) {
	text, err := loaded(text)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	r, err := dump.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	w, err := dump.NewWriter(&out, r.Header())
	for err == nil {
		var rec dump.Record
		if rec, err = r.Next(); err != nil {
			break
		}
		if p, ok := rec.(*dump.Policy); ok {
			slices.Reverse(p.TL)
		}
		err = w.Write(rec)
	}
	if err != io.EOF {
		return nil, err
	}
	err = w.Flush()
	return out.Bytes(), err
}

// TestBuildMITReads: kdb5_util dumps what was built, by the links and by the tree,
// forward and backward.
func TestBuildMITReads(t *testing.T) {
	d := fixtureRealm(t)
	for what, text := range mitCases(t) {
		name, _ := mustBuild(t, text, BuildOptions{})
		d.install(t, name)
		want, err := loadedTwice(text)
		if err != nil {
			t.Fatal(err)
		}
		d.wantDumps(t, what, want)
	}
}

// TestBuildMITChanges: kadmin.local adds, changes, renames and deletes in a tree of three
// levels that was built full, and it stays whole.
func TestBuildMITChanges(t *testing.T) {
	d := fixtureRealm(t)
	var text bytes.Buffer
	if _, err := krbtest.GenDump(&text, krbtest.GenOptions{Principals: 20_000, Policies: 20, Realm: "KDB.TEST", Base: bytes.NewReader(contents(t, "dump.v7"))}); err != nil {
		t.Fatal(err)
	}
	name, _ := mustBuild(t, text.Bytes(), BuildOptions{})
	d.install(t, name)
	d.wantDumps(t, "built", text.Bytes())
	names := []string{}
	for line := range strings.Lines(text.String()) {
		if f := strings.Split(line, "\t"); f[0] == "princ" && len(f[6]) > 20 && !strings.ContainsAny(f[6], "\\ ") {
			names = append(names, f[6])
		}
	}
	var queries []string
	query := func(format string, args ...any) { queries = append(queries, fmt.Sprintf(format, args...)) }
	rng := rand.New(rand.NewPCG(5, 6))
	const rounds = 100
	for i := range rounds {
		added := fmt.Sprintf("%c%d-new", 'a'+rng.IntN(26), i)
		victims := names[i*len(names)/rounds+rng.IntN(len(names)/rounds-3):]
		query("addprinc -pw first%d %s", i, added)
		query("delprinc -force %s", victims[0])
		query("modprinc -maxlife 1hour %s", victims[1])
		query("renprinc -force %s renamed-%d", victims[2], i)
		query("cpw -pw second%d %s", i, added)
	}
	query("addpol -history 3 -maxlife 10days new-policy")
	query("addprinc -policy new-policy -pw history0 historian")
	query("modpol -history 4 new-policy")
	query("cpw -pw history1 historian")
	query("cpw -pw history2 historian")
	query("delpol -force gen-policy-0003")
	if out := d.kadmin(t, queries); strings.Contains(out, " while ") {
		t.Fatal(out)
	}
	if out := d.kadmin(t, []string{"cpw -pw history1 historian"}); !strings.Contains(out, "reuse") {
		t.Errorf("an old password is taken again: %s", out)
	}

	want := d.dump(t)
	d.wantDumps(t, "changed", want)
	if n := bytes.Count(want, []byte("-new@KDB.TEST\t")) + bytes.Count(want, []byte("\trenamed-")); n != 2*rounds {
		t.Errorf("%d principals are new or renamed", n)
	}
	principals, policies := openFile(t, d.path), openFile(t, d.path+PolicySuffix)
	if got := dumped(t, principals, policies); !bytes.Equal(got, want) {
		t.Error("the changed database is read otherwise than by kdb5_util")
	}
	r, err := Check(principals, decodePrincipal)
	if err != nil || !r.Good() {
		t.Errorf("%+v %v", r, err)
	}
}

// TestBuildMITLoneEntry: where the last page above the leaves has but one entry, MIT's
// programs delete what is below it, and add to it.
func TestBuildMITLoneEntry(t *testing.T) {
	d := fixtureRealm(t)
	for leaves := 150; ; leaves++ {
		var lines strings.Builder
		for i := range 2 * leaves {
			lines.WriteString(princ(fmt.Sprintf("lone%03d@KDB.TEST", i), 1500, 0))
		}
		name, _ := mustBuild(t, withKM(t, lines.String()), BuildOptions{})
		above := lastAbove(t, name)
		if above == nil || above.items != 1 {
			if leaves > 400 {
				t.Fatal("no page has one entry")
			}
			continue
		}
		d.install(t, name)
		var queries []string
		for i := 2*leaves - 4; i < 2*leaves; i++ {
			queries = append(queries, fmt.Sprintf("delprinc -force lone%03d", i))
		}
		d.kadmin(t, queries)
		d.wantDumps(t, "deleted", d.dump(t))
		queries = nil
		for i := range 30 {
			queries = append(queries, fmt.Sprintf("addprinc -randkey mine%03d", i), fmt.Sprintf("addprinc -randkey zone%03d", i))
		}
		d.kadmin(t, queries)
		want := d.dump(t)
		d.wantDumps(t, "added", want)
		if n := bytes.Count(want, []byte("\nprinc\t")); n != 2+2*leaves-4+60 {
			t.Errorf("%d principals", n)
		}
		if r, err := Check(openFile(t, d.path), decodePrincipal); err != nil || !r.Good() {
			t.Errorf("%+v %v", r, err)
		}
		return
	}
}

// lastAbove is the last page above the leaves, nil if that is the root.
func lastAbove(t *testing.T, name string) *page {
	t.Helper()
	f := openFile(t, name).(*File)
	for n := uint32(rootPage); ; {
		p, err := f.page(n)
		if err != nil {
			t.Fatal(err)
		}
		if p.kind == typeLeaf {
			return nil
		}
		it, err := p.internal(p.items - 1)
		if err != nil {
			t.Fatal(err)
		}
		if below, err := f.page(it.child); err != nil || below.kind == typeLeaf {
			if n == rootPage {
				return nil
			}
			return &p
		}
		n = it.child
	}
}

// TestBuildServes: a krb5kdc that runs on a database takes one that was built, and
// gives tickets from it.
func TestBuildServes(t *testing.T) {
	r := krbtest.New(t, krbtest.Options{})
	r.AddPrincipal("alice", "wonder")
	text, err := r.Primary.DumpText()
	if err != nil {
		t.Fatal(err)
	}
	name, _ := mustBuild(t, text, BuildOptions{Verifier: dump.NewVerifier(dump.VerifyOptions{Realm: r.Name})})
	r.StartKDC(t)
	(&database{node: r.Primary, path: r.Primary.Database}).install(t, name)
	if err := r.Primary.Kinit("alice", "wonder"); err != nil {
		t.Fatal(err)
	}
	r.Kadmin("cpw -pw changed alice")
	if err := r.Primary.Kinit("alice", "changed"); err != nil {
		t.Fatal(err)
	}
}

// TestBuildOverflowsAsMIT: what goes to overflow pages is what MIT's load puts there, of
// records and of names on both sides of the limit.
func TestBuildOverflowsAsMIT(t *testing.T) {
	flags := func(r Records) map[string]byte {
		all := make(map[string]byte)
		err := r.(*File).leaves(func(p *page) error {
			for i := range p.items {
				it, err := p.leaf(i)
				if err != nil {
					return err
				}
				all[string(it.key)] = it.flags
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	d := fixtureRealm(t)
	var lines strings.Builder
	seen := [4]int{}
	for size := 2020; size <= 2030; size++ {
		name := fmt.Sprintf("e%d@KDB.TEST", size)
		lines.WriteString(princ(name, size-recordSize(name), 0))
	}
	d.load(t, withKM(t, lines.String()))
	name, _ := mustBuild(t, withKM(t, lines.String()), BuildOptions{})
	got, want := flags(openFile(t, name)), flags(openFile(t, d.path))
	for record, f := range want {
		seen[f]++
		if got[record] != f {
			t.Errorf("%q: flags %d, MIT's are %d", record, got[record], f)
		}
	}
	if seen[0] < 5 || seen[bigData] < 5 {
		t.Errorf("%v", seen)
	}
}
