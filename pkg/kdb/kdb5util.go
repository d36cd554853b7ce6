package kdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Util runs MIT's kdb5_util. It is safe for concurrent use; what kdb5_util makes
// of two loads at once is another matter (reference kdb-formats.md 5.4).
type Util struct {
	Path     string        // of the program; no search along $PATH
	Realm    string        // always passed, as -r
	Database string        // passed as -d if not empty; else kdc.conf names the database
	Args     []string      // further options, put before the command, such as -sf and a stash file
	Env      []string      // nil: the environment of this process
	Grace    time.Duration // from SIGTERM to SIGKILL when ctx ends; 0: 5 seconds
	// Stall is after how long without progress Dump stops the program; 0: never.
	// It waits without end for a database that another program has locked.
	Stall time.Duration
	// Started, if not nil, is called with the program's process number.
	Started func(pid int)
}

// IsUtil reports whether a program is MIT's kdb5_util: the one that is installed,
// or one of that name, as of another build. Any other is a loader of somebody's
// own, of which nothing is known.
func IsUtil(path, installed string) bool {
	if filepath.Base(path) == filepath.Base(installed) {
		return true
	}
	a, errA := os.Stat(path)
	b, errB := os.Stat(installed)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// UtilError is a run of kdb5_util that failed.
type UtilError struct {
	Path     string
	Args     []string // without the program itself
	ExitCode int      // -1 if it did not exit by itself
	Signal   os.Signal
	Stderr   string // the last 64 KiB of it, control characters removed
	Err      error  // why it could not be run, why it was stopped, or what was wrong with its result; may be nil
	// DumpComplete says that Dump made a new and complete dump all the same:
	// kdb5_util does, but exits with 1, if it cannot use the stash.
	DumpComplete bool
}

// MITText is what MIT's kpropd logs of the same failure (reference
// kprop-protocol.md 13.6), without "kpropd: ". MIT has no text for a run with the
// exit status 0.
func (e *UtilError) MITText() string {
	switch {
	case e.Signal != nil && slices.Contains(e.Args, "dump"):
		return e.Path + " dump terminated"
	case e.Signal != nil:
		return e.Path + " load terminated"
	case e.ExitCode > 0:
		return fmt.Sprintf("%s returned a bad exit status (%d)", e.Path, e.ExitCode)
	case e.ExitCode == 0:
		return e.Path + " did not do its work"
	}
	return systemText(e.Err) + " while trying to exec " + e.Path
}

// Error is one line: MITText, the reason, and what the program said.
func (e *UtilError) Error() string {
	var b strings.Builder
	b.WriteString(e.MITText())
	if e.Signal != nil {
		fmt.Fprintf(&b, " (by the signal %q)", e.Signal)
	}
	if e.Err != nil && (e.Signal != nil || e.ExitCode >= 0) {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.DumpComplete {
		b.WriteString(": the dump is complete nevertheless")
	}
	if said := strings.TrimSpace(e.Stderr); said != "" {
		b.WriteString(": " + strings.Join(strings.Split(said, "\n"), "; "))
	}
	return b.String()
}

func (e *UtilError) Unwrap() error { return e.Err }

// Load replaces the database by the content of a dump, with the arguments that
// MIT's kpropd gives (reference kprop-protocol.md 13.3). When ctx ends, the
// program and all that it started are killed, which can leave a database that
// must be loaded again (reference kdb-formats.md 5.4): give it time. The error is
// a *UtilError.
func (u *Util) Load(ctx context.Context, file string) error {
	if e := u.run(ctx, u.argv("load", file)); e != nil {
		return e
	}
	return nil
}

// Dump writes a dump of the database to a file and makes it durable. It does
// not believe the exit status, which is 0 on a full disk and 1 for a complete
// dump without a usable stash (reference kdb-formats.md 1.8): there must be a new
// file, with a complete last record, and the mark of a finished dump in
// <file>.dump_ok. The error is a *UtilError; see its DumpComplete. It wraps a
// *child.StalledError if kdb5_util was stopped for Util.Stall.
func (u *Util) Dump(ctx context.Context, file string) error {
	start := time.Now()
	before, err := os.Lstat(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &UtilError{Path: u.Path, ExitCode: -1, Err: err}
	}
	args := u.argv("dump", file)
	failed := u.runUnlessStalled(ctx, args)
	bad := checkNewDump(file, before)
	switch {
	case failed != nil && failed.ExitCode > 0:
		failed.DumpComplete = bad == nil
		return failed
	case failed != nil:
		removeAbandoned(file, start)
		return failed
	case bad != nil:
		return &UtilError{Path: u.Path, Args: args, Err: bad}
	}
	return nil
}

func (u *Util) argv(command, file string) []string {
	args := append([]string{"-r", u.Realm}, u.Args...)
	args = append(args, command)
	if u.Database != "" {
		args = append(args, "-d", u.Database)
	}
	if strings.HasPrefix(file, "-") {
		file = "./" + file // kdb5_util would take it for an option
	}
	return append(args, file)
}

// checkNewDump reports what is wrong with the dump that a finished kdb5_util
// has left, if anything is, and makes it durable. Before is the file that had
// the name earlier, or nil.
func checkNewDump(file string, before fs.FileInfo) error {
	f, err := openRegular(file, os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("no dump was written: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if before != nil && os.SameFile(before, st) {
		return errors.New("no new dump was written; the one there is the former")
	}
	ok, err := os.Stat(file + okSuffix)
	if err != nil {
		return fmt.Errorf("the dump has no mark of completion: %w", err)
	}
	if ok.Size() != 1 {
		return fmt.Errorf("the dump is not complete (%s is empty); is the disk full?", file+okSuffix)
	}
	if err := checkEnd(f, st.Size()); err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), syncFile(file+okSuffix)); err != nil {
		return err
	}
	return syncDir(file)
}

// checkEnd looks whether the file ends as a dump does: with a principal's
// ";\n", or with a policy line.
func checkEnd(f *os.File, size int64) error {
	const maxPolicyLine = 1 << 20
	tail := make([]byte, min(size, maxPolicyLine))
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil {
		return err
	}
	text, lf := strings.CutSuffix(string(tail), "\n")
	last := text[strings.LastIndexByte(text, '\n')+1:]
	if !lf || !strings.HasSuffix(last, ";") && !strings.HasPrefix(last, "policy\t") {
		return errors.New("the dump ends in the middle of a record; is the disk full?")
	}
	return nil
}
