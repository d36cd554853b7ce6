package check

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kprop/kprop/internal/child"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/kdb/db2"
	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/transport"
)

// checkOwn is about the primary's database.
func (f *files) checkOwn(ctx context.Context) []Item {
	if !f.present() {
		return failItem("there is no database "+f.database()+": is this the primary?",
			"grep -A9 "+f.realm+" /etc/krb5kdc/kdc.conf    (database_name)", "kdb5_util create -s    (only for a realm that is new)")
	}
	return f.opens(ctx)
}

// opens lets kdb5_util open the database with the stash, and fetch the master
// keys: that reads one entry, and writes nothing.
func (f *files) opens(ctx context.Context) []Item {
	for _, need := range []string{nameStash, nameProgram} {
		if slices.Contains(f.blocked, need) {
			return skipItem("it needs %q, see there", need)
		}
	}
	// A loader of the user's own need not know this command.
	program := profile.DefaultLayout().KDB5Util
	ours := kdb.IsUtil(f.util, program)
	if ours {
		program = f.util
	}
	switch {
	case executable(program) == nil:
	case f.util == "" || ours:
		return skipItem("it needs %q, see there", nameProgram)
	default:
		return skipItem("%s is not there, and %s may be another program", program, f.util)
	}
	args := []string{"-r", f.realm}
	if f.path != "" {
		args = append(args, "-d", f.path)
	}
	p := child.Program{Path: program, Args: append(args, "list_mkeys"), Env: append(os.Environ(), "LC_ALL=C"), Grace: time.Second}
	e := p.Run(ctx)
	said := strings.Join(strings.Split(strings.TrimSpace(e.Stderr), "\n"), "; ")
	switch {
	case e.OK:
		return okItem("%s (%s%s) can be opened with the stash", f.database(), f.settings.DBLibrary, f.age())
	case ctx.Err() != nil:
		return skipItem("kdb5_util does not come to an end: another program has the database locked")
	case e.ExitCode < 0:
		return failItem(fmt.Sprintf("%s cannot be run: %s", program, transport.Message(e.Err)))
	case strings.Contains(said, "ermission"):
		return failItem("this user may not open "+f.database()+": "+said, "run it as root")
	case strings.Contains(said, "lock file missing"):
		return failItem("kdb5_util cannot open "+f.database()+": "+said,
			"install -m 600 /dev/null "+f.database()+db2.PolicyLockSuffix+"    (a load needs it, too; a \"kdb5_util load -update\" that was broken off takes it away)")
	case strings.Contains(said, "master key"):
		return failItem("the stash does not open "+f.database()+": "+said, f.stashMend()...)
	}
	return failItem("kdb5_util cannot open "+f.database()+": "+said, f.databaseMend()...)
}

func (f *files) databaseMend() []string {
	if f.receiver {
		return []string{"kpropd rollback    (loads the last good dump again)", "or on the primary:  kprop " + f.ownHost()}
	}
	return []string{"kdb5_util load FILE    (the last good dump: on a replica, from_master, or of kprop serve)"}
}

// age tells of when the database is, for a text in brackets.
func (f *files) age() string {
	st, err := os.Stat(f.database())
	if err != nil {
		return ""
	}
	return ", of " + st.ModTime().UTC().Format("2006-01-02 15:04 UTC")
}
