package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/kprop/kprop/pkg/kdb/lmdb"
)

// TestLMDBCheck: kpropd check tells beforehand what a load would come to.
func TestLMDBCheck(t *testing.T) {
	t.Parallel()
	l := newLMDB(t, "", "loaded", 8)
	n := l.r.Replica
	lines := func(args ...string) string {
		t.Helper()
		stdout, stderr, _ := runOn(t, n, ourKpropd, append([]string{"check", "-p", l.program, "-f", n.FromMaster, "-a", n.ACL}, args...)...)
		if stderr != "" {
			t.Error(stderr)
		}
		return stdout
	}
	has := func(name, text string, words ...string) {
		t.Helper()
		for _, word := range words {
			if !strings.Contains(text, word) {
				t.Errorf("%s: no %q in\n%s", name, word, text)
			}
		}
	}
	mapSize := func(from, to int) {
		t.Helper()
		ok(t, os.WriteFile(n.KDCConf, []byte(strings.Replace(content(t, n.KDCConf), fmt.Sprintf("mapsize = %d\n", from), fmt.Sprintf("mapsize = %d\n", to), 1)), 0o600))
	}
	has("database", lines(), "ok       LMDB: a load of "+l.d+" needs up to 1 MiB of the 8 MiB that mapsize allows")
	has("deep", lines("--deep"), "ok       live database: 45 principals and 5 policies, whole, and the stash opens it")
	large := grown(t, l.dump(t, "loaded"), 3000, 30)
	ok(t, os.WriteFile(n.FromMaster, large, 0o600))
	has("dump", lines(), "ok       LMDB: a load of "+n.FromMaster+" needs up to 4 MiB of the 8 MiB")
	mapSize(8, 4)
	has("soon too small", lines(), "warning  LMDB: the load needs up to 4 MiB in "+l.d+".mdb, old and new pages together, and mapsize allows 4\n", "set mapsize = 16 in subsection KDB.TEST of [dbmodules]")
	mapSize(4, 1)
	has("too small", lines(), "fail     LMDB: the load needs up to 4 MiB in "+l.d+".mdb, old and new pages together, and mapsize allows 1\n", "set mapsize = 16 in subsection KDB.TEST of [dbmodules]")
	mapSize(1, 8)
	ok(t, os.WriteFile(n.FromMaster, []byte("no dump"), 0o600))
	ok(t, lmdb.Keep(testContext(t), l.d))
	has("a copy", lines(), "warning  LMDB: a load has left a copy of the database, full of keys: "+l.d+".mdb.spare", "systemctl restart kpropd")
	ok(t, os.Chmod(l.d+".mdb.spare", 0o644))
	has("its mode", lines(), "fail     key files: the file "+l.d+".mdb.spare has mode 0644")
	for _, path := range lmdb.Files(l.d) {
		ok(t, os.Remove(path))
	}
	has("deleted", lines(), "fail     LMDB: kdb5_util has deleted the database "+l.d+", and its copy "+l.d+".mdb.spare was not put back", "systemctl restart krb5-kdc")
	ok(t, lmdb.Forget(l.d))
	has("none", lines(), "ok       LMDB: mapsize is 8 MiB; how much the realm needs is not known yet")
	l.place(t, "loaded")
	ok(t, os.WriteFile(l.d+".mdb", make([]byte, 8192), 0o600))
	has("damaged", lines("--deep"), "fail     LMDB: what a load would need is not known: read "+l.d+".mdb: not an LMDB data file", "move "+l.d+".mdb and ", "fail     live database: the database is not whole: ")
	if text := lines("-p", "/bin/true"); strings.Contains(text, "LMDB:") {
		t.Errorf("of a loader of the user's own:\n%s", text)
	}
}
