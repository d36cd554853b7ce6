package client

import (
	"context"
	"path"
	"strings"

	"github.com/kprop/kprop/pkg/rdist/distfile"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// update is all entries of a host, of which the server has to do everything or
// nothing.
type update struct {
	works    []*work
	removals map[string]bool // remote names that the server will remove
}

// check is a special command that runs when all files have their places.
type check struct {
	command      int // of the entry
	path, remote string
}

// begin has the server stage what it gets from now on.
func (h *host) begin() error {
	refusal, err := h.verb(wire.AtomicBegin)
	if err == nil && refusal != "" {
		err = &overError{text: "the server does not begin to stage files: " + refusal}
	}
	return err
}

// stage takes an entry in. What it has to mail is mailed at the end.
func (h *host) stage(w *work) {
	h.update.works = append(h.update.works, w)
	if h.report.mail != nil {
		w.mail = &collection{dir: h.e.tempDir}
		h.report.mail = w.mail
	}
}

// toBeRemoved remembers what the server was told to remove: it is answered for
// as if it stayed.
func (j *job) toBeRemoved(local string) {
	if j.update.removals == nil {
		j.update.removals = map[string]bool{}
	}
	j.update.removals[path.Clean(j.place.remoteName(local))] = true
	j.updated = true
}

// removedBefore reports whether an object is, or is in, what is to be removed.
// Its removal would come after it was looked at.
func (j *job) removedBefore(it *item) bool {
	if len(j.update.removals) == 0 {
		return false
	}
	remote := path.Clean(j.place.remoteName(it.path))
	for name := remote; ; name = path.Dir(name) {
		if j.update.removals[name] {
			j.report.fail("%s: %s is removed by an install command with remove before it: except it there, or distribute without --atomic", it.path, name)
			return true
		}
		if name == path.Dir(name) {
			return false
		}
	}
}

// finish has the update done if all is well, and else put back, and mails what
// there is to mail.
func (h *host) finish(ctx context.Context) {
	if h.session != nil && h.err == nil {
		h.err = h.decide(ctx)
	}
	if h.err != nil || h.result.PutBack {
		h.nothingDone()
	}
	for _, w := range h.update.works {
		h.report.count, h.report.mail = w.count, w.mail
		w.notifyAll()
		w.mail.discard()
	}
}

// decide commits, or puts back. An error of a session before the commit has the
// server put back.
func (h *host) decide(ctx context.Context) error {
	if h.errors() > 0 {
		return h.putBack()
	}
	if h.hasChecks() {
		if refusal, err := h.verb(wire.AtomicSwitch); err != nil || refusal != "" {
			return h.undone(refusal, err)
		}
		for _, w := range h.update.works {
			if err := w.check(); err != nil {
				return err
			}
			if h.errors() > 0 {
				return h.putBack()
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return h.session.lost(err)
	}
	refusal, err := h.verb(wire.AtomicCommit)
	if err != nil {
		h.report.fail("%s: whether the update was committed is not known: krdist check tells", h.session.host)
		return err
	}
	return h.undone(refusal, nil)
}

// errors counts those of all entries.
func (h *host) errors() int {
	n := 0
	for _, e := range h.result.Entries {
		n += e.LocalErrors + e.ServerErrors
	}
	return n
}

func (h *host) hasChecks() bool {
	for _, w := range h.update.works {
		if len(w.checks) > 0 || w.updated && w.hasCmdSpecials() {
			return true
		}
	}
	return false
}

func (w *work) hasCmdSpecials() bool {
	for _, c := range w.entry.Commands {
		if c.Kind == distfile.CmdSpecial {
			return true
		}
	}
	return false
}

// check runs all commands of an entry, up to the first one that fails.
func (w *work) check() error {
	w.report.count, w.report.mail = w.count, w.mail
	for _, c := range w.checks {
		command := w.entry.Commands[c.command].Text
		w.report.say(message.Change, `special "%s"`, command)
		if err := w.special(command, c.path, c.remote); err != nil || w.errors() > 0 {
			return err
		}
	}
	return w.cmdSpecials()
}

// putBack has the server put everything back.
func (h *host) putBack() error {
	refusal, err := h.verb(wire.AtomicAbort)
	if err == nil && refusal == "" {
		h.result.PutBack = true
	}
	if err == nil && refusal != "" {
		err = &overError{text: "not everything was put back: " + refusal}
	}
	return err
}

// undone is what a refused switch or commit comes to: the server has put
// everything back by itself, or said what it could not.
func (h *host) undone(refusal string, err error) error {
	switch {
	case err != nil || refusal == "":
		return err
	case strings.Contains(refusal, "could not be put back"):
		return &overError{text: "not everything was put back: " + refusal}
	}
	h.result.PutBack = true
	return nil
}

// nothingDone says so, for each entry.
func (h *host) nothingDone() {
	for _, e := range h.result.Entries {
		e.Skipped = true
		e.Installed, e.Updated, e.Linked, e.Removed = 0, 0, 0, 0
	}
	if !h.result.PutBack {
		return
	}
	line := h.e.Log.Log(message.NError, h.host, "everything was put back: no file has changed on "+h.session.host)
	if h.e.Log.Wants(message.Notify, message.NError) {
		for _, w := range h.update.works {
			w.mail.add(line)
		}
	}
}

// verb sends a word of the update. refusal is the server's reason not to do it,
// which was told.
func (h *host) verb(verb string) (refusal string, err error) {
	s := h.session
	if err := s.send(wire.OpConfig, string(byte(wire.ConfigExtension))+wire.ExtAtomic+" "+verb); err != nil {
		return "", err
	}
	for {
		l, err := s.read()
		if err != nil {
			return "", err
		}
		switch {
		case l.Op == wire.OpNote && verb == wire.AtomicCommit:
			h.remains(l.Text)
		case l.Op == wire.OpNote:
			s.report.note(l.Text)
		case l.Op == wire.OpFatal:
			return "", s.fatal(l.Text)
		case l.Op == wire.OpAck:
			return "", nil
		case l.Op == wire.OpError && l.Text == "":
			s.noReason("atomic " + verb)
			return "it gave no reason", nil
		case l.Op == wire.OpError:
			s.report.serverError(l.Text)
			return l.Text, nil
		default:
			return "", s.outOfStep("atomic", l)
		}
	}
}

// remains tells a note about what was replaced or removed, for the entry that it
// belongs to as far as this can be known. What cannot be removed is an error,
// though the update is done.
func (h *host) remains(text string) {
	best := ""
	for _, w := range h.update.works {
		for _, dest := range w.dests {
			if len(dest) > len(best) && strings.Contains(text, ": "+dest) {
				best = dest
				h.report.count, h.report.mail = w.count, w.mail
			}
		}
	}
	if strings.Contains(text, ": REMOTE ERROR: ") {
		h.report.serverError(text)
		return
	}
	h.report.note(text)
}
