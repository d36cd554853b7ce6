package check

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/pkg/kdb/lmdb"
)

// openToOthers is about a file with keys that more than its owner can read.
func openToOthers(path, what string, mode fs.FileMode) []Item {
	text := fmt.Sprintf("%s %s has mode %04o, it holds keys", what, path, mode)
	if mode&0o007 != 0 {
		return failItem(text+", and everybody on this host can use it", "chmod 600 "+path)
	}
	return warnItem(text+", and a group can use it", "chmod 600 "+path)
}

// checkModes looks at mode and owner of everything that holds keys, and of the
// directories in which it is. The mode of the stash has its own check.
func (f *files) checkModes(context.Context) []Item {
	var items []Item
	seen, dirs := 0, []string{}
	for _, path := range f.keyFiles() {
		st, err := os.Stat(path)
		if err != nil {
			continue
		}
		seen++
		if mode := st.Mode().Perm(); mode&0o077 != 0 && path != f.settings.StashFile {
			items = append(items, openToOthers(path, "the file", mode)...)
		}
		items = append(items, foreign(path, st)...)
		if dir := filepath.Dir(path); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
			items = append(items, replaceable(dir)...)
		}
	}
	if len(items) > 0 {
		return items
	}
	return okItem("%d files with keys are for their owner alone, and so are their directories", seen)
}

// keyFiles are all that may be there: database, keytab, dumps and stash.
func (f *files) keyFiles() []string {
	paths := append(append(f.databaseFiles(), lmdb.SpareFiles(f.database())...), f.settings.StashFile)
	if path, err := keytab.Path(f.keytabName()); err == nil {
		paths = append(paths, path)
	}
	if f.dump != "" {
		paths = append(paths, f.dump, f.dump+".temp")
	}
	if f.history != "" {
		more, err := filepath.Glob(filepath.Join(globEscape(f.history), "*"))
		if err == nil {
			paths = append(paths, more...)
		}
	}
	return paths
}

// globEscape makes a path match itself alone.
func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// foreign is about a file that belongs to neither root nor this user.
func foreign(path string, st fs.FileInfo) []Item {
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || sys.Uid == 0 || int(sys.Uid) == os.Geteuid() {
		return nil
	}
	return warnItem(fmt.Sprintf("%s belongs to user %d, it holds keys", path, sys.Uid), "chown root: "+path)
}

// replaceable is about a directory in which others may put files in the place
// of those with keys.
func replaceable(dir string) []Item {
	st, err := os.Stat(dir)
	if err != nil {
		return nil
	}
	items := foreign(dir, st)
	mode := st.Mode().Perm()
	text := fmt.Sprintf("the directory %s has mode %04o, files with keys are in it", dir, mode)
	switch {
	case mode&0o002 != 0 && st.Mode()&fs.ModeSticky == 0:
		return append(failItem(text+", and everybody on this host can replace them", "chmod go-w "+dir), items...)
	case mode&0o020 != 0 && st.Mode()&fs.ModeSticky == 0:
		return append(warnItem(text+", and a group can replace them", "chmod go-w "+dir), items...)
	}
	return items
}
