package kdb_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/kdb/db2"
)

// kadmin runs a script of kadmin.local.
func (r *realm) kadmin(t *testing.T, script string) {
	t.Helper()
	path, err := krbtest.LookPath("kadmin.local")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-r", realmName)
	cmd.Env = r.util.Env
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), " while ") {
		t.Fatalf("kadmin.local: %v\n%.2000s", err, out)
	}
}

var formats = []struct {
	options []string
	header  dump.Header
	reverse bool
}{
	{nil, dump.Header{}, false},
	{[]string{"-r18"}, dump.Header{Version: dump.Version6}, false},
	{[]string{"-r13"}, dump.Header{Version: dump.Version5}, false},
	{[]string{"-b7"}, dump.Header{Version: dump.Version4}, false},
	{[]string{"-rev"}, dump.Header{}, true},
	{[]string{"-recurse"}, dump.Header{}, false},
}

// sameDumps holds native dumps of every format against kdb5_util's.
func (r *realm) sameDumps(t *testing.T, what string) {
	t.Helper()
	for i, f := range formats {
		r.run(t, r.util.Path, append(append([]string{"-r", realmName, "dump"}, f.options...), r.path("mit"))...)
		want := read(t, r.path("mit"))
		mode := db2.SnapshotMode(i % 4)
		n := kdb.Native{Library: "db2", Database: r.path("principal"), Header: f.header, Reverse: f.reverse,
			Verify: dump.VerifyOptions{Digest: true}, Snapshot: db2.SnapshotOptions{Mode: mode}}
		d, err := n.Dump(context.Background(), r.path("native"))
		if err != nil {
			t.Fatalf("%s, %v: %v", what, f.options, err)
		}
		if !bytes.Equal(read(t, r.path("native")), want) {
			t.Errorf("%s, %v, %v: the dump is not kdb5_util's", what, f.options, mode)
		}
		report, verdict := dump.Verify(bytes.NewReader(want), n.Verify)
		if d.Verdict != nil || verdict != nil || !bytes.Equal(d.Report.Digest, report.Digest) || d.Report.Principals != report.Principals || d.Held <= 0 {
			t.Errorf("%s, %v: %v, %v, held for %v", what, f.options, d.Verdict, verdict, d.Held)
		}
	}
}

// TestNativeDumpIsMITs: of a database that was loaded in random order, then lived
// in.
func TestNativeDumpIsMITs(t *testing.T) {
	r := newRealm(t)
	r.sameDumps(t, "new")
	r.load(t, 12000, true)
	r.sameDumps(t, "loaded in random order")

	rng := rand.New(rand.NewPCG(1, 2))
	var script strings.Builder
	var there []int
	for i := range 3000 {
		if rng.IntN(3) > 0 || len(there) == 0 {
			fmt.Fprintf(&script, "addprinc -nokey u%d/%s\n", i*7919%10007, strings.Repeat("n", rng.IntN(120)))
			fmt.Fprintf(&script, "addprinc -nokey %d\n", i)
			there = append(there, i)
			continue
		}
		n := rng.IntN(len(there))
		fmt.Fprintf(&script, "delprinc -force %d\n", there[n])
		there = append(there[:n], there[n+1:]...)
	}
	r.kadmin(t, script.String())
	r.sameDumps(t, "after adds and deletes")

	script.Reset()
	script.WriteString("addpol -history 5 p1\naddpol -minlength 3 -allowedkeysalts aes256-cts:normal p2\naddprinc -randkey -policy p1 big\n")
	for i := range 30 {
		fmt.Fprintf(&script, "cpw -randkey -keepold big\nsetstr %d a%d %s\n", there[i%3], i, strings.Repeat("v", 40*i))
	}
	script.WriteString("renprinc -force big bigger\nmodprinc -policy p2 bigger\n")
	for _, i := range there[3 : len(there)-2] { // most leaves are emptied
		fmt.Fprintf(&script, "delprinc -force %d\n", i)
	}
	r.kadmin(t, script.String())
	r.sameDumps(t, "with overflow pages and a free list")
	for _, suffix := range []string{"", db2.PolicySuffix} {
		if b := read(t, r.path("principal")+suffix); suffix == "" && le32(b[12:]) == 0 {
			t.Error("the free list is empty")
		}
	}
}

func le32(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 | int(b[3])<<24 }

// load loads a generated dump, which has the realm's own keys.
func (r *realm) load(t *testing.T, principals int, shuffle bool, options ...string) {
	t.Helper()
	if err := r.util.Dump(context.Background(), r.path("base")); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	_, err := krbtest.GenDump(&text, krbtest.GenOptions{Principals: principals, Policies: 20, Realm: realmName, Base: bytes.NewReader(read(t, r.path("base")))})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(text.String(), "\n"), "\n")
	lines[len(lines)-1] += "\n"
	if shuffle {
		rand.New(rand.NewPCG(3, 4)).Shuffle(len(lines)-1, func(i, j int) { lines[i+1], lines[j+1] = lines[j+1], lines[i+1] })
	}
	r.write(t, "generated", strings.Join(lines, ""))
	r.run(t, r.util.Path, append(append([]string{"-r", realmName, "load"}, options...), r.path("generated"))...)
}

// TestNativeDumpOfHash: in MIT's order.
func TestNativeDumpOfHash(t *testing.T) {
	r := newRealm(t)
	r.load(t, 3000, false, "-hash")
	r.run(t, r.util.Path, "-r", realmName, "dump", r.path("mit"))
	for mode := db2.SnapshotMemory; mode <= db2.SnapshotLocked; mode++ {
		n := kdb.Native{Library: "db2", Database: r.path("principal"), Snapshot: db2.SnapshotOptions{Mode: mode}}
		if _, err := n.Dump(context.Background(), r.path("native")); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(read(t, r.path("native")), read(t, r.path("mit"))) {
			t.Errorf("%v: the dump is not kdb5_util's", mode)
		}
	}
}

// TestNativeDumpVerbose: the names are those that MIT prints.
func TestNativeDumpVerbose(t *testing.T) {
	r := newRealm(t)
	r.kadmin(t, "addpol p1\naddprinc -nokey a\n")
	cmd := exec.Command(r.util.Path, "-r", realmName, "dump", "-verbose", r.path("mit"))
	cmd.Env = r.util.Env
	want, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	n := kdb.Native{Library: "db2", Database: r.path("principal"), Names: &got}
	if _, err := n.Dump(context.Background(), r.path("native")); err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("%q, want %q", got.String(), want)
	}
}

// TestNativeDumpOfLMDB: MIT's dumps of the recorded databases.
func TestNativeDumpOfLMDB(t *testing.T) {
	vectors := filepath.Join("..", "..", "testdata", "kdb-lmdb")
	for name, want := range map[string]string{"loaded": "../kdb/dump.v7", "changed": "changed.dump"} {
		dir := t.TempDir()
		for _, suffix := range []string{".mdb", ".lockout.mdb"} {
			if err := os.WriteFile(filepath.Join(dir, "principal"+suffix), read(t, filepath.Join(vectors, name+suffix)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		n := kdb.Native{Library: "klmdb", Database: filepath.Join(dir, "principal")}
		d, err := n.Dump(context.Background(), filepath.Join(dir, "dump"))
		if err != nil {
			t.Fatal(err)
		}
		if text := read(t, filepath.Join(dir, "dump")); !bytes.Equal(text, read(t, filepath.Join(vectors, want))) || d.Verdict != nil || d.Report.Bytes != int64(len(text)) {
			t.Errorf("%s: the dump is not MIT's, or %v", name, d.Verdict)
		}
	}
}
