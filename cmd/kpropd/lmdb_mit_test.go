//go:build klmdb

// Run with: .ci/klmdb DIR && KPROP_KLMDB=DIR go test -tags klmdb -run OfMIT ./pkg/kdb/lmdb ./cmd/kpropd
package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb/lmdb"
)

// klmdbEnv names a directory with MIT's klmdb.so, which Debian does not build:
// .ci/klmdb does, from Debian's source.
const klmdbEnv = "KPROP_KLMDB"

// setModule makes the database of the node one of LMDB.
func setModule(t *testing.T, n *krbtest.Node, realm string, mapSize int) {
	t.Helper()
	conf, _, _ := strings.Cut(content(t, n.KDCConf), "\n[dbmodules]")
	conf += fmt.Sprintf("\n[dbmodules]\n\tdb_module_dir = %s\n\t%s = {\n\t\tdb_library = klmdb\n\t\tmapsize = %d\n\t}\n", os.Getenv(klmdbEnv), realm, mapSize)
	ok(t, os.WriteFile(n.KDCConf, []byte(conf), 0o600))
}

func digest(t *testing.T, text string) string {
	t.Helper()
	report := must(dump.Verify(strings.NewReader(text), dump.VerifyOptions{Digest: true}))(t)
	return string(report.Digest)
}

// TestLMDBOfMIT is the whole way with MIT's own programs and module.
func TestLMDBOfMIT(t *testing.T) {
	if os.Getenv(klmdbEnv) == "" {
		t.Fatalf("%s names no directory with klmdb.so; make one with .ci/klmdb", klmdbEnv)
	}
	r := startRealm(t)
	n := r.Replica
	setModule(t, n, r.Name, 8)
	r.AddPrincipal("bob", "secret")
	r.Dump()
	d := r.StartKpropd(t, ourKpropd)
	mustSucceed(t, r, "", d, "127.0.0.1")
	sameDatabase(t, r)
	must(n.StartKDC())(t)
	ok(t, n.Kinit("bob", "secret"))

	// The KDC has the new contents without a restart.
	for i := range 20 {
		password := fmt.Sprintf("secret%d", i)
		r.Kadmin("change_password -pw " + password + " bob")
		r.Dump()
		mustSucceed(t, r, ourKprop, d, "127.0.0.1")
		ok(t, n.Kinit("bob", password))
	}
	sameDatabase(t, r)
	good := content(t, r.Primary.DumpFile)

	// kpropd does not know of the smaller mapsize, kdb5_util does.
	setModule(t, n, r.Name, 1)
	setDump(t, r, largeDump(t, r, 8000, 1))
	_, stderr, exit := r.Kprop("", r.KpropArgs(d, "127.0.0.1")...)
	for _, want := range []string{"MDB_MAP_FULL", "kdb5_util has deleted the LMDB database " + n.Database, "it was put back as it was before", "systemctl restart krb5-kdc"} {
		if exit != 1 || !strings.Contains(stderr, want) {
			t.Errorf("exit status %d, no %q: %s", exit, want, stderr)
		}
	}
	if got := dumpOf(t, n); got != good {
		t.Errorf("the database has changed: its dump has %d bytes, had %d", len(got), len(good))
	}
	if n.Kinit("bob", "secret19") == nil {
		t.Error("krb5kdc answers from a deleted file: the message is wrong")
	}
	must(n.StartKDC())(t)
	ok(t, n.Kinit("bob", "secret19"))

	// Now it does, and the KDC is left in peace.
	wantStop(t, d)
	d = r.StartKpropd(t, ourKpropd)
	_, stderr, exit = r.Kprop("", r.KpropArgs(d, "127.0.0.1")...)
	if exit != 1 || !strings.Contains(stderr, "mapsize allows 1; set mapsize = 16 in subsection "+r.Name) {
		t.Errorf("exit status %d: %s", exit, stderr)
	}
	ok(t, n.Kinit("bob", "secret19"))
	wantStop(t, d)

	// As it says: mapsize, and restarts. Without that of krb5kdc it is refused.
	setModule(t, n, r.Name, 16)
	d = r.StartKpropd(t, ourKpropd)
	_, stderr, exit = r.Kprop("", r.KpropArgs(d, "127.0.0.1")...)
	if exit != 1 || !strings.Contains(stderr, "has mapped only 1 MiB of "+n.Database+".mdb and could not read it after the load") {
		t.Errorf("exit status %d: %s", exit, stderr)
	}
	n.StopKDC()
	must(n.StartKDC())(t)
	for seed := range 4 {
		text := largeDump(t, r, 8000, int64(seed))
		setDump(t, r, text)
		mustSucceed(t, r, "", d, "127.0.0.1")
		if dumpOf(t, n) != string(text) {
			t.Error("another database")
		}
		ok(t, n.Kinit("bob", "secret19"))
	}
	if lmdb.Spare(n.Database) {
		t.Error("a copy is left")
	}

	// A kdb5_util that deletes the database was killed, and kpropd too, while
	// krb5kdc has both files open.
	wantStop(t, d)
	last := dumpOf(t, n)
	ok(t, lmdb.Keep(testContext(t), n.Database))
	ok(t, zero(lmdb.Files(n.Database)[0], 1))
	d = r.StartKpropd(t, ourKpropd)
	logged(t, d, "it was put back as it was before")
	if dumpOf(t, n) != last {
		t.Error("another database")
	}
	if n.Kinit("bob", "secret19") == nil {
		t.Error("krb5kdc answers from a deleted file")
	}
	must(n.StartKDC())(t)
	ok(t, n.Kinit("bob", "secret19"))
	setDump(t, r, []byte(last))
	mustSucceed(t, r, "", d, "127.0.0.1")
	ok(t, n.Kinit("bob", "secret19"))

	// Whenever kpropd is killed while loads fail, the database is there again.
	wantStop(t, d)
	setModule(t, n, r.Name, 128)
	for i := range 25 {
		d := r.StartKpropd(t, ourKpropd)
		setModule(t, n, r.Name, 4)
		setDump(t, r, largeDump(t, r, 9000, int64(i)))
		wait := begin(t, r, "", d)
		ok(t, d.WaitOutput(testContext(t), "Load PID is"))
		// When it is killed shall be random; nothing is waited for.
		time.Sleep(time.Duration(rand.Int64N(int64(300 * time.Millisecond))))
		d.Kill()
		wait()
		setModule(t, n, r.Name, 128)
		d = r.StartKpropd(t, ourKpropd)
		if strings.Contains(d.Output(), "it was put back as it was before") {
			t.Logf("kill %d: put back", i)
		}
		wantStop(t, d)
		// Without counters of logins, which are not part of the transaction.
		if got := digest(t, dumpOf(t, n)); got != digest(t, last) {
			t.Fatalf("kill %d: another database", i)
		}
		if lmdb.Spare(n.Database) {
			t.Errorf("kill %d: a copy is left", i)
		}
	}
}
