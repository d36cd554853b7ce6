package client

import (
	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// maxWindow is how many questions are asked before the first answer is read.
// They and their octets are few enough for any pipe, so the server, which may
// wait for its answers to be read, never keeps us from reading them.
const maxWindow = wire.MaxQuestions

// queue is the objects of one directory in order, which the server is asked
// for ahead.
type queue struct {
	*job
	opts  option.Set
	names []string                 // that were not looked at
	path  func(name string) string // the local path of a name
	in    int                      // the open directory that they are in, or noDir
	items []*item                  // that were looked at
	there *listing                 // of the directory; nil: there is none

	scanned int // items that were looked through for directories to be listed
	asked   int // items that are to be listed
}

// visitAll does all objects.
func (q *queue) visitAll() error {
	for {
		it, err := q.next()
		if err != nil {
			return err
		}
		if it == nil {
			return q.session.settle()
		}
		if err := q.visit(it, q.opts); err != nil {
			return err
		}
		left, err := q.take(it) // of a directory that was not gone into
		if err != nil {
			return err
		}
		q.forget(left)
		q.objects++
		q.progress(Looked, it.path)
		if err := q.goOn(); err != nil {
			return err
		}
	}
}

// goOn is the end of the session if it was interrupted.
func (j *job) goOn() error {
	if err := j.ctx.Err(); err != nil {
		return j.session.lost(err)
	}
	return nil
}

// next gives the next object with the answer of the server; nil: there is none.
func (q *queue) next() (*item, error) {
	for len(q.items) == 0 && len(q.names) > 0 {
		q.fill()
	}
	if len(q.items) == 0 {
		return nil, nil
	}
	if err := q.askListings(); err != nil {
		return nil, err
	}
	it := q.items[0]
	if it.problem == "" && it.generation != q.generation && !q.listed(it) {
		if err := q.ask(); err != nil {
			return nil, err
		}
	}
	q.items[0] = nil
	q.items = q.items[1:]
	q.scanned = max(q.scanned-1, 0)
	if it.ahead != nil {
		q.asked--
	}
	return it, nil
}

// listed finds the answer in the listing, as long as that is true.
func (q *queue) listed(it *item) bool {
	if q.there == nil || q.there.generation != q.generation {
		return false
	}
	there := q.there.find(it.name)
	if there.answer.Op == wire.OpQuery {
		return false
	}
	it.answer, it.generation = there.answer, q.generation
	return true
}

// fill looks at as many objects as may be asked for.
func (q *queue) fill() { q.fillTo(q.window) }

func (q *queue) fillTo(n int) {
	q.items, q.scanned = q.items[:0], 0
	for len(q.names) > 0 && len(q.items) < n {
		name := q.names[0]
		q.names = q.names[1:]
		if it := q.look(q.in, q.path(name), name, q.opts); it != nil {
			q.items = append(q.items, it)
		}
	}
}

// ask asks for the first objects of the queue.
func (q *queue) ask() error {
	var asked []*item
	octets := 0
	for _, it := range q.items {
		if it.problem != "" {
			continue
		}
		octets += len(it.name) + 2
		if len(asked) == q.window || len(asked) > 0 && octets > wire.MaxQuestionsOctets {
			break
		}
		if err := q.session.post(wire.OpQuery, it.name); err != nil {
			return err
		}
		asked = append(asked, it)
	}
	if err := q.session.settle(); err != nil {
		return err
	}
	for _, it := range asked {
		var err error
		if it.answer, err = q.session.line(); err != nil {
			return err
		}
		it.generation = q.generation
	}
	q.window = min(2*q.window, q.e.window)
	return q.digests(asked)
}

// stale says that answers which were read ahead may be true no more. Where
// this happens often there is no use in asking for much.
func (w *work) stale() {
	w.generation++
	w.window = 1
}
