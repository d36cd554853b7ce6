package check

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"github.com/kprop/kprop/internal/child"
	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/kdb/db2"
)

// Dump explains why no dump of a realm's database, a path without the endings of
// its files, could be made into the file at path, most probable cause first. It gives no findings where the error
// itself says all there is.
func Dump(realm, database, path string, err error) []Finding {
	var (
		util  *kdb.UtilError
		fault *dump.FaultError
		stall *child.StalledError
	)
	switch {
	case errors.As(err, &stall):
		return []Finding{{
			Problem: "another program has the database of " + realm + " locked, and the dump waits for it; or the disk of " + path + " does not answer",
			Remedy: []string{
				"fuser -v " + database + "*    (a long kdb5_util? a kadmin.local in which somebody typed lock: type unlock there, or end it)",
			},
		}}
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return []Finding{fullDisk(path)}
	case errors.As(err, new(*kdb.EngineError)):
		return nil // it names its mend
	case errors.As(err, new(*db2.CorruptError)), errors.As(err, new(*db2.RecordError)), errors.Is(err, db2.ErrFormat):
		return []Finding{{
			Problem: "the database itself is damaged; replicas keep what they have",
			Remedy:  []string{"kprop dbcheck -r " + realm + "    (what is damaged, and what a reload would mend)"},
		}}
	case errors.Is(err, fs.ErrPermission) && !errors.As(err, &util):
		return []Finding{notAllowed("the database may not be read or locked, or " + path + " not be written")}
	case errors.Is(err, dump.ErrWrongRealm):
		return []Finding{{
			Problem: "the database is not that of " + realm,
			Remedy:  []string{"see database_name of " + realm + " in kdc.conf, and realm and database in kprop.yaml"},
		}}
	case errors.As(err, &fault), errors.Is(err, dump.ErrNoKM), errors.Is(err, dump.ErrNoKrbtgt), errors.Is(err, dump.ErrEmpty):
		return []Finding{fullDisk(path), {
			Problem: "or the database itself is damaged",
			Remedy:  []string{"kdb5_util -r " + realm + " dump | kprop verify -    (it names the record; no file with keys is left)"},
		}}
	case errors.As(err, &util):
		return utilFindings(realm, path, util)
	}
	return nil
}

// BadDump explains why kprop does not send the dump at path: err is what the
// verification found.
func BadDump(realm, path string, err error) []Finding {
	all := Finding{
		Problem: "if it is to be sent as it is, kprop --no-verify does; whether it is loaded is the replica's business",
	}
	if errors.Is(err, dump.ErrWrongRealm) {
		return []Finding{{
			Problem: "nothing was sent: it is not a dump of " + realm,
			Remedy:  []string{"name the dump with -f, or the realm with -r"},
		}, all}
	}
	return []Finding{{
		Problem: "nothing was sent: it is cut or damaged, or not the whole database, as after a dump on a full disk or a copy that was broken off",
		Remedy:  []string{"df -h " + path, "kdb5_util dump " + path, "kprop verify " + path + "    (if that does not help: it is in the database)"},
	}, all}
}

func fullDisk(path string) Finding {
	return Finding{
		Problem: "the disk of " + path + " may be full; replicas keep what they have",
		Remedy:  []string{"df -h " + path + "    (a dump needs twice its size; dump: in kprop.yaml puts it elsewhere, and for kprop by hand, kprop dump FILE and kprop -f FILE)"},
	}
}

func notAllowed(problem string) Finding {
	return Finding{
		Problem: problem,
		Remedy: []string{
			"run kprop as root, as kprop.service does",
			"if database or dump have places of their own:  systemctl edit kprop.service    ([Service] ReadWritePaths=DIRECTORY)",
		},
	}
}

func utilFindings(realm, path string, e *kdb.UtilError) []Finding {
	said := strings.ToLower(e.Stderr)
	switch {
	case e.ExitCode < 0 && errors.Is(e.Err, fs.ErrNotExist):
		return []Finding{{
			Problem: e.Path + " is not there",
			Remedy:  []string{"apt-get install krb5-kdc", "or name the program in kprop.yaml:  kdb5_util: /path/to/kdb5_util"},
		}}
	case strings.Contains(said, "no such file or directory"):
		return []Finding{{
			Problem: "there is no database of " + realm + " where kdc.conf says: is this the primary?",
			Remedy:  []string{"kadmin.local -r " + realm + " listprincs | head", "see database_name of " + realm + " in kdc.conf"},
		}}
	case strings.Contains(said, "permission"), strings.Contains(said, "read-only file system"):
		return []Finding{notAllowed("kdb5_util may not lock the database, or not write " + path)}
	case strings.Contains(e.Error(), "disk full"), strings.Contains(said, "no space left"):
		return []Finding{fullDisk(path)}
	}
	return []Finding{{
		Problem: "kdb5_util dump does not work; what it says is above",
		Remedy:  []string{"kdb5_util -r " + realm + " dump >/dev/null    (the same by hand)"},
	}}
}
