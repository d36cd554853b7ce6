package client

import (
	"context"
	"time"

	"github.com/kprop/kprop/pkg/rdist/distfile"
	"github.com/kprop/kprop/pkg/rdist/option"
)

// work is the work on one entry.
type work struct {
	*host
	ctx     context.Context
	entry   *distfile.Entry
	count   *EntryResult
	links   linkTable
	updated bool         // something was, as cmdspecial sees it
	wanting bool         // with verify: something would be
	files   []string     // for $FILES, the first one first
	matched map[int]bool // cmdspecial commands by index of which a file was updated
	opts    option.Set   // of the last install command
	checks  []check      // special commands that wait for the switch
	dests   []string     // remote names of the sources
	mail    *collection  // of a staged entry

	window     int // of questions ahead
	generation int // of the answers
}

// arrowEntry does an entry -> (4.2).
func (h *host) arrowEntry(ctx context.Context, entry *distfile.Entry, slow func()) error {
	w := &work{host: h, ctx: ctx, entry: entry, count: h.report.count, window: h.e.window, generation: 1}
	if h.update != nil {
		h.stage(w)
	}
	if len(entry.Files) == 0 {
		label := entry.Label
		if label == "" {
			label = "(null)"
		}
		h.report.fail(`No files to be updated on %s for target "%s"`, h.host, label)
		return nil
	}
	err := h.connect(ctx, slow)
	if err == nil {
		err = w.installs()
	}
	if h.update == nil { // else when it is done
		if err == nil {
			err = w.cmdSpecials()
		}
		w.notifyAll()
	}
	if err == nil && !w.opts.Has(option.IgnLnks) {
		w.missingLinks()
	}
	return err
}

// notifyAll does the notify commands, also of a session that has failed: its
// errors are to be known.
func (w *work) notifyAll() {
	for _, c := range w.entry.Commands {
		if c.Kind == distfile.Notify {
			w.notify(w.ctx, c.Names, time.Time{})
		}
	}
}

// installs runs each install command on each source.
func (w *work) installs() error {
	commands := w.entry.Commands
	none := true
	for i := range commands {
		none = none && commands[i].Kind != distfile.Install
	}
	if none {
		commands = []distfile.Command{{Kind: distfile.Install}}
	}
	for i := range commands {
		c := &commands[i]
		if c.Kind != distfile.Install {
			continue
		}
		w.opts = w.e.Global | c.Options
		if w.entry.IgnoreNFS {
			w.opts &^= option.ChkNFS
		}
		for _, source := range w.entry.Wanted() {
			if err := w.install(source, c.Dest); err != nil {
				return err
			}
		}
	}
	return nil
}
