package client

import (
	"strings"

	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// destination is where a source goes (4.3).
type destination struct {
	source string // as in the distfile, with ~
	root   string // its local path
	kind   byte   // wire.OpTarget or wire.OpTargetDir
	target string // the name in the target line
	rname  string // of the source itself
}

// place decides where a source goes. isDir is whether it is a directory, and
// several whether the entry has more than one source; whole is dropped from
// the options if it has nothing to be appended to.
func place(source, root, dest string, opts option.Set, several, isDir bool) (destination, option.Set) {
	d := destination{source: source, root: root, kind: wire.OpTarget, target: dest, rname: baseName(root)}
	switch {
	case dest == "":
		d.target = source
		opts &^= option.Whole
	case opts.Has(option.Whole):
		d.kind = wire.OpTargetDir
		d.rname = wholeName(source, root)
	case several, !isDir && lastComponent(dest) == ".":
		d.kind = wire.OpTargetDir
	}
	return d, opts
}

// wholeName is a source's path without what stands for the root or the home
// directory.
func wholeName(source, root string) string {
	if strings.HasPrefix(source, "~") {
		_, root, _ = strings.Cut(source, "/")
	}
	if root = strings.TrimLeft(root, "/"); root == "" {
		return "."
	}
	return root
}

// remoteName is the name of an object on the server, as far as it is known
// here: a leading ~ is the server's to expand. path is root or below it.
func (d *destination) remoteName(path string) string {
	name := d.target
	if d.kind == wire.OpTargetDir {
		name = joinPath(name, d.rname)
	}
	if below := strings.TrimLeft(strings.TrimPrefix(path, d.root), "/"); below != "" {
		name = joinPath(name, below)
	}
	return name
}

func joinPath(dir, name string) string {
	if strings.HasSuffix(dir, "/") {
		return dir + name
	}
	return dir + "/" + name
}

func lastComponent(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// baseName is the last component of a local path, or the whole path if it has
// none.
func baseName(path string) string {
	if last := lastComponent(path); last != "" {
		return last
	}
	return path
}

// expandHome gives the local path of a source name.
func (e *env) expandHome(name string) (string, error) {
	if !strings.HasPrefix(name, "~") {
		return name, nil
	}
	user, rest, _ := strings.Cut(name[1:], "/")
	home, err := e.Home(user)
	if err != nil {
		return "", err
	}
	if rest == "" && !strings.HasSuffix(name, "/") {
		return home, nil
	}
	return joinPath(home, rest), nil
}
