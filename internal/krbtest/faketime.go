package krbtest

import (
	"errors"
	"path/filepath"
)

// StartFaked is StartDaemon for a program of MIT's whose clock is off by so
// much, such as "-1h". It does without the program faketime, which leaves a
// semaphore behind when it is killed, and then fails when a later process has
// the same number.
func (n *Node) StartFaked(offset string, port int, program string, args ...string) (*Daemon, error) {
	libraries, err := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1")
	if err != nil {
		return nil, err
	}
	if len(libraries) == 0 {
		return nil, errors.New("libfaketime is not installed: make testdeps")
	}
	if program, err = LookPath(program); err != nil {
		return nil, err
	}
	env := []string{"LD_PRELOAD=" + libraries[0], "FAKETIME=" + offset, "FAKETIME_DISABLE_SHM=1", program}
	return n.StartDaemon(port, "env", append(env, args...)...)
}
