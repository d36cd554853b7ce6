package message

import (
	"slices"
	"strings"
)

// Options say which facility takes which types of messages.
type Options struct {
	Types [numFacilities]Type // by Facility
	File  string              // the file of the facility File, if Types has any for it

	// Server has ParseLogOpts refuse the facilities that a server lacks, and
	// word its errors as a server does.
	Server bool
}

// ClientOptions are those of krdist without -l.
func ClientOptions() Options {
	return Options{Types: [numFacilities]Type{Stdout: All, Notify: All, Syslog: NError | FError}}
}

// ServerOptions are those of rdistd without -L.
func ServerOptions() Options {
	return Options{Types: [numFacilities]Type{Syslog: FError}, Server: true}
}

// OptionError is what is wrong with logging options.
type OptionError struct {
	Option string // all of them
	Reason string
	Server bool
}

func (e *OptionError) Error() string {
	if e.Server {
		return "Bad message option string (" + e.Option + "): " + e.Reason + "."
	}
	return `Bad log option "` + e.Option + `": ` + e.Reason + "."
}

// ParseLogOpts reads FACILITY=TYPE,TYPE...:FACILITY=..., and file=NAME=TYPES for
// a file. Each facility gets the types that are given here, and no others; those
// that are not named keep what base has for them. Upper and lower case are the
// same in names of facilities and types. The error is an *OptionError.
func ParseLogOpts(text string, base Options) (Options, error) {
	o := base
	for part := range strings.SplitSeq(text, ":") {
		if part == "" {
			continue
		}
		if reason := o.set(part); reason != "" {
			return base, &OptionError{Option: text, Reason: reason, Server: base.Server}
		}
	}
	return o, nil
}

// set reads the part for one facility, and returns what is wrong with it.
func (o *Options) set(part string) (reason string) {
	name, list, ok := strings.Cut(part, "=")
	switch {
	case !ok:
		return "No '=' found"
	case name == "":
		return "No message facility specified"
	case list == "":
		return "No message type specified"
	}
	f := Facility(slices.IndexFunc(facilities[:], func(known string) bool { return strings.EqualFold(known, name) }))
	switch {
	case f < 0:
		return name + " is not a valid message facility"
	case o.Server && f != File && f != Syslog:
		return `The "` + f.String() + `" message facility cannot be used by the server`
	case f == File:
		file, rest, ok := strings.Cut(list, "=")
		if !ok || file == "" {
			return `No file name found for "file" message facility`
		}
		if rest == "" {
			return "No message type specified"
		}
		o.File, list = file, rest
	}
	o.Types[f] = 0
	for one := range strings.SplitSeq(list, ",") {
		t, ok := lookup(one)
		if !ok {
			return `Message type "` + one + `" is invalid`
		}
		o.Types[f] |= t
	}
	return ""
}

func lookup(name string) (Type, bool) {
	if name == "" {
		return 0, true
	}
	for _, t := range types {
		if strings.EqualFold(t.name, name) {
			return t.is, true
		}
	}
	return 0, false
}
