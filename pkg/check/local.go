package check

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/transport"
)

// Configuration explains an error of the profile or of a keytab's name. It
// gives no findings for other errors.
func Configuration(err error) []Finding {
	var (
		syntax *profile.SyntaxError
		value  *profile.ValueError
		noKDC  *profile.NoKDCError
		unread *fs.PathError
	)
	switch {
	case errors.As(err, &syntax):
		return []Finding{{Problem: syntax.Error()}}
	case errors.As(err, &value):
		return []Finding{{Problem: value.Error()}}
	case errors.As(err, &noKDC):
		return []Finding{{
			Problem: "krb5.conf does not say where the KDC of " + noKDC.Realm + " is, and DNS does not know it",
			Remedy:  []string{"add to krb5.conf:  [realms] " + noKDC.Realm + " = { kdc = NAME-OF-THE-PRIMARY }"},
		}}
	case errors.Is(err, profile.ErrNoDefaultRealm):
		return []Finding{{
			Problem: "no default_realm in [libdefaults] of " + krb5Conf(),
			Remedy:  []string{"set it there, or name the realm with -r"},
		}}
	case errors.Is(err, transport.ErrKeytabType):
		return []Finding{{Problem: lastPart(err)}}
	case errors.As(err, &unread) && errors.Is(err, fs.ErrPermission):
		return []Finding{{Problem: "this user cannot read " + unread.Path, Remedy: []string{"run it as root, or:  chmod a+r " + unread.Path}}}
	}
	return nil
}

// krb5Conf is where the profile comes from, for people.
func krb5Conf() string {
	if env := os.Getenv("KRB5_CONFIG"); env != "" {
		return env
	}
	return strings.Join(profile.DefaultLayout().Krb5Conf, " or ")
}

func (p Propagation) configuration(err error) []Finding { return Configuration(err) }

// dump explains what is wrong with the dump or a file beside it.
func (p Propagation) dump(err error) []Finding {
	if errors.Is(err, transport.ErrSizeChanged) {
		return []Finding{{
			Problem: p.Dump + " changed while it was sent: a program other than kdb5_util wrote it; " + p.Replica + " has not loaded it",
			Remedy:  []string{"kdb5_util dump " + p.Dump, "then propagate again"},
		}}
	}
	var d *kdb.DumpFileError
	if !errors.As(err, &d) {
		return nil
	}
	path := strings.TrimSuffix(d.Path, ".dump_ok")
	again := []string{"kdb5_util dump " + path}
	switch d.Kind {
	case kdb.DumpOpen:
		if errors.Is(err, fs.ErrPermission) {
			return []Finding{{Problem: "kprop must read the dump " + path, Remedy: []string{"run it as root"}}}
		}
		return []Finding{{Problem: "the dump is not there or cannot be read: make one first", Remedy: again}}
	case kdb.DumpStat:
		return []Finding{{Problem: "kdb5_util leaves " + d.Path + " beside a dump that it has finished", Remedy: again}}
	case kdb.DumpStale:
		return []Finding{{Problem: "the dump was changed after kdb5_util had finished it, or a newer dump failed or still runs", Remedy: again}}
	case kdb.DumpLocked:
		return []Finding{{Problem: "a program is writing " + path + " just now: wait for it, then propagate again", Remedy: []string{"fuser -v " + path}}}
	}
	return nil
}

// lastPart is the most exact text of a chain of errors: that of the last of
// the errors that were joined.
func lastPart(err error) string {
	for {
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			if inner := e.Unwrap(); inner != nil && strings.HasSuffix(err.Error(), ": "+inner.Error()) {
				err = inner
				continue
			}
		case interface{ Unwrap() []error }:
			if list := e.Unwrap(); len(list) > 0 {
				err = list[len(list)-1]
				continue
			}
		}
		return err.Error()
	}
}

// UnfinishedDump is the finding that a dump lacks kdb5_util's mark.
func UnfinishedDump(path string) Finding {
	return Finding{
		Problem: path + ".dump_ok is empty: kdb5_util did not finish this dump, or a script made the file",
		Remedy:  []string{"kdb5_util dump " + path + "    (and let it write the .dump_ok file)"},
	}
}
