package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// root is a granted part of the file system: a directory with all below it, a
// single file, or a name that is yet to be made.
type root struct {
	// alias is how names may begin: as it was granted, and with the links
	// of that resolved.
	alias [2][]string
	// from is the nearest directory that exists above the root, and prefix
	// the way from there to the root. A root that exists has a prefix of one
	// name, so that the file that it may be can be replaced; "/" has none.
	from   *dir
	prefix []string
}

// openRoots resolves the granted names, once: later changes of links do not
// matter. No names at all grant everything.
func openRoots(names []string) (roots []*root, err error) {
	if names == nil {
		names = []string{"/"}
	}
	defer func() {
		if err != nil {
			closeRoots(roots)
		}
	}()
	for _, name := range names {
		r, err := openRoot(name)
		if err != nil {
			return roots, fmt.Errorf("open what is granted, %s: %w", name, err)
		}
		roots = append(roots, r)
	}
	return roots, nil
}

func closeRoots(roots []*root) {
	for _, r := range roots {
		r.from.close()
	}
}

func openRoot(name string) (*root, error) {
	if !filepath.IsAbs(name) {
		return nil, errors.New("it is not an absolute name")
	}
	real, missing, err := resolve(filepath.Clean(name))
	if err != nil {
		return nil, err
	}
	r := &root{alias: [2][]string{components(filepath.Clean(name)), append(components(real), missing...)}}
	r.prefix = missing
	if len(missing) == 0 && real != "/" {
		r.prefix = []string{filepath.Base(real)}
		real = filepath.Dir(real)
	}
	r.from, err = openDir(real)
	return r, err
}

// resolve gives the part of a name that exists, without links, and what is
// missing below it.
func resolve(name string) (real string, missing []string, err error) {
	for rest := name; ; rest = filepath.Dir(rest) {
		real, err = filepath.EvalSymlinks(rest)
		if err == nil {
			return real, missing, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", nil, err
		}
		if _, err := os.Lstat(rest); err == nil {
			return "", nil, fmt.Errorf("%s is a link to nothing", rest)
		}
		missing = append([]string{filepath.Base(rest)}, missing...)
	}
}

// find gives the root that a name is in, the one with the longest name if it
// is in several, and the way to it from the root's directory.
func find(roots []*root, name []string) (best *root, way []string) {
	longest := -1
	for _, r := range roots {
		for _, alias := range r.alias {
			if len(alias) > longest && len(alias) <= len(name) && slices.Equal(alias, name[:len(alias)]) {
				longest = len(alias)
				best, way = r, slices.Concat(r.prefix, name[len(alias):])
			}
		}
	}
	return best, way
}

// components splits a name. Empty ones and "." are dropped.
func components(name string) []string {
	var all []string
	for part := range strings.SplitSeq(name, "/") {
		if part != "" && part != "." {
			all = append(all, part)
		}
	}
	return all
}
