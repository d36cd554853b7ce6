// Package option has the dist options of krdist: what -o names on the command
// line and in a distfile, and what goes over the wire as an octal number with
// each target.
package option

import "strings"

// Set is a set of dist options. Its bits are those of rdist's protocol 6, so
// that the wire's number is the Set in octal.
type Set uint32

// The options. Protocol 6 leaves bit 0x80 without a meaning.
const (
	Verify      Set = 0x1      // tell what is out of date, change nothing
	Whole       Set = 0x2      // append the whole source name to the destination
	Younger     Set = 0x4      // leave files alone that are younger than the source
	Compare     Set = 0x8      // compare contents instead of date and size
	Remove      Set = 0x10     // remove what the source directory does not have
	Follow      Set = 0x20     // copy what a symbolic link points to
	IgnLnks     Set = 0x40     // do not warn of links that were not found
	Quiet       Set = 0x100    // do not tell of each file that changes
	ChkNFS      Set = 0x200    // leave files on NFS alone
	ChkReadonly Set = 0x400    // leave files on read-only file systems alone
	NoExec      Set = 0x800    // leave out executables
	SaveTargets Set = 0x1000   // keep the former file as NAME.OLD
	NoDescend   Set = 0x2000   // do not look into directories
	NoChkOwner  Set = 0x4000   // do not compare owners
	NoChkMode   Set = 0x8000   // do not compare modes
	NoChkGroup  Set = 0x10000  // do not compare groups
	ChkSym      Set = 0x20000  // leave a target alone that is a symbolic link
	NumChkGroup Set = 0x40000  // compare groups by number
	NumChkOwner Set = 0x80000  // compare owners by number
	Sparse      Set = 0x100000 // make holes of blocks of zeros
)

// table has the options in the order in which they are printed.
var table = []struct {
	name   string
	bit    Set
	letter byte // the option of rdist before version 6; 0: none
}{
	{"chknfs", ChkNFS, 'N'},
	{"chkreadonly", ChkReadonly, 'O'},
	{"chksym", ChkSym, 0},
	{"compare", Compare, 'b'},
	{"follow", Follow, 'h'},
	{"ignlnks", IgnLnks, 'i'},
	{"nochkgroup", NoChkGroup, 0},
	{"nochkmode", NoChkMode, 0},
	{"nochkowner", NoChkOwner, 0},
	{"nodescend", NoDescend, 'r'},
	{"noexec", NoExec, 'x'},
	{"numchkgroup", NumChkGroup, 0},
	{"numchkowner", NumChkOwner, 0},
	{"quiet", Quiet, 'q'},
	{"remove", Remove, 'R'},
	{"savetargets", SaveTargets, 's'},
	{"sparse", Sparse, 0},
	{"verify", Verify, 'v'},
	{"whole", Whole, 'w'},
	{"younger", Younger, 'y'},
}

// All has every option that there is.
const All = Verify | Whole | Younger | Compare | Remove | Follow | IgnLnks | Quiet | ChkNFS | ChkReadonly | NoExec |
	SaveTargets | NoDescend | NoChkOwner | NoChkMode | NoChkGroup | ChkSym | NumChkGroup | NumChkOwner | Sparse

// Has reports whether all options of want are in s.
func (s Set) Has(want Set) bool { return s&want == want }

// String is the comma separated list of the names, in the order in which rdist
// prints them. It is empty for the empty set. Bits without a name are left out.
func (s Set) String() string {
	var names []string
	for _, o := range table {
		if s.Has(o.bit) {
			names = append(names, o.name)
		}
	}
	return strings.Join(names, ",")
}

// Error is a name that is no dist option.
type Error struct{ Name string }

func (e *Error) Error() string { return `Dist option "` + e.Name + `" is not valid.` }

// Parse reads a comma separated list of names and returns base with these
// options set. Upper and lower case are the same. A name with "no" before it,
// if it is not itself an option, takes the option out, be it from base or from
// earlier in the list. Empty names are passed over. The error is an *Error.
func Parse(list string, base Set) (Set, error) {
	for name := range strings.SplitSeq(list, ",") {
		if name == "" {
			continue
		}
		if bit := lookup(name); bit != 0 {
			base |= bit
			continue
		}
		bit := Set(0)
		if len(name) > 2 && strings.EqualFold(name[:2], "no") {
			bit = lookup(name[2:])
		}
		if bit == 0 {
			return base, &Error{Name: name}
		}
		base &^= bit
	}
	return base, nil
}

func lookup(name string) Set {
	for _, o := range table {
		if strings.EqualFold(o.name, name) {
			return o.bit
		}
	}
	return 0
}

// Legacy returns the option that a letter stood for in rdist before version 6:
// -b, -h, -i, -N, -O, -q, -r, -R, -s, -v, -w, -x and -y.
func Legacy(letter byte) (Set, bool) {
	for _, o := range table {
		if o.letter == letter && letter != 0 {
			return o.bit, true
		}
	}
	return 0, false
}
