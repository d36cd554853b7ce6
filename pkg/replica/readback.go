package replica

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/kprop/kprop/pkg/dump"
)

// readBack makes sure that the database that was loaded is the one that was
// meant: K/M, and a principal of the dump if it has another with keys, are in
// it with the same keys. It has kdb5_util dump just these, into a pipe, but reads
// LMDB itself.
func (s *Server) readBack(ctx context.Context, database string, r *dump.Report) error {
	if !s.o.ReadBack || !s.o.MITLoader {
		return nil
	}
	want := []*dump.Principal{r.KM}
	if len(r.Sample) > 0 {
		want = append(want, &r.Sample[0])
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.LoadTimeout)
	defer cancel()
	found, err := s.dumpOnly(ctx, database, want)
	if err != nil {
		return err
	}
	return missing(want, found)
}

// missing gives the first principal that is not among those found, or not with
// its keys.
func missing(want []*dump.Principal, found map[string]*dump.Principal) error {
	for _, w := range want {
		f := found[string(w.Name)]
		switch {
		case f == nil:
			return fmt.Errorf("%q is not in it", w.Name)
		case len(f.Keys) < len(w.Keys):
			return fmt.Errorf("%q lacks keys in it", w.Name)
		}
		for i := range w.Keys {
			if w.Keys[i].KVNO != f.Keys[i].KVNO || !bytes.Equal(w.Keys[i].Contents[0], f.Keys[i].Contents[0]) {
				return fmt.Errorf("%q has other keys in it", w.Name)
			}
		}
	}
	return nil
}

// dumpOnly gives the named principals of a database.
func (s *Server) dumpOnly(ctx context.Context, database string, names []*dump.Principal) (found map[string]*dump.Principal, err error) {
	if s.klmdb() {
		return s.onlyOfLMDB(ctx, names)
	}
	var patterns []string
	for _, p := range names {
		// A pattern must match the whole name; the two dialects quote alike.
		patterns = append(patterns, regexp.QuoteMeta(string(p.Name)))
	}
	err = s.dumpDatabase(ctx, database, patterns, func(r io.Reader) error {
		found, err = principals(io.LimitReader(r, int64(len(names)+1)*maxLine))
		return err
	})
	return found, err
}

// dumpDatabase has kdb5_util dump a database, or the principals that match one
// of the patterns, and gives read the dump. An empty name means that of
// kdc.conf.
func (s *Server) dumpDatabase(ctx context.Context, database string, patterns []string, read func(io.Reader) error) error {
	args := []string{"-r", s.o.Realm, "dump"}
	if database != "" {
		args = append(args, "-d", database)
	}
	args = append(append(args, "-"), patterns...)
	cmd := exec.CommandContext(ctx, s.o.KDB5Util, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	var said strings.Builder
	cmd.Stderr = &limitedText{b: &said, left: 1 << 10}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	// The kernel sends Pdeathsig when the thread that forked ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := read(out)
	out.Close()
	// Without a usable stash it ends with 1 after complete work: what it has
	// written is what counts.
	_ = cmd.Wait()
	switch text := oneLine(said.String()); {
	case readErr == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s was stopped: %w", s.o.KDB5Util, context.Cause(ctx))
	case text != "":
		return fmt.Errorf("%w: %s", readErr, text)
	}
	return readErr
}

func principals(r io.Reader) (map[string]*dump.Principal, error) {
	found := map[string]*dump.Principal{}
	err := eachPrincipal(r, func(p *dump.Principal) bool {
		found[string(p.Name)] = p.Clone()
		return true
	})
	return found, err
}

func oneLine(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(strings.TrimSpace(s), "?"))
}

// limitedText keeps the beginning of what is written.
type limitedText struct {
	b    *strings.Builder
	left int
}

func (l *limitedText) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.b.Write(p[:n])
	l.left -= n
	return len(p), nil
}
