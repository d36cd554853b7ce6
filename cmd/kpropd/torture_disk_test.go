package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/internal/osutil"
)

// faultEnv tells the role "faults", a kpropd, which of its steps on the disk
// goes wrong: STEP:ERROR, or STEP:KILL for kill -9 instead of the step. It is a
// number, or the name of a step, of which the first is meant.
const faultEnv = "KPROPD_TEST_FAULT"

// faultMark stands before the name of that step in the output.
const faultMark = "injected into: "

// injectFault is how that role begins. Steps are counted from the first
// connection on; some are made at the same time.
func injectFault() {
	step, what, _ := strings.Cut(os.Getenv(faultEnv), ":")
	at, notNumber := strconv.ParseInt(step, 10, 64)
	var steps atomic.Int64
	osutil.Fault = func(op, path string) error {
		name := op + " " + filepath.Base(path)
		if notNumber != nil && name != step {
			return nil
		}
		if n := steps.Add(1); notNumber == nil && n != at || notNumber != nil && n != 1 {
			return nil
		}
		fmt.Fprintf(os.Stderr, "%s%s\n", faultMark, name)
		switch what {
		case "EIO":
			return unix.EIO
		case "ENOSPC":
			return unix.ENOSPC
		}
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {} // until it arrives
	}
}

// injected is the step that went wrong, by a kpropd's output.
func injected(out string) string {
	_, rest, _ := strings.Cut(out, faultMark)
	step, _, _ := strings.Cut(rest, "\n")
	return step
}

// newFullDisk is newVictim with dump and database in a small file system, of
// which grow leaves so many KiB free; nil if this process may not mount one.
func newFullDisk(t *testing.T) (v *victim, grow func(free int)) {
	t.Helper()
	dir, mounted := smallDisk(t)
	if !mounted {
		return nil, nil
	}
	grow = func(free int) {
		t.Helper()
		var st unix.Statfs_t
		ok(t, unix.Statfs(dir, &st))
		used := int64(st.Blocks-st.Bfree) * st.Bsize
		ok(t, unix.Mount("kprop-test", dir, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d", used+int64(free)<<10)))
	}
	grow(4000)
	const principals = 150
	v = &victim{kpd: []string{"--check-space=false", "--keep=1"}}
	v.poisoned = newPoisonedAt(t, dir, principals, v.kpd...)
	v.begin(t, principals)
	return v, grow
}

// moveTo makes a directory the place of the replica's dump and database.
func moveTo(t *testing.T, n *krbtest.Node, dir string) {
	t.Helper()
	database := filepath.Join(dir, "principal")
	conf := strings.ReplaceAll(content(t, n.KDCConf), n.Database, database)
	ok(t, os.WriteFile(n.KDCConf, []byte(conf), 0o644))
	n.Database, n.FromMaster = database, filepath.Join(dir, "from_master")
}

// loadPID waits for kpropd's word of a load, and gives the process.
func (v *victim) loadPID(t *testing.T) (pid int) {
	t.Helper()
	eventually(t, "kdb5_util runs", func() bool {
		_, rest, found := strings.Cut(v.d.Output()[v.since:], "Load PID is ")
		line, _, whole := strings.Cut(rest, "\n")
		pid, _ = strconv.Atoi(line)
		return found && whole
	})
	return pid
}
