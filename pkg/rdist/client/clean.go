package client

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// clean has the server remove from the directory what is not in dir here
// (8.7). The server asks for each name that it has; names are those that were
// here when the directory was read, sorted.
func (j *job) clean(dir string, names []string, opts option.Set) error {
	verify := opts.Has(option.Verify)
	text := "0"
	if verify {
		text = "1"
	}
	a, err := j.session.ask(wire.OpClean, text, dir)
	if err != nil || !a.ok() {
		return err
	}
	removed := j.count.Removed
	for {
		l, err := j.session.line()
		if err != nil {
			return err
		}
		switch l.Op {
		case wire.OpQuery:
			_, here := slices.BinarySearch(names, l.Text)
			yes := !here && j.extraneous(dir, l.Text)
			if yes && verify {
				j.count.Outdated++
				j.wanting = true
			}
			answer := byte(wire.OpNo)
			if yes {
				answer = wire.OpYes
			}
			if yes && !verify && j.update != nil {
				j.toBeRemoved(joinPath(dir, l.Text))
			}
			if err := j.session.send(answer, ""); err != nil {
				return err
			}
		case wire.OpEnd:
			if j.count.Removed > removed {
				j.updated = true
			}
			return j.session.send(wire.OpAck, "")
		case wire.OpLog:
			if l.Text != "" {
				j.report.text(message.Info, l.Text)
			}
		case wire.OpError:
			// The end comes nevertheless.
			if l.Text == "" {
				j.session.noReason(dir)
				continue
			}
			j.report.serverError(l.Text)
		default:
			return j.session.over("rmchk: unexpected control record '%s': the session was ended, since it is out of step", l)
		}
	}
}

// extraneous reports whether what the server has in a directory is to be
// removed: only what is surely not here and not excepted.
func (j *job) extraneous(dir, name string) bool {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		j.count.ServerErrors++
		j.report.say(message.NError, "rmchk: %s asks whether to remove %q from %s, which is no name in a directory: it was told to keep it", j.session.host, name, dir)
		return false
	}
	path := joinPath(dir, name)
	_, err := j.e.stat(path, false)
	if err == nil {
		return false
	}
	if !errors.Is(err, unix.ENOENT) {
		j.report.fail("%s: lstat failed: %s", path, osutil.Reason(err))
		return false
	}
	excepted, err := j.entry.Excepted(path)
	if err != nil {
		j.report.fail("%v", err)
	}
	return !excepted && err == nil
}
