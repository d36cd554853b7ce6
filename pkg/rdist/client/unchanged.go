package client

import (
	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// Directories that are listed before it is their turn: the server is asked for
// more when there are few. It works on them while we work on those before.
const (
	fewListings  = 4
	manyListings = 8
	// leafNames is how many names a directory may have that is gone through
	// without being entered.
	leafNames = 1024
)

// aheadListing is the listing of a directory that was asked for before its turn.
type aheadListing struct {
	told bool
	*listing
}

// askListings asks for the listings of the next directories that the server
// has.
func (q *queue) askListings() error {
	if q.asked > fewListings || q.scanned >= len(q.items) || q.there == nil || q.there.generation != q.generation || !q.mayList(q.opts) {
		return nil
	}
	posted := false
	for ; q.scanned < len(q.items) && q.asked < manyListings; q.scanned++ {
		it := q.items[q.scanned]
		if it.problem != "" || !isDir(&it.st) || !q.there.find(it.name).isDir {
			continue
		}
		generation := q.generation
		ahead := &aheadListing{}
		err := q.session.postpone(wire.OpListing, it.name, func() (err error) {
			ahead.told = true
			ahead.listing, err = q.readListing(it.path, generation)
			return err
		})
		if err != nil {
			return err
		}
		it.ahead = ahead
		q.asked++
		posted = true
	}
	if posted {
		return q.session.push()
	}
	return nil
}

// take gives the listing of a directory that was asked for, as long as it is
// true.
func (j *job) take(it *item) (*listing, error) {
	ahead := it.ahead
	if ahead == nil {
		return nil, nil
	}
	it.ahead = nil
	for !ahead.told {
		if err := j.session.settleTo(max(j.session.unread-1, 0)); err != nil {
			return nil, err
		}
	}
	if l := ahead.listing; l != nil && l.generation != j.generation {
		j.forget(l)
		return nil, nil
	}
	return ahead.listing, nil
}

// unchanged goes through the directory of the queue if nothing is to be done
// there: it has the attributes that it shall have, has plain files alone, all of
// them as here, and no others that are to be removed. Then the server need not
// enter it. If not, nothing was done but to look at what is here.
func (q *queue) unchanged(dir *item) bool {
	if q.there == nil || len(q.names) > leafNames || q.opts.Has(option.NoExec) || !q.sameDirectory(dir) ||
		q.opts.Has(option.Remove) && !q.there.nothingBut(q.names) {
		return false
	}
	q.fillTo(len(q.names))
	for _, it := range q.items {
		if it.problem != "" || !isRegular(&it.st) || !q.listed(it) || !q.sameFile(it) {
			return false
		}
	}
	q.countDirectory(q.opts, true, false)
	for _, it := range q.items {
		q.count.Unchanged++
		q.links.seen(q.job, it, present)
		q.objects++
		q.progress(Looked, it.path)
	}
	return true
}

// sameFile is compare for files that are surely the same.
func (q *queue) sameFile(it *item) bool {
	there, err := wire.ParseExisting(it.answer.Text)
	return it.answer.Op == wire.OpYes && err == nil && there.MTime == it.st.Mtim.Sec && there.Size == it.st.Size && q.sameAttributes(it, there)
}

func (q *queue) sameDirectory(dir *item) bool {
	there, err := wire.ParseExisting(dir.answer.Text)
	return dir.answer.Op == wire.OpYes && err == nil && there.Known && q.sameAttributes(dir, there)
}

// sameAttributes compares mode and owner. Who has no name would be told of.
func (q *queue) sameAttributes(it *item, there wire.Existing) bool {
	opts := q.opts
	_, hasUser := q.owners.names.User(it.st.Uid)
	_, hasGroup := q.owners.names.Group(it.st.Gid)
	return (opts.Has(option.NoChkMode) || there.Mode == permissions(&it.st)) &&
		(hasUser || opts.Has(option.NumChkOwner)) && (hasGroup || opts.Has(option.NumChkGroup)) &&
		(opts.Has(option.NoChkOwner) || sameOwner(there.Owner, q.owners.user(it, opts), opts.Has(option.NumChkOwner))) &&
		(opts.Has(option.NoChkGroup) || sameOwner(there.Group, q.owners.group(it, opts), opts.Has(option.NumChkGroup)))
}
