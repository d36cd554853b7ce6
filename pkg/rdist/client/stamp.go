package client

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/rdist/distfile"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/option"
)

// stamped is the work on one entry ::, for which no server is needed (4.8).
type stamped struct {
	*host
	ctx    context.Context
	entry  *distfile.Entry
	count  *EntryResult
	verify bool
	since  int64
	newer  []string
	above  []inode
}

func (h *host) stampEntry(ctx context.Context, entry *distfile.Entry) error {
	s := &stamped{host: h, ctx: ctx, entry: entry, count: h.report.count, verify: h.e.Global.Has(option.Verify)}
	if len(entry.Files) == 0 {
		label := entry.Label
		if label == "" {
			label = "(null)"
		}
		h.report.fail(`No files to be updated for target "%s"`, label)
		return nil
	}
	st, err := h.e.stat(entry.Host, true)
	if err != nil {
		h.report.fail("%s: stat failed: %s", entry.Host, osutil.Reason(err))
		return nil
	}
	s.since = st.Mtim.Sec
	if !s.verify {
		// Before the files are looked at: what changes in the meantime is newer.
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, entry.Host, nil, 0); err != nil {
			h.report.fail("%s: utimes failed: %s", entry.Host, osutil.Reason(err))
		}
	}
	for _, name := range entry.Wanted() {
		s.visit(name)
	}
	for _, c := range entry.Commands {
		if c.Kind == distfile.Notify {
			h.notify(ctx, c.Names, time.Unix(s.since, 0))
		}
	}
	s.cmdSpecials()
	return ctx.Err()
}

// visit does a file, or all that is in a directory.
func (s *stamped) visit(path string) {
	if s.ctx.Err() != nil {
		return
	}
	if strings.Contains(path, "\n") {
		s.count.LocalErrors++
		s.report.say(message.NError, "Refuse to handle filename containing newline: %s", strings.ReplaceAll(path, "\n", "?"))
		return
	}
	if excepted, err := s.entry.Excepted(path); excepted || err != nil {
		if err != nil {
			s.report.fail("%v", err)
		}
		return
	}
	if err := unix.Access(path, unix.R_OK); err != nil {
		s.report.fail("%s: cannot access file: %s", path, osutil.Reason(err))
		return
	}
	st, err := s.e.stat(path, true)
	switch {
	case err != nil:
		s.report.fail("%s: stat failed: %s", path, osutil.Reason(err))
	case isDir(&st):
		s.directory(path, inodeOf(&st))
	case !isRegular(&st):
		s.report.fail("%s: not a plain file", path)
	default:
		if st.Mtim.Sec > s.since {
			s.isNewer(path)
		} else {
			s.count.Unchanged++
		}
		s.objects++
		s.progress(Looked, path)
	}
}

func (s *stamped) directory(path string, id inode) {
	if slices.Contains(s.above, id) {
		s.report.fail("%s: this link leads to a directory that it is in: it is not followed", path)
		return
	}
	names, err := s.e.readDir(path)
	if err != nil {
		s.report.fail("%s: opendir failed: %s", path, osutil.Reason(err))
		return
	}
	s.above = append(s.above, id)
	for _, name := range names {
		s.visit(joinPath(path, name))
	}
	s.above = s.above[:len(s.above)-1]
}

// isNewer tells of a file, and runs the special commands for it.
func (s *stamped) isNewer(path string) {
	s.report.say(message.Info, "%s: file is newer", path)
	s.count.Newer++
	s.newer = append(s.newer, path)
	for _, c := range s.entry.Commands {
		if c.Kind == distfile.Special && names(c, path) {
			s.shell("special", "FILE="+quote(path)+";"+c.Text)
		}
	}
}

// cmdSpecials runs the cmdspecial commands if anything is newer; one with a
// list only if one of its files is.
func (s *stamped) cmdSpecials() {
	if len(s.newer) == 0 || s.ctx.Err() != nil {
		return
	}
	files := "FILES=" + quoteAll(strings.Join(s.newer, ":")) + ";"
	for _, c := range s.entry.Commands {
		if c.Kind == distfile.CmdSpecial && slices.ContainsFunc(s.newer, func(path string) bool { return names(c, path) }) {
			s.shell("cmdspecial", files+c.Text)
		}
	}
}

// shell runs a command here, unless verify only wants to be told.
func (s *stamped) shell(kind, text string) {
	s.report.say(message.Change, `%s "%s"`, kind, text)
	if s.verify {
		return
	}
	out := &lineWriter{emit: func(line string) { s.report.text(message.Info, line) }}
	cmd := exec.CommandContext(s.ctx, "/bin/sh", "-c", text)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	out.flush()
	if err != nil {
		s.report.fail("%s failed: %v", kind, err)
	}
}

// lineWriter makes messages of the output of a command; empty lines are
// dropped.
type lineWriter struct {
	emit func(string)
	buf  []byte
}

const maxOutputLine = 8 << 10

func (w *lineWriter) Write(p []byte) (int, error) {
	for _, c := range p {
		if c == '\n' || len(w.buf) == maxOutputLine {
			w.flush()
		}
		if c != '\n' {
			w.buf = append(w.buf, c)
		}
	}
	return len(p), nil
}

func (w *lineWriter) flush() {
	if len(w.buf) > 0 {
		w.emit(string(w.buf))
	}
	w.buf = w.buf[:0]
}
