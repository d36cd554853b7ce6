package lmdb

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// mapped is how many bytes of a file a process has mapped, in its largest
// mapping: what LMDB calls the map size of that process. It is 0 if the process
// is not there, has not mapped the file or may not be looked at.
func mapped(pid int, file os.FileInfo) uint64 {
	st, ok := file.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0
	}
	defer f.Close()
	var largest uint64
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// from-to rights offset device inode path
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[4] != strconv.FormatUint(st.Ino, 10) {
			continue
		}
		from, to, _ := strings.Cut(fields[0], "-")
		a, err1 := strconv.ParseUint(from, 16, 64)
		b, err2 := strconv.ParseUint(to, 16, 64)
		// The device number there is not always that of stat, as on btrfs.
		if err1 == nil && err2 == nil && strings.HasSuffix(fields[5], "/"+file.Name()) {
			largest = max(largest, b-a)
		}
	}
	return largest
}
