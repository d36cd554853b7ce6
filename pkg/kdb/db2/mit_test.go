package db2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/dump"
)

// database is one of the real programs.
type database struct {
	node *krbtest.Node
	path string
}

func newDatabase(t *testing.T) *database {
	t.Helper()
	r := krbtest.New(t, krbtest.Options{})
	return &database{node: r.Primary, path: r.Primary.Database}
}

// dump is what kdb5_util dumps.
func (d *database) dump(t *testing.T, args ...string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dump")
	if err := d.node.Run("kdb5_util", append(append([]string{"dump"}, args...), file)...); err != nil {
		t.Fatal(err)
	}
	return fileContents(t, file)
}

func fileContents(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (d *database) load(t *testing.T, text []byte, args ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dump")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.node.Run("kdb5_util", append(append([]string{"load"}, args...), file)...); err != nil {
		t.Fatal(err)
	}
}

// kadmin runs many queries in one kadmin.local.
func (d *database) kadmin(t *testing.T, queries []string) string {
	t.Helper()
	cmd := d.node.Command(context.Background(), "kadmin.local")
	cmd.Stdin = strings.NewReader(strings.Join(queries, "\n") + "\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("kadmin.local: %v: %s", err, out)
	}
	return string(out)
}

// same checks that the two files give MIT's dump, and reports what Check finds.
func (d *database) same(t *testing.T) *CheckReport {
	t.Helper()
	want := d.dump(t)
	principals, err := OpenRecordsBytes(fileContents(t, d.path), d.path)
	if err != nil {
		t.Fatal(err)
	}
	policies, err := OpenRecordsBytes(fileContents(t, d.path+PolicySuffix), d.path+PolicySuffix)
	if err != nil {
		t.Fatal(err)
	}
	if got := dumped(t, principals, policies); !bytes.Equal(got, want) {
		t.Errorf("a dump of %d bytes, not the %d of kdb5_util", len(got), len(want))
	}
	for _, mode := range modes {
		s := snapshot(t, d.path, mode)
		var got bytes.Buffer
		_, err := s.Dump(context.Background(), &got, dump.Header{Version: dump.Version7}, DumpOptions{})
		if err = errors.Join(err, s.Close()); err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("the snapshot (%v) is dumped to %d bytes, not the %d of kdb5_util: %v", mode, got.Len(), len(want), err)
		}
	}
	rep, err := Check(policies, decodePolicy)
	if err != nil || !rep.Good() {
		t.Errorf("policies: %+v, %v", rep, err)
	}
	if rep, err = Check(principals, decodePrincipal); err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(want, []byte("\nprinc\t")); rep.Records != uint64(n) {
		t.Errorf("%d records, %d are in the dump", rep.Records, n)
	}
	return rep
}

