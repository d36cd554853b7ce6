package client

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// job is the work on one source of one install command.
type job struct {
	*work
	place destination
	above []inode // with follow: the directories that the object is in
	depth int     // directories that the server is in
}

// item is one object.
type item struct {
	path string // local
	name string // on the wire
	in   int    // the open directory that it is in by this name, or noDir
	st   statInfo
	link string // the text of a symbolic link

	follow bool // st is that of what a symbolic link points to

	problem string // why it is not sent; empty: it may be
	refused bool   // the problem is no error of the machine

	generation int // of the answer; 0: not asked
	answer     wire.Line
	digest     digestState
	ahead      *aheadListing // of a directory; nil: not asked
}

// install does one source of an install command.
func (w *work) install(source, dest string) error {
	root, err := w.e.expandHome(source)
	if err != nil {
		w.report.fail("%v", err)
		return nil
	}
	st, statErr := w.e.stat(root, false)
	j := &job{work: w}
	var opts option.Set
	j.place, opts = place(source, root, dest, w.opts, len(w.entry.Files) > 1, statErr == nil && isDir(&st))
	for _, name := range []string{j.place.target, j.place.rname} {
		if err := wire.CheckText(name); err != nil {
			w.refuse(name, err)
			return nil
		}
	}
	line := wire.Targeted{Options: uint32(opts), Name: j.place.target}.String()
	if err := wire.CheckText(line); err != nil {
		w.refuse(j.place.target, err)
		return nil
	}
	if w.update != nil {
		w.dests = append(w.dests, j.place.remoteName(root))
	}
	a, err := w.session.ask(j.place.kind, line, j.place.target)
	if err != nil || !a.ok() {
		return err
	}
	top := &queue{job: j, opts: opts, names: []string{j.place.rname}, in: noDir, path: func(string) string { return root }}
	return top.visitAll()
}

// refuse tells that a name cannot be sent.
func (w *work) refuse(name string, err error) {
	if strings.Contains(name, "\n") {
		w.count.LocalErrors++
		w.report.say(message.NError, "Refuse to handle filename containing newline: %s", strings.ReplaceAll(name, "\n", "?"))
		return
	}
	if err == wire.ErrTooLong {
		w.report.fail("%s: Name too long", name)
		return
	}
	w.report.fail("%s: Refuse to handle filename: %v", name, err)
}

// look finds out what an object is and whether it is to be sent; nil: no, and
// there is nothing to tell.
func (j *job) look(in int, path, name string, opts option.Set) *item {
	it := &item{path: path, name: name, in: in, follow: opts.Has(option.Follow)}
	if err := wire.CheckText(name); err != nil {
		it.problem, it.refused = err.Error(), true
		return it
	}
	excepted, err := j.entry.Excepted(path)
	if err != nil {
		it.problem = err.Error()
		return it
	}
	if excepted {
		return nil
	}
	if it.st, err = j.e.statOf(it); err != nil {
		call := "lstat"
		if it.follow {
			call = "stat"
		}
		it.problem = fmt.Sprintf("%s: %s failed: %s", path, call, osutil.Reason(err))
		return it
	}
	switch {
	case isLink(&it.st):
		j.readLink(it)
	case isDir(&it.st) && slices.Contains(j.above, inodeOf(&it.st)):
		it.problem = fmt.Sprintf("%s: this link leads to a directory that it is in: it is not followed", path)
	case opts.Has(option.NoExec) && isRegular(&it.st) && it.st.Mode&0o111 != 0 && isExecutable(it):
		j.count.Left++
		return nil
	}
	return it
}

// visit does one object (4.4), which the server was asked for.
func (j *job) visit(it *item, opts option.Set) error {
	switch {
	case it.refused:
		j.refuse(it.name, wire.CheckText(it.name))
		return nil
	case it.problem != "":
		j.report.fail("%s", it.problem)
		return nil
	}
	if j.update != nil && j.removedBefore(it) {
		return nil
	}
	switch it.answer.Op {
	case wire.OpOnNFS, wire.OpReadOnly, wire.OpIsLink:
		if it.answer.Text != "" {
			break
		}
		j.count.Left++
		return nil
	case wire.OpError:
		if it.answer.Text == "" {
			j.session.noReason(it.path)
			return nil
		}
		j.report.serverError(it.answer.Text)
		return nil
	case wire.OpNo:
		if it.answer.Text != "" {
			break
		}
		return j.missing(it, opts)
	case wire.OpYes:
		return j.existing(it, opts)
	}
	return j.session.over("update: unexpected response to query '%s': the session was ended, since it is out of step", it.answer)
}

// missing does an object that the server does not have.
func (j *job) missing(it *item, opts option.Set) error {
	owner, group := j.owners.user(it, opts), j.owners.group(it, opts)
	if opts.Has(option.Verify) {
		return j.outdated(it, "install")
	}
	if !opts.Has(option.Quiet) {
		j.report.say(message.Change, "%s: installing", it.path)
	}
	opts &^= option.Compare | option.Remove
	switch {
	case isRegular(&it.st):
		return j.regular(it, opts, owner, group, false)
	case isDir(&it.st):
		return j.directory(it, opts, owner, group, false)
	case isLink(&it.st):
		return j.symlink(it, opts, owner, group, false)
	}
	j.report.fail("%s: unknown file type", it.path)
	return nil
}

// existing does an object that the server has.
func (j *job) existing(it *item, opts option.Set) error {
	if !isRegular(&it.st) {
		owner, group := j.owners.user(it, opts), j.owners.group(it, opts)
		switch {
		case isDir(&it.st):
			return j.directory(it, opts, owner, group, true)
		case isLink(&it.st):
			return j.symlink(it, opts|option.Compare, owner, group, true)
		}
		j.report.fail("%s: unknown file type", it.path)
		return nil
	}
	verdict, err := j.compare(it, opts)
	if err != nil {
		return err
	}
	switch verdict {
	case leave:
		j.count.Left++
		return nil
	case same:
		j.count.Unchanged++
		j.links.seen(j, it, present)
		return nil
	case different:
		if opts.Has(option.Verify) {
			return j.outdated(it, "update")
		}
		if !opts.Has(option.Quiet) {
			j.report.say(message.Change, "%s: updating", it.path)
		}
	}
	return j.regular(it, opts, j.owners.user(it, opts), j.owners.group(it, opts), true)
}

// outdated tells what would be done.
func (j *job) outdated(it *item, what string) error {
	j.report.say(message.Info, "%s: need to %s", it.path, what)
	j.count.Outdated++
	j.wanting = true
	j.links.seen(j, it, unknown)
	return j.specials(it, true)
}
