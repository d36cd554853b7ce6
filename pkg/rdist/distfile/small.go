package distfile

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kprop/kprop/pkg/rdist/option"
)

// Small makes the entries of "krdist -c name ... [login@]host[:dest]": args are
// what stands behind -c, at least two. The names and the host are expanded
// like those of a distfile, and so the host may be several; the destination is
// taken as it is. With one, the entries have an install command with options.
// The error is an Errors, if there were enough arguments.
func Small(args []string, options option.Set, env Env) ([]Entry, error) {
	if len(args) < 2 {
		return nil, errors.New("-c needs at least one name and a host")
	}
	var errs Errors
	x := newExpander(env, func(e *Error) {
		if len(errs) < maxErrors {
			errs = append(errs, e)
		}
	})
	words := make([]word, len(args))
	for i, arg := range args {
		if strings.IndexByte(arg, 0) >= 0 {
			return nil, fmt.Errorf("argument %d of -c has an octet 0", i+1)
		}
		words[i] = word{octets(arg), Position{File: "argument " + short(arg)}}
	}
	names, last := words[:len(args)-1], words[len(args)-1]
	host, dest, _ := strings.Cut(args[len(args)-1], ":")
	last.text = octets(host)

	e := Entry{Pos: Position{File: "-c"}, Files: x.list(names, expandKeepTilde)}
	if dest != "" {
		e.Commands = []Command{{Kind: Install, Pos: last.pos, Options: options, Dest: dest}}
	}
	var l list
	for _, host := range x.hosts([]word{last}) {
		l.addHost(e, host)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return l.entries(), nil
}