// generated is a dump of n principals besides those of d, in random order, some
// of them with a value of many bytes.
func (d *database) generated(t *testing.T, n int, r *rand.Rand) []byte {
	t.Helper()
	var made, out bytes.Buffer
	if _, err := krbtest.GenDump(&made, krbtest.GenOptions{Principals: n, Policies: 40, Seed: r.Int64(), Base: bytes.NewReader(d.dump(t))}); err != nil {
		t.Fatal(err)
	}
	in, err := dump.NewReader(&made)
	if err != nil {
		t.Fatal(err)
	}
	w, err := dump.NewWriter(&out, in.Header())
	if err != nil {
		t.Fatal(err)
	}
	for {
		rec, err := in.Next()
		if err != nil {
			break
		}
		if p, is := rec.(*dump.Principal); is && r.IntN(20) == 0 {
			p.TL = append(p.TL, dump.TL{Type: 0x7f01, Data: make([]byte, 1500+r.IntN(20000))})
		}
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return shuffled(out.Bytes(), r)
}

// shuffled puts the records of a dump into a random order.
func shuffled(text []byte, r *rand.Rand) []byte {
	lines := bytes.SplitAfter(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	lines[len(lines)-1] = append(bytes.Clone(lines[len(lines)-1]), '\n')
	body := lines[1:]
	r.Shuffle(len(body), func(i, j int) { body[i], body[j] = body[j], body[i] })
	return bytes.Join(lines, nil)
}

func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// changes are queries that delete about half of the principals, change, add and
// rename some, and the same with policies.
func (d *database) changes(t *testing.T, r *rand.Rand) (queries []string) {
	t.Helper()
	all := names(d.dump(t))
	for i, name := range all {
		if strings.HasPrefix(name, "K/M") || strings.HasPrefix(name, "krbtgt/") || strings.HasPrefix(name, "kadmin/") {
			continue
		}
		switch {
		case i > len(all)/2 && i < len(all)*3/4, r.IntN(4) == 0: // pages and parts of them
			queries = append(queries, "delprinc -force "+name)
		case r.IntN(10) == 0: // grows and shrinks
			queries = append(queries, "cpw -randkey -keepold "+name, "modprinc -maxlife 3h "+name)
		case r.IntN(20) == 0:
			queries = append(queries, "cpw -randkey -e aes128-cts:normal "+name)
		case r.IntN(40) == 0:
			queries = append(queries, fmt.Sprintf("addprinc -randkey added%d", i), fmt.Sprintf("renprinc -force added%d renamed%d", i, r.IntN(1e9)))
		}
	}
	for i := range 100 {
		queries = append(queries, fmt.Sprintf("addpol -minlength %d pol%d", i%20+1, r.IntN(1e9)), fmt.Sprintf("addpol -maxfailure 3 with%d", i))
		if r.IntN(2) == 0 {
			queries = append(queries, fmt.Sprintf("delpol -force with%d", i))
		} else {
			queries = append(queries, fmt.Sprintf("modpol -maxlife 7d -allowedkeysalts aes256-cts,aes128-cts with%d", i))
		}
	}
	return queries
}

var princLine = regexp.MustCompile(`(?m)^princ\t\d+\t\d+\t\d+\t\d+\t\d+\t([^\t]*)\t`)

func names(text []byte) (all []string) {
	for _, m := range princLine.FindAllSubmatch(text, -1) {
		all = append(all, string(m[1]))
	}
	return all
}

// TestOfMIT: what kdb5_util loads in random order, and kadmin.local deletes from
// and adds to, is read as kdb5_util reads it.
func TestOfMIT(t *testing.T) {
	d, r := newDatabase(t), random(t)
	d.load(t, d.generated(t, 2500, r))
	loaded := d.same(t)
	if !loaded.Good() || loaded.Depth != 3 || loaded.Overflow < 100 {
		t.Errorf("after the load: %+v", loaded)
	}
	queries := d.changes(t, r)
	d.kadmin(t, queries)
	after := d.same(t)
	if !after.Good() || after.Free == 0 {
		t.Errorf("after %d changes: %+v", len(queries), after)
	}
	t.Logf("loaded: %+v; changed: %+v", loaded, after)
}

// TestHashOfMIT: the order is that of kdb5_util.
func TestHashOfMIT(t *testing.T) {
	d, r := newDatabase(t), random(t)
	d.load(t, d.generated(t, 1000, r), "-hash")
	if rep := d.same(t); !rep.Good() || rep.Kind != HashedTable {
		t.Errorf("%+v", rep)
	}
	d.kadmin(t, d.changes(t, r))
	rep := d.same(t)
	if !rep.Good() || rep.Kind != HashedTable {
		t.Errorf("after deletes: %+v", rep)
	}
}

// TestConverted: kdb5_util and this package read files of the other byte order
// and of other page sizes.
func TestConverted(t *testing.T) {
	d, r := newDatabase(t), random(t)
	d.load(t, d.generated(t, 700, r))
	want := d.dump(t)
	f, err := OpenBytes(fileContents(t, d.path), d.path)
	if err != nil {
		t.Fatal(err)
	}
	all := records(t, f)
	for _, big := range []bool{false, true} {
		for _, size := range []int{512, 1024, 4096, 16384, 32768, 65536} {
			b := convert(all, big, size)
			if err := os.WriteFile(d.path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(d.dump(t), want) {
				t.Errorf("big endian %t, pages of %d: kdb5_util reads it otherwise", big, size)
			}
			rep := d.same(t)
			if !rep.Good() || rep.Leaked != 0 {
				t.Errorf("big endian %t, pages of %d: %+v", big, size, rep)
			}
			// Not in memory, the pages are read one by one.
			f, err := Open(bytes.NewReader(b), int64(len(b)), "converted")
			if err != nil {
				t.Fatal(err)
			}
			if got := records(t, f); len(got) != len(all) || !bytes.Equal(got[len(got)-1].data, all[len(all)-1].data) {
				t.Errorf("big endian %t, pages of %d: %d records", big, size, len(got))
			}
		}
	}
}

// TestBigKeysOfMIT: libdb2 misplaces a key that goes to overflow pages
// (reference kdb-formats.md 4.6): it looks for the place of the reference
// instead of that of the key. Check tells which names kadmin.local then does
// not find, and writing the same records anew mends it.
func TestBigKeysOfMIT(t *testing.T) {
	d, r := newDatabase(t), random(t)
	text := d.generated(t, 200, r)
	var like string
	for _, line := range bytes.SplitAfter(text, []byte("\n")) {
		if bytes.Contains(line, []byte("\tkrbtgt/")) {
			like = string(line)
		}
	}
	own := names([]byte(like))[0]
	var long []string
	for i := range 13 {
		name := fmt.Sprintf("%c%03d%s@%s", 'A'+r.IntN(10), i, strings.Repeat("x", 2000+r.IntN(300)), d.node.RealmName())
		long = append(long, name)
		line := strings.Replace(like, own, name, 1)
		line = strings.Replace(line, fmt.Sprintf("princ\t38\t%d\t", len(own)), fmt.Sprintf("princ\t38\t%d\t", len(name)), 1)
		text = append(text, line...)
	}
	var f *File
	for err := ErrNotFound; err != nil; _, err = f.Search([]byte("K/M@" + d.node.RealmName() + "\x00")) {
		// Not every order leaves K/M where it is found, and kdb5_util needs that.
		d.load(t, shuffled(text, r))
		var opened error
		if f, opened = OpenBytes(fileContents(t, d.path), d.path); opened != nil {
			t.Fatal(opened)
		}
	}
	rep := d.same(t)
	if rep.Counts[FaultUnfindable] == 0 || !rep.Whole() {
		t.Fatalf("nothing is out of place: %+v", rep)
	}
	unfindable := make(map[string]bool)
	for _, f := range rep.Faults {
		if f.Kind == FaultUnfindable {
			unfindable[f.Record] = true
		}
	}
	missed := 0
	for i, name := range long {
		_, err := f.Search([]byte(name + "\x00"))
		out := d.kadmin(t, []string{"getprinc -terse " + name})
		exists := !strings.Contains(out, "Principal does not exist")
		if exists != (err == nil) || exists == unfindable[name] {
			t.Errorf("%d: kadmin.local finds it: %t; Search: %v; Check names it: %t\n%.300s", i, exists, err, unfindable[name], out)
		}
		if !exists {
			missed++
		}
	}
	t.Logf("%d of %d names are not found; %v", missed, len(long), rep.Counts)
	if err := os.WriteFile(d.path, convert(records(t, f), false, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	if rep := d.same(t); !rep.Good() {
		t.Errorf("written anew: %+v", rep.Counts)
	}
}

// TestSmallHashOfMIT: a hash that never grew still has the masks with which libdb2
// made it, those of twice as many buckets.
func TestSmallHashOfMIT(t *testing.T) {
	d := newDatabase(t)
	d.load(t, d.dump(t), "-hash")
	h, err := OpenRecordsBytes(fileContents(t, d.path), d.path)
	if err != nil {
		t.Fatal(err)
	}
	if n, want := len(records(t, h)), bytes.Count(d.dump(t), []byte("\nprinc\t")); h.Kind() != HashedTable || n != want {
		t.Errorf("%s: %d records, want %d", h.Kind(), n, want)
	}
}
