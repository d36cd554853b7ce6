package client

import (
	"slices"

	"github.com/kprop/kprop/pkg/rdist/distfile"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// specials runs the special commands for a file that was sent, or with
// printOnly tells that they would be run, and remembers it for the cmdspecial
// commands (4.5).
func (j *job) specials(it *item, printOnly bool) error {
	remote := j.place.remoteName(it.path)
	j.rememberFile(it.path, remote, printOnly)
	for i, c := range j.entry.Commands {
		if c.Kind != distfile.Special || !names(c, it.path) {
			continue
		}
		if j.update != nil && !printOnly {
			j.checks = append(j.checks, check{i, it.path, remote})
			continue
		}
		j.report.say(message.Change, `special "%s"`, c.Text)
		if printOnly {
			continue
		}
		if err := j.special(c.Text, it.path, remote); err != nil {
			return err
		}
	}
	return nil
}

// special runs a special command for a file.
func (w *work) special(command, path, remote string) error {
	text := w.variables(path, remote) + command
	if err := wire.CheckText(text); err != nil {
		w.report.fail(`%s: special "%s" cannot be run: %v`, path, command, err)
		return nil
	}
	w.stale()
	return w.runRemote(wire.OpSpecial, text)
}

// variables is the text for the shell that sets FILE, REMFILE and BASEFILE.
// krdistd takes them out of it if all are quoted, and expands ~ itself.
func (w *work) variables(path, remote string) string {
	local, there := quote, quoteRemote
	if w.session.ours {
		local, there = quoteAll, quoteAll
	}
	return "FILE=" + local(path) + ";REMFILE=" + there(remote) + ";BASEFILE=" + local(baseName(remote)) + ";export FILE REMFILE BASEFILE;"
}

// names reports whether a special or cmdspecial is for the file.
func names(c distfile.Command, path string) bool {
	return len(c.Names) == 0 || slices.Contains(c.Names, path)
}

// runRemote has a command run and tells its output.
func (w *work) runRemote(op byte, text string) error {
	if err := w.session.send(op, text); err != nil {
		return err
	}
	for {
		a, err := w.session.response(message.Change)
		if err == nil && a == declined {
			w.session.noReason(text)
		}
		if err != nil || a != logged {
			return err
		}
	}
}

// rememberFile notes a file for $FILES, if a cmdspecial wants it.
func (w *work) rememberFile(path, remote string, printOnly bool) {
	wanted := false
	for i, c := range w.entry.Commands {
		if c.Kind == distfile.CmdSpecial && names(c, path) {
			wanted = true
			if w.matched == nil {
				w.matched = map[int]bool{}
			}
			w.matched[i] = true
		}
	}
	if wanted && !printOnly {
		w.files = append(w.files, remote)
	}
}

// cmdSpecials runs the cmdspecial commands when all of the entry is done. One
// with a list runs only if one of its files was updated.
func (w *work) cmdSpecials() error {
	if !w.updated && !w.wanting {
		return nil
	}
	for i, c := range w.entry.Commands {
		if c.Kind != distfile.CmdSpecial || len(c.Names) > 0 && !w.matched[i] {
			continue
		}
		w.report.say(message.Change, `cmdspecial "%s"`, c.Text)
		if !w.updated {
			continue
		}
		if err := wire.CheckText(c.Text); err != nil {
			w.report.fail(`cmdspecial "%s" cannot be run: %v`, c.Text, err)
			continue
		}
		if err := w.cmdSpecial(c.Text); err != nil || w.update != nil && w.errors() > 0 {
			return err
		}
	}
	return nil
}

func (w *work) cmdSpecial(command string) error {
	files, err := w.wireFiles()
	if err != nil {
		return err
	}
	a, err := w.session.ask(wire.OpCmdSpecial, "", "cmdspecial")
	if err != nil || !a.ok() {
		return err
	}
	for _, name := range files {
		if a, err = w.session.ask(wire.OpFile, name, name); err != nil {
			return err
		}
		if !a.ok() {
			// What the server makes of the command that must come is not known.
			return w.session.over("%s: the server refused this name for $FILES, cmdspecial was not run", name)
		}
	}
	return w.runRemote(wire.OpCommand, command)
}

// wireFiles are the names of $FILES as they are sent, the last one first.
// rdistd puts them into the text for the shell as they are; krdistd does not,
// and takes each for the name.
func (w *work) wireFiles() ([]string, error) {
	files := slices.Clone(w.files)
	slices.Reverse(files)
	for i, name := range files {
		quoted := quoteRemote(name)
		if quoted == name {
			continue
		}
		ours, err := w.session.isOurs()
		if err != nil {
			return nil, err
		}
		if !ours {
			files[i] = quoted
		}
	}
	return files, nil
}
