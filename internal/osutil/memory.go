package osutil

import (
	"bufio"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// AvailableMemory is about how much memory this process can take without
// swapping or being killed, in bytes: what the kernel says that the machine has,
// and not more than the limits of the control groups (version 2) leave. It is 0
// if nothing can be found out.
func AvailableMemory() int64 {
	available := machineRoom("/proc/meminfo")
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return available
	}
	for line := range strings.Lines(string(groups)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return min(available, groupRoom("/sys/fs/cgroup", strings.TrimSpace(path)))
		}
	}
	return available
}

// machineRoom is what the machine has. A unit with ProcSubset=pid hides the file of
// that; the system call counts as taken what the page cache would give back, but
// for buffers.
func machineRoom(meminfo string) int64 {
	if kib, ok := field(meminfo, "MemAvailable:"); ok {
		return kib << 10
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return int64(uint64(info.Freeram)+uint64(info.Bufferram)) * int64(info.Unit)
}

// groupRoom is the least room that a control group or one above it leaves. What
// the page cache holds of its memory is given back when it is asked for.
func groupRoom(root, path string) int64 {
	room := int64(math.MaxInt64)
	for ; ; path = filepath.Dir(path) {
		dir := filepath.Join(root, path)
		if text, err := os.ReadFile(filepath.Join(dir, "memory.max")); err == nil {
			if limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil { // or the word max
				used, _ := field(filepath.Join(dir, "memory.stat"), "anon")
				room = min(room, max(0, limit-used))
			}
		}
		if path == "/" || path == "." {
			return room
		}
	}
}

// field is the number behind a word at the start of a line.
func field(path, name string) (int64, bool) {
	f, err := os.Open(path)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) > 1 && words[0] == name {
			n, err := strconv.ParseInt(words[1], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
