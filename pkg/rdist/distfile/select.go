package distfile

import (
	"fmt"
	"slices"
	"strings"
)

// Select returns the entries that the names and hosts ask for, in their order.
//
// Each name is a label or a file that an entry lists; if it is both it is the
// label. An entry whose label is named is taken whole, of others only the files
// that are named. Without names all entries are taken whole. The error tells of
// a name that is neither.
//
// A host stands for the entries with that host, and with that host behind
// login@; a :: entry has its stamp file for a host. Without hosts all are taken.
func Select(entries []Entry, names, hosts []string) ([]Entry, error) {
	labels, files, err := sortNames(entries, names)
	if err != nil {
		return nil, err
	}
	var taken []Entry
	for _, e := range entries {
		if len(hosts) > 0 && !onHost(&e, hosts) {
			continue
		}
		e.Only = nil
		if len(names) > 0 && (e.Label == "" || !labels[e.Label]) {
			e.Only = slices.DeleteFunc(slices.Clone(e.Files), func(f string) bool { return !files[f] })
			if len(e.Only) == 0 {
				continue
			}
		}
		taken = append(taken, e)
	}
	return taken, nil
}

// sortNames decides which names are labels and which are files.
func sortNames(entries []Entry, names []string) (labels, files map[string]bool, err error) {
	labels, files = map[string]bool{}, map[string]bool{}
	for _, name := range names {
		isLabel := slices.ContainsFunc(entries, func(e Entry) bool { return name != "" && e.Label == name })
		isFile := slices.ContainsFunc(entries, func(e Entry) bool { return slices.Contains(e.Files, name) })
		switch {
		case isLabel:
			labels[name] = true
		case isFile:
			files[name] = true
		default:
			return nil, nil, &NameError{Name: name}
		}
	}
	return labels, files, nil
}

// NameError is a name given to Select that the distfile does not have.
type NameError struct{ Name string }

func (e *NameError) Error() string {
	return fmt.Sprintf(`Label "%s" is not defined in the distfile.`, e.Name)
}

// Detail says what to do about it.
func (e *NameError) Detail() string {
	return short(e.Name) + " is neither a label nor a file of the distfile; a file is named as the distfile has it once " +
		"variables and patterns are expanded (krdist -n prints them)"
}

func onHost(e *Entry, hosts []string) bool {
	if slices.Contains(hosts, e.Host) {
		return true
	}
	_, host, ok := strings.Cut(e.Host, "@")
	return ok && e.Kind == Arrow && slices.Contains(hosts, host)
}
