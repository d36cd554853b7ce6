package main

import (
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/krbtest"
)

// play plays a parent of kpropd, see krbtest.RoleEnv. The command is what it
// runs. It returns only on failure.
func play(role string, command []string) error {
	switch role {
	case "file-limit":
		return execLimited(command)
	case "faults":
		injectFault()
		os.Exit(run("kpropd", command, os.Stdout, os.Stderr))
	case "kdb5_util":
		return fakeUtil(command)
	}
	return krbtest.Play(role, command)
}

// fileLimit is the largest file in bytes that a process under file-limit can
// write.
const fileLimit = 256 << 10

// execLimited becomes the command, whose files cannot grow beyond fileLimit.
func execLimited(command []string) error {
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: fileLimit, Max: fileLimit}); err != nil {
		return err
	}
	env := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, krbtest.RoleEnv+"=") })
	return syscall.Exec(command[0], command, env)
}
