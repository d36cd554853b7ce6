package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
)

const (
	terminate = syscall.SIGTERM
	hangUp    = syscall.SIGHUP
)

// running gives the processes of the node that run the named program.
func running(t *testing.T, n *krbtest.Node, program string) []int {
	t.Helper()
	var pids []int
	for _, dir := range must(filepath.Glob("/proc/[0-9]*"))(t) {
		// A process that ends meanwhile, and a zombie, can't be read.
		exe, err := os.Readlink(dir + "/exe")
		if err != nil || filepath.Base(exe) != program {
			continue
		}
		env, err := os.ReadFile(dir + "/environ")
		if err == nil && bytes.Contains(env, []byte("KRB5_CONFIG="+n.Krb5Conf+"\x00")) {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			pids = append(pids, pid)
		}
	}
	return pids
}

// ended reports whether there is no such process, or only its zombie, which
// the machine's init may be slow to reap.
func ended(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// listensOn reports whether the process holds a TCP socket that listens on the
// port: the tenth field of proc(5)'s table is its inode.
func listensOn(t *testing.T, pid, port int) bool {
	t.Helper()
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		for line := range strings.Lines(string(must(os.ReadFile(table))(t))) {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) && holds(t, pid, "socket:["+f[9]+"]") {
				return true
			}
		}
	}
	return false
}

func holds(t *testing.T, pid int, file string) bool {
	t.Helper()
	for _, fd := range must(filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid)))(t) {
		if to, err := os.Readlink(fd); err == nil && to == file {
			return true
		}
	}
	return false
}
