// Package confine lets a process give up, for itself and for all that it
// starts, the files and ports that it does not need, by Landlock, a part of the
// Linux kernel (landlock(7)).
package confine

import (
	"errors"
	"fmt"
	"os"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// Places are what a process keeps, besides what every program needs. Each path
// of a file stands for the directory that holds it and all below, since files
// get replaced; and where a symbolic link leads counts as well. What is not
// there stands for the nearest directory that is.
type Places struct {
	Run   []string // programs, with what they load
	Read  []string // files and directories to be read
	Write []string // to be read, written, made, renamed and removed, but not run
	Keep  []string // the same, and symbolic links made and directories removed

	// Connect are the TCP ports that can be connected to, where the kernel can
	// tell. None can be bound: what is to listen must do so before.
	Connect []uint16
}

// ErrNot is wrapped by Apply if nothing was given up.
var ErrNot = errors.New("not confined by Landlock")

const (
	// leastVersion has the right to link and rename between directories,
	// which is refused altogether by the one before.
	leastVersion = 2
	mayRead      = ll.AccessFSReadFile | ll.AccessFSReadDir
	mayRun       = mayRead | ll.AccessFSExecute
	mayWrite     = mayRead | ll.AccessFSWriteFile | ll.AccessFSTruncate | ll.AccessFSMakeReg | ll.AccessFSMakeDir |
		ll.AccessFSRemoveFile | ll.AccessFSRefer
	mayKeep = mayWrite | ll.AccessFSMakeSym | ll.AccessFSRemoveDir
)

// selinuxFile is there where SELinux is on. A variable for the tests.
var selinuxFile = "/sys/fs/selinux/enforce"

// Apply confines all threads of this process, and what they start, for good. Of
// what the kernel is too old for it does as much as it can. It gives the
// version of the kernel's Landlock; the error wraps ErrNot where there is none,
// or one that is of no use here.
func (p Places) Apply() (version int, err error) {
	version, err = ll.LandlockGetABIVersion()
	if err != nil {
		return 0, fmt.Errorf("%w: the kernel has none, or it is off (%w)", ErrNot, err)
	}
	if version < leastVersion {
		return version, fmt.Errorf("%w: the kernel's is of version %d, and %d, of Linux 5.19, is needed", ErrNot, version, leastVersion)
	}
	// Red Hat's MIT programs label the files that they make by writing to
	// /proc, which cannot be allowed for those that they alone need.
	if _, err := os.Stat(selinuxFile); err == nil {
		return version, fmt.Errorf("%w: SELinux is on, and programs could no more label the files that they make", ErrNot)
	}
	// Not a later version: what that would forbid is not known here. Version 5
	// is the last that lets unix sockets, and so the log, alone.
	if err := landlock.V5.BestEffort().Restrict(p.rules()...); err != nil {
		return version, fmt.Errorf("confine by Landlock: %w", err)
	}
	return version, nil
}

func (p Places) rules() []landlock.Rule {
	beneath := func(rights landlock.AccessFSSet, paths []string) landlock.Rule {
		return landlock.PathAccess(rights, paths...).IgnoreIfMissing()
	}
	list := []landlock.Rule{
		beneath(mayRun, append(existing(programs), directories(p.Run)...)),
		beneath(mayRead, append(existing(settings), directories(p.Read)...)),
		beneath(mayWrite, directories(p.Write)),
		beneath(mayKeep, directories(p.Keep)),
		beneath(ll.AccessFSReadFile, existing(devices)),
		beneath(ll.AccessFSReadFile|ll.AccessFSWriteFile|ll.AccessFSTruncate, existing([]string{os.DevNull})),
	}
	for _, port := range p.Connect {
		list = append(list, landlock.ConnectTCP(port))
	}
	return list
}
