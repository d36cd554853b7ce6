package distfile

import (
	"os"
	"slices"
	"syscall"

	"github.com/kprop/kprop/internal/osutil"
)

// globber finds the files that a pattern matches.
type globber struct {
	x     *expander
	home  string // stands before the pattern, for the system
	names []string
}

// match adds the names that match a pattern without braces.
func (g *globber) match(pattern []octet) {
	var parts [][]octet
	for {
		i := slices.Index(pattern, '/')
		if i < 0 {
			break
		}
		parts = append(parts, pattern[:i])
		pattern = pattern[i+1:]
	}
	g.walk("", append(parts, pattern), false)
}

// walk looks for the parts below the directory done, which is empty or ends in
// a slash. Whether the first directory can be read is the user's business,
// what is met further down may be anything.
func (g *globber) walk(done string, parts [][]octet, matched bool) {
	for len(parts) > 0 && !slices.ContainsFunc(parts[0], isPattern) {
		done += plain(parts[0])
		if parts = parts[1:]; len(parts) > 0 {
			done += "/"
		}
	}
	if len(parts) == 0 {
		if g.exists(done) {
			g.add(done)
		}
		return
	}
	names, err := g.read(done)
	if err != nil {
		if !matched {
			g.unreadable(done, err)
		}
		return
	}
	for _, name := range names {
		if g.full() {
			return
		}
		if !matchName(name, parts[0]) {
			continue
		}
		if len(parts) == 1 {
			g.add(done + name)
		} else {
			g.walk(done+name+"/", parts[1:], true)
		}
	}
}

// full reports whether more names make no sense: there are too many already.
func (g *globber) full() bool { return len(g.names) > MaxNames || g.x.spent }

func (g *globber) add(name string) {
	if g.x.spend(len(name)) {
		g.names = append(g.names, name)
	}
}

func (g *globber) unreadable(dir string, err error) {
	shown := g.home + dir
	if shown == "" {
		shown = "."
	}
	g.x.wrong(shown+": "+osutil.Reason(err), "the directory "+short(shown)+" of a pattern can not be read")
}

func (g *globber) exists(name string) bool {
	place, err := g.x.env.place(g.home + name)
	if err == nil {
		_, err = os.Lstat(place)
	}
	return err == nil
}

// read lists a directory. It never waits, whatever dir is.
func (g *globber) read(dir string) ([]string, error) {
	if !g.x.spend(costDirectory) {
		return nil, nil
	}
	place, err := g.x.env.place(g.home + dir)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(place, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// matchName reports whether a file name matches one part of a pattern. A dot
// at its beginning is matched by a dot only. The work is at most the product
// of the lengths.
func matchName(name string, pattern []octet) bool {
	if name != "" && name[0] == '.' && (len(pattern) == 0 || byte(pattern[0]) != '.') {
		return false
	}
	p, n := 0, 0
	star, from := -1, 0 // the last *, and where the rest of the name began then
	for {
		if p < len(pattern) && pattern[p] == '*' {
			star, from = p, n
			p++
			continue
		}
		if n < len(name) && p < len(pattern) {
			if size, ok := matchOctet(name[n], pattern[p:]); ok {
				p += size
				n++
				continue
			}
		}
		if n == len(name) && p == len(pattern) {
			return true
		}
		if star < 0 || from == len(name) {
			return false
		}
		// Let the last * take one octet more.
		from++
		p, n = star+1, from
	}
}

// matchOctet compares an octet with the first element of a pattern, and tells
// how long that element is.
func matchOctet(c byte, pattern []octet) (int, bool) {
	switch pattern[0] {
	case '?':
		return 1, true
	case '[':
		end := slices.Index(pattern, ']')
		if end < 0 {
			return 1, c == '['
		}
		return end + 1, inSet(c, pattern[1:end])
	}
	return 1, byte(pattern[0]) == c
}

// inSet reports whether c is one of the members of [...]. A - between two of
// them is a range; ! and ^ are members like others.
func inSet(c byte, set []octet) bool {
	for i := 0; i < len(set); i++ {
		low, high := byte(set[i]), byte(set[i])
		if i+2 < len(set) && set[i+1] == '-' {
			high = byte(set[i+2])
			i += 2
		}
		if low <= c && c <= high {
			return true
		}
	}
	return false
}
