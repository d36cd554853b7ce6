package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/pkg/rdist/wire"
)

// The recordings were made below this directory.
const recordedRoot = "/tmp/rd"

// recordedName is the start of a name in recorded octets, not the part of one.
var recordedName = regexp.MustCompile(`(^|[^a-z])/tmp/rd\b`)

// moved gives recorded octets with the names below root.
func moved(octets []byte, root string) []byte {
	return recordedName.ReplaceAll(octets, []byte("${1}"+strings.ReplaceAll(root, "$", "$$")))
}

// item is a row of the tables of info.md.
type item struct {
	path, link, kind string
	mode             uint32
	uid, gid         int
	size, mtime      string // "-": not told; "now" is a time of the recording
	links            int
	sum              string
}

var ids = map[string]int{
	"root": 0, "alice": 1001, "bob": 1002, "carol": 1005, "staff": 1001, "ops": 1005, "(remote bob)": 2002, "(remote staff)": 2001,
}

// readTree reads one of the tables, "before" or "after".
func readTree(t *testing.T, info, which, root string) []item {
	t.Helper()
	_, text, _ := strings.Cut(info, "## Tree "+which+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	var items []item
	for _, row := range strings.Split(text, "\n| `")[1:] {
		name, rest, ok := strings.Cut(row, "`")
		cells := strings.Split(strings.TrimRight(rest, " |\n"), " | ")
		if !ok || strings.Contains(cells[0], "(absent)") {
			continue
		}
		i := item{path: string(moved([]byte(name), root)), kind: cells[1], size: cells[4], mtime: cells[5], sum: cells[7]}
		i.path = strings.ReplaceAll(i.path, `\xe9`, "\xe9")
		i.link = strings.TrimPrefix(cells[0], " -> ")
		mode, err := strconv.ParseUint(cells[2], 8, 32)
		if err != nil {
			t.Fatalf("%q: %v", row, err)
		}
		i.mode = uint32(mode)
		i.links, _ = strconv.Atoi(cells[6])
		owner, group, _ := strings.Cut(cells[3], ":")
		i.uid, i.gid = idOf(t, owner), idOf(t, group)
		items = append(items, i)
	}
	return items
}

func idOf(t *testing.T, name string) int {
	if id, ok := ids[name]; ok {
		return id
	}
	id, err := strconv.Atoi(name)
	if err != nil {
		t.Fatalf("the user or group %q is not known", name)
	}
	return id
}

// contents has what the files of the recordings contained, by digest, as far as
// it was ever sent.
func contents(t *testing.T) map[string][]byte {
	t.Helper()
	known := map[string][]byte{}
	streams, err := filepath.Glob(filepath.Join(sessions, "*", "client-to-server*.bin"))
	if err != nil || len(streams) < 60 {
		t.Fatalf("%d streams: %v", len(streams), err)
	}
	for _, name := range streams {
		octets, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for len(octets) > 0 {
			line, rest, _ := bytes.Cut(octets, []byte("\n"))
			octets = rest
			if len(line) == 0 || line[0] != wire.OpRegular {
				continue
			}
			if o, err := wire.ParseObject(string(line[1:])); err == nil && o.Size <= int64(len(rest)) {
				known[digestOf(rest[:o.Size])] = rest[:o.Size]
			}
		}
	}
	return known
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// makeTree makes what a table lists. Contents that were never sent are made up,
// and known has them from then on.
func makeTree(t *testing.T, items []item, known map[string][]byte) {
	t.Helper()
	first := map[string]string{} // of files with several names
	for _, i := range items {
		must(t, os.MkdirAll(filepath.Dir(i.path), 0o755))
		switch i.kind {
		case "dir":
			must(t, os.MkdirAll(i.path, 0o755))
		case "link":
			must(t, os.Symlink(i.link, i.path))
		case "fifo":
			must(t, unix.Mkfifo(i.path, 0o600))
		case "file":
			// Names of one file are all in the source, or all in the target.
			key := i.sum + strconv.FormatBool(strings.Contains(i.path, "/src/"))
			if i.links > 1 && first[key] != "" {
				must(t, os.Link(first[key], i.path))
				continue
			}
			first[key] = i.path
			if _, ok := known[i.sum]; !ok {
				size, err := strconv.Atoi(i.size)
				must(t, err)
				known[i.sum] = bytes.Repeat([]byte{'?'}, size)
			}
			must(t, os.WriteFile(i.path, known[i.sum], 0o600))
		default:
			t.Fatalf("%s: unknown kind %q", i.path, i.kind)
		}
	}
	for _, i := range slices.Backward(items) {
		must(t, os.Lchown(i.path, i.uid, i.gid))
		if i.kind != "link" {
			must(t, unix.Chmod(i.path, i.mode))
		}
		if seconds, err := strconv.ParseInt(i.mtime, 10, 64); err == nil {
			when := unix.Timespec{Sec: seconds}
			must(t, unix.UtimesNanoAt(unix.AT_FDCWD, i.path, []unix.Timespec{when, when}, unix.AT_SYMLINK_NOFOLLOW))
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// checkTree compares what is below root with a table.
func checkTree(t *testing.T, root string, items []item, known map[string][]byte) {
	t.Helper()
	want := map[string]item{}
	for _, i := range items {
		want[i.path] = i
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		must(t, err)
		i, ok := want[path]
		if !ok {
			parent := slices.ContainsFunc(items, func(i item) bool { return strings.HasPrefix(i.path, path+"/") })
			if !parent && path != root && path != filepath.Join(root, "home") && filepath.Dir(path) != filepath.Join(root, "home") {
				t.Errorf("%s is left over", path)
			}
			return nil
		}
		delete(want, path)
		if got := describe(t, path, i, known); got != expected(i, known) {
			t.Errorf("%s:\ngot  %s\nwant %s", path, got, expected(i, known))
		}
		return nil
	})
	must(t, err)
	for path := range want {
		t.Errorf("%s is missing", path)
	}
}

func expected(i item, known map[string][]byte) string {
	if i.kind == "file" {
		i.sum = digestOf(known[i.sum])
	}
	return fmt.Sprintf("%s %s %o %d:%d %s %s %d %s", i.kind, i.link, i.mode, i.uid, i.gid, i.size, i.mtime, i.links, i.sum)
}

// describe is an item as it is, in the words of the wanted one.
func describe(t *testing.T, path string, like item, known map[string][]byte) string {
	t.Helper()
	info, err := os.Lstat(path)
	must(t, err)
	st := info.Sys().(*syscall.Stat_t)
	i := item{mode: st.Mode & 0o7777, uid: int(st.Uid), gid: int(st.Gid), size: "-", mtime: like.mtime, sum: "-"}
	if _, err := strconv.ParseInt(like.mtime, 10, 64); err == nil {
		i.mtime = strconv.FormatInt(st.Mtim.Sec, 10)
	} else if like.mtime == "now" && st.Mtim.Sec < 1700000000 {
		i.mtime = "long ago"
	}
	if !info.IsDir() {
		i.size, i.links = strconv.FormatInt(st.Size, 10), int(st.Nlink)
	}
	switch info.Mode().Type() {
	case 0:
		i.kind = "file"
		data, err := os.ReadFile(path)
		must(t, err)
		return fmt.Sprintf("%s %s %o %d:%d %s %s %d %s", i.kind, i.link, i.mode, i.uid, i.gid, i.size, i.mtime, i.links, digestOf(data))
	case fs.ModeDir:
		i.kind = "dir"
	case fs.ModeSymlink:
		i.kind = "link"
		i.link, err = os.Readlink(path)
		must(t, err)
	case fs.ModeNamedPipe:
		i.kind = "fifo"
	}
	return expected(i, known)
}
