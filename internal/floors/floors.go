// Package floors checks that the packages of this module import only what
// they may. The rules are tables; the tests hold the tree to them.
package floors

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Package is what the rules look at: one folder of Go files.
type Package struct {
	Path        string         // relative to the module, with slashes: "pkg/dump"
	Imports     []string       // import paths of all files but tests, sorted
	TestImports []string       // import paths of tests, sorted
	Lines       map[string]int // lines of each file that is not a test, by path relative to the module
}

// Rules say what a package may import.
type Rules struct {
	Module string // module path: "github.com/kprop/kprop"

	// Floors gives each package its floor. A package may import packages of
	// lower floors only. A name that ends in "/*" stands for every package
	// below it that has no entry of its own.
	Floors map[string]int

	// TestOnly packages, and all below them, may be imported by tests and by
	// each other, and may import anything.
	TestOnly []string

	// Exclusive names import paths, which stand for those below them too, and
	// the packages (or "dir/*") that may import them outside of tests.
	Exclusive map[string][]string

	// Single names import paths that at most one package imports.
	Single []string

	// Forbidden names import paths that nothing imports, tests included, and
	// the reason.
	Forbidden map[string]string

	// MaxLines is the most lines a file that is not a test may have.
	MaxLines int
}

// Check returns one sentence for each rule that a package breaks, sorted.
func (r *Rules) Check(packages []Package) []string {
	var found []string
	users := map[string][]string{}
	for _, p := range packages {
		found = append(found, r.checkFloors(p)...)
		found = append(found, r.checkExclusive(p)...)
		found = append(found, r.checkForbidden(p)...)
		for _, prefix := range r.Single {
			if slices.ContainsFunc(p.Imports, func(i string) bool { return covers(prefix, i) }) {
				users[prefix] = append(users[prefix], p.Path)
			}
		}
		for file, lines := range p.Lines {
			if lines > r.MaxLines {
				found = append(found, fmt.Sprintf("%s has %d lines, at most %d are allowed: split it by subject", file, lines, r.MaxLines))
			}
		}
	}
	for prefix, by := range users {
		if len(by) > 1 {
			found = append(found, fmt.Sprintf("%s is imported by %s: only one package may", prefix, strings.Join(by, ", ")))
		}
	}
	slices.Sort(found)
	return found
}

func (r *Rules) checkFloors(p Package) []string {
	if r.testOnly(p.Path) {
		return nil
	}
	own, ok := r.floor(p.Path)
	if !ok {
		return []string{fmt.Sprintf("%s has no floor: give it one in floors_test.go", p.Path)}
	}
	var found []string
	for _, i := range p.Imports {
		other, ok := strings.CutPrefix(i, r.Module+"/")
		if !ok {
			continue
		}
		if r.testOnly(other) {
			found = append(found, fmt.Sprintf("%s imports %s, which is for tests only", p.Path, other))
			continue
		}
		floor, ok := r.floor(other)
		if ok && floor >= own {
			found = append(found, fmt.Sprintf("%s (floor %d) imports %s (floor %d): only lower floors may be imported", p.Path, own, other, floor))
		}
	}
	return found
}

func (r *Rules) checkExclusive(p Package) []string {
	if r.testOnly(p.Path) {
		return nil
	}
	var found []string
	for _, prefix := range slices.Sorted(maps.Keys(r.Exclusive)) {
		if slices.ContainsFunc(r.Exclusive[prefix], func(who string) bool { return matches(who, p.Path) }) {
			continue
		}
		for _, i := range p.Imports {
			if covers(prefix, i) {
				found = append(found, fmt.Sprintf("%s imports %s, which %s may", p.Path, i, allowed(r.Exclusive[prefix])))
			}
		}
	}
	return found
}

func (r *Rules) checkForbidden(p Package) []string {
	var found []string
	for _, i := range slices.Concat(p.Imports, p.TestImports) {
		for prefix, why := range r.Forbidden {
			if covers(prefix, i) {
				found = append(found, fmt.Sprintf("%s imports %s: %s", p.Path, i, why))
			}
		}
	}
	return found
}

// floor finds the entry of the package itself, else that of the nearest folder.
func (r *Rules) floor(pkg string) (int, bool) {
	if f, ok := r.Floors[pkg]; ok {
		return f, true
	}
	for dir := path.Dir(pkg); dir != "."; dir = path.Dir(dir) {
		if f, ok := r.Floors[dir+"/*"]; ok {
			return f, true
		}
	}
	return 0, false
}

func (r *Rules) testOnly(pkg string) bool {
	return slices.ContainsFunc(r.TestOnly, func(t string) bool { return covers(t, pkg) })
}

func allowed(who []string) string {
	if len(who) == 0 {
		return "only tests"
	}
	return "only " + strings.Join(who, ", ")
}

// covers reports whether an import path is prefix or below it.
func covers(prefix, importPath string) bool {
	rest, ok := strings.CutPrefix(importPath, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

func matches(pattern, pkg string) bool {
	if dir, ok := strings.CutSuffix(pattern, "/*"); ok {
		return strings.HasPrefix(pkg, dir+"/")
	}
	return pattern == pkg
}

// Load reads the packages below root, the folder of go.mod. It parses only the
// import clauses, so that the tree need not compile, and takes files of all
// build constraints. Folders that the go command ignores are left out.
func Load(root string) ([]Package, error) {
	byDir := map[string]*Package{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			base := d.Name()
			if name != root && (base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_') {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || d.Name()[0] == '.' || d.Name()[0] == '_' {
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		dir := path.Dir(rel)
		if byDir[dir] == nil {
			byDir[dir] = &Package{Path: dir, Lines: map[string]int{}}
		}
		return byDir[dir].add(name, rel)
	})
	if err != nil {
		return nil, fmt.Errorf("read packages below %s: %w", root, err)
	}
	var list []Package
	for _, dir := range slices.Sorted(maps.Keys(byDir)) {
		p := byDir[dir]
		p.Imports = unique(p.Imports)
		p.TestImports = unique(p.TestImports)
		list = append(list, *p)
	}
	return list, nil
}

func (p *Package) add(name, rel string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
	if err != nil {
		return err
	}
	test := strings.HasSuffix(name, "_test.go")
	if !test {
		p.Lines[rel] = strings.Count(string(text), "\n")
	}
	for _, spec := range file.Imports {
		i, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return fmt.Errorf("%s: import %s: %w", rel, spec.Path.Value, err)
		}
		if test {
			p.TestImports = append(p.TestImports, i)
		} else {
			p.Imports = append(p.Imports, i)
		}
	}
	return nil
}

func unique(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}
