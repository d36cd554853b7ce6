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
	if descend {
		var err error
		// Before anything is sent: of a directory that cannot be read nothing
		// may be removed there.
		if names, err = j.e.readDir(it.path); err != nil {
			j.report.fail("%s: opendir failed: %s", it.path, osutil.Reason(err))
			return nil
		}
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
	notes := j.report.notes
	a, err := j.session.ask(wire.OpDirectory, header.String(), it.path)
	if err != nil || !a.ok() {
		return err
	}
	j.countDirectory(opts, existed, j.report.notes > notes || a == logged)
	if existed && opts.Has(option.Remove) {
		if err := j.clean(it.path, names, opts); err != nil {
			return err
		}
	}
	if !descend {
		return nil
	}
	if opts.Has(option.Follow) {
		j.above = append(j.above, inodeOf(&it.st))
		defer func() { j.above = j.above[:len(j.above)-1] }()
	}
	j.depth++
	below := &queue{job: j, opts: opts, names: names, path: func(name string) string { return joinPath(it.path, name) }}
	if err := below.visitAll(); err != nil {
		return err
	}
	j.depth--
	return j.leave(it)
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
