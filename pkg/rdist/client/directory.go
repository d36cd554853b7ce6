package client

import (
	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// rdistLevels is how deep directories may be in each other before rdistd 6.1.5
// writes over its own memory.
const rdistLevels = 30

// directory has a directory made or put right, and does what is in it (8.7).
func (j *job) directory(it *item, opts option.Set, owner, group string, existed bool) error {
	descend := !opts.Has(option.NoDescend)
	var names []string
	in := noDir
	if descend {
		var err error
		// Before anything is sent: of a directory that cannot be read nothing
		// may be removed there.
		if in, names, err = j.e.openDir(it.path); err != nil {
			j.report.fail("%s: opendir failed: %s", it.path, osutil.Reason(err))
			return nil
		}
		defer closeDir(in)
	}
	header := wire.Object{Options: uint32(opts), Mode: permissions(&it.st), Owner: owner, Group: group, Name: it.name}
	if !j.mayBeSent(it, header) {
		return nil
	}
	if fits, err := j.fitsDepth(it); err != nil || !fits {
		return err
	}
	if err := j.expect(len(names)); err != nil {
		return err
	}
	if opts.Has(option.Follow) {
		j.above = append(j.above, inodeOf(&it.st))
		defer func() { j.above = j.above[:len(j.above)-1] }()
	}
	below := &queue{job: j, opts: opts, names: names, in: in, path: func(name string) string { return joinPath(it.path, name) }}
	var err error
	if below.there, err = j.take(it); err != nil {
		return err
	}
	defer func() { j.forget(below.there) }()
	if existed && below.unchanged(it) {
		return j.goOn()
	}
	notes := j.report.notes
	a, err := below.enter(it, header)
	if err != nil || !a.ok() {
		return err
	}
	j.countDirectory(opts, existed, j.report.notes > notes || a == logged)
	if existed && opts.Has(option.Remove) && (below.there == nil || !below.there.nothingBut(names)) {
		if err := j.clean(it.path, names, opts); err != nil {
			return err
		}
	}
	if !descend {
		return nil
	}
	j.depth++
	if err := below.visitAll(); err != nil {
		return err
	}
	j.depth--
	return j.leave(it)
}

// enter has the server make the directory, or put it right, and tell what is in
// it if it can and has not. Meanwhile the first objects are looked at.
func (q *queue) enter(it *item, header wire.Object) (answer, error) {
	if q.there != nil || !q.mayList(q.opts) {
		return q.session.ask(wire.OpDirectory, header.String(), it.path)
	}
	if err := q.session.send(wire.OpList, header.String()); err != nil {
		return refused, err
	}
	if err := q.session.conn.Flush(); err != nil {
		return refused, q.session.lostWriting(err)
	}
	if len(q.items) == 0 && !q.opts.Has(option.NoExec) { // that counts what it looks at
		q.fill()
	}
	a, err := q.session.answered(it.path)
	if err != nil || !a.ok() {
		return a, err
	}
	q.there, err = q.readListing(it.path, q.generation)
	return a, err
}

// leave ends a directory. Nothing depends on the answer.
func (j *job) leave(it *item) error {
	if !j.session.has(wire.ExtAhead) {
		_, err := j.session.ask(wire.OpEnd, "", it.path)
		return err
	}
	return j.session.postpone(wire.OpEnd, "", func() error {
		a, err := j.session.response(message.Change)
		if err == nil && a == declined {
			j.session.noReason(it.path)
		}
		return err
	})
}

// fitsDepth refuses a depth that the server cannot take.
func (j *job) fitsDepth(it *item) (bool, error) {
	if j.depth < rdistLevels {
		return true, nil
	}
	ours, err := j.session.isOurs()
	if err != nil {
		return false, err
	}
	if !ours {
		j.report.fail("%s: too many directory levels: the rdistd on %s cannot take more than %d: distribute the deeper ones by entries of their own, or use krdistd there",
			it.path, j.session.host, rdistLevels)
	}
	return ours, nil
}

func (j *job) countDirectory(opts option.Set, existed, told bool) {
	switch {
	case !existed:
		j.count.Installed++
	case !told:
		j.count.Unchanged++
	case opts.Has(option.Verify):
		j.count.Outdated++
	default:
		j.count.Updated++
	}
}
