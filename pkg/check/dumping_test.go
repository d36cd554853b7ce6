package check

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/child"
	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/kdb/db2"
)

// Each reason why there is no dump leads to its own mend, and none of them
// leaves keys in a shared directory.
func TestDumpFindings(t *testing.T) {
	util := func(exit int, said string, err error) error {
		return &kdb.UtilError{Path: "/usr/sbin/kdb5_util", ExitCode: exit, Stderr: said, Err: err}
	}
	for _, c := range []struct {
		name string
		err  error
		want string // part of the first finding; empty: there is none
	}{
		{"full disk", util(0, "", syscall.ENOSPC), "df -h /d/dump"},
		{"full disk, by its words", util(1, "kdb5_util: No space left on device", nil), "df -h /d/dump"},
		{"cut", fmt.Errorf("verify: %w", &dump.FaultError{Line: 7, Msg: "x"}), "df -h /d/dump"},
		{"other realm", dump.ErrWrongRealm, "database_name of R.TEST"},
		{"no program", util(-1, "", fs.ErrNotExist), "apt-get install krb5-kdc"},
		{"no database", util(1, "kdb5_util: No such file or directory while initializing database", nil), "is this the primary?"},
		{"not allowed", util(1, "kdb5_util: Insufficient permission to lock file", nil), "ReadWritePaths="},
		{"read-only", util(1, "kdb5_util: Read-only file system", nil), "ReadWritePaths="},
		{"locked", util(-1, "", &child.StalledError{Limit: time.Minute}), "fuser -v /srv/principal*"},
		{"something else", util(1, "kdb5_util: what now", nil), "kdb5_util -r R.TEST dump"},
		{"locked, natively", fmt.Errorf("dump: %w", &child.StalledError{Limit: time.Minute}), "fuser -v /srv/principal*"},
		{"not allowed, natively", &fs.PathError{Op: "open", Path: "/srv/principal.ok", Err: syscall.EACCES}, "run kprop as root"},
		{"damaged", fmt.Errorf("dump: %w", &db2.CorruptError{Path: "/srv/principal", Page: 7}), "kprop dbcheck -r R.TEST"},
		{"damaged, and kdb5_util says so too", errors.Join(util(1, "x", nil), &db2.CorruptError{Page: 7}), "kprop dbcheck -r R.TEST"},
		{"engine", &kdb.EngineError{Engine: kdb.DB2, Verb: "dump", Reason: "x", Mend: "y"}, ""},
		{"unknown", errors.New("x"), ""},
	} {
		found := Dump("R.TEST", "/srv/principal", "/d/dump", c.err)
		if (c.want == "") != (len(found) == 0) || len(found) > 0 && !strings.Contains(found[0].String(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, found, c.want)
		}
		for _, f := range found {
			if strings.Contains(f.String(), "/tmp") {
				t.Errorf("%s: %s", c.name, f)
			}
		}
	}
}

// What kprop does not send is told with the way to a good dump first.
func TestBadDumpFindings(t *testing.T) {
	for _, c := range []struct {
		err         error
		first, mend string
	}{
		{&dump.FaultError{Line: 7, Msg: "x"}, "nothing was sent: it is cut or damaged", "df -h /d/dump"},
		{dump.ErrNoKM, "nothing was sent: it is cut or damaged", "kdb5_util dump /d/dump"},
		{fmt.Errorf("verify: %w", dump.ErrWrongRealm), "nothing was sent: it is not a dump of R.TEST", "-r"},
	} {
		found := BadDump("R.TEST", "/d/dump", c.err)
		if len(found) != 2 || !strings.HasPrefix(found[0].Problem, c.first) || !strings.Contains(found[0].String(), c.mend) || !strings.Contains(found[1].Problem, "--no-verify") {
			t.Errorf("%v: %v", c.err, found)
		}
	}
}
