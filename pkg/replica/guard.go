package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb"
)

// shrinkFloor is how many principals may be missing whatever their share.
const shrinkFloor = 10

// guard refuses a good dump that would take too much away from what is loaded,
// unless an operator has said that it may. Accepted says that this was so.
func (s *Server) guard(r *dump.Report, in *kdb.Incoming, b baseline, log *zap.Logger) (accepted bool, err error) {
	if s.unguarded() {
		return false, nil
	}
	if b.state == nil {
		log.Info("how many principals are loaded now is not known, so a shrunken or older dump would not be noticed this time",
			zap.String("reason", b.why))
		return false, nil
	}
	next := newState(r, "", time.Now())
	why := s.shrunk(next, b.state)
	if why == "" {
		why, err = s.older(next, b.state, in)
	}
	if err != nil {
		return false, s.fileRefusal(err)
	}
	if why == "" {
		return false, nil
	}
	mark, markErr := readMark(s.o.File)
	if markErr == nil && mark.allows(next.Digest, time.Now()) {
		log.Warn("accepted by kpropd accept: "+why, zap.Time("until", mark.Expires))
		return true, nil
	}
	if markErr != nil && !errors.Is(markErr, fs.ErrNotExist) {
		log.Warn("the mark of kpropd accept is of no use", zap.Error(markErr))
	}
	text := fmt.Sprintf("the propagation was refused and nothing was changed: %s; if it is meant to be so, run on this host: kpropd accept%s %s, and propagate again",
		why, s.o.VerbArgs, next.Digest[:shortDigest])
	return false, &refusal{mit: text, tell: text}
}

// unguarded reports whether there is nothing to compare for.
func (s *Server) unguarded() bool { return s.o.MaxShrink >= 100 && !s.o.RefuseOlder }

// shrunk gives the reason if too many principals are missing, or all policies:
// these come last, so a dump that was cut off behind a record lacks them,
// however few principals it lacks.
func (s *Server) shrunk(next, now *State) string {
	if s.o.MaxShrink < 100 && next.Policies == 0 && now.Policies > 0 {
		return fmt.Sprintf("it has none of the %d policies of the database here, as if it were cut off behind its principals", now.Policies)
	}
	missing := now.Principals - next.Principals
	if missing <= shrinkFloor || float64(missing)*100 <= float64(now.Principals)*float64(s.o.MaxShrink) {
		return ""
	}
	return fmt.Sprintf("it has %d principals and the database here has %d: %d (%s) fewer, and max_shrink is %d%%",
		next.Principals, now.Principals, missing, share(missing, now.Principals), s.o.MaxShrink)
}

// share is a part of the whole, in percent.
func share(part, whole int) string {
	return fmt.Sprintf("%.1f%%", 100*float64(part)/float64(whole))
}

// older gives the reason if the dump is an earlier one than what is loaded.
// That its newest change is earlier is not enough: so it is as well after the
// principal that was changed last has been deleted. An earlier version of a
// principal is what only an older dump has.
func (s *Server) older(next, now *State, in *kdb.Incoming) (string, error) {
	if !s.o.RefuseOlder || !next.NewestChange.Before(now.NewestChange) {
		return "", nil
	}
	times := fmt.Sprintf("its newest change is of %s, that of the database here of %s", when(next.NewestChange), when(now.NewestChange))
	recent, err := changedAfter(s.o.File, uint32(next.NewestChange.Unix()))
	if err != nil {
		// What the dump lacks can't be told.
		return "it is older than the database here: " + times, nil
	}
	all := len(recent)
	name, err := firstOf(in.Reader(), recent)
	switch {
	case err != nil:
		return "", fmt.Errorf("read %s: %w", in.TempPath(), err)
	case name != "":
		return fmt.Sprintf("it is older than the database here: it has an earlier version of %q, and %s", name, times), nil
	case all > shrinkFloor:
		return fmt.Sprintf("it is older than the database here: it lacks all of the %d principals changed last, and %s", all, times), nil
	}
	return "", nil
}

func when(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// maxRecent bounds how many names changedAfter gives. An honest dump lacks few.
const maxRecent = 100_000

// changedAfter gives names of principals of a dump that changed after a time
// in seconds since 1970.
func changedAfter(path string, after uint32) (map[string]bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names := map[string]bool{}
	err = eachPrincipal(f, func(p *dump.Principal) bool {
		if lastChange(p) > after {
			names[string(p.Name)] = true
		}
		return len(names) < maxRecent
	})
	return names, err
}

// lastChange is the time of a modification or password change of a principal, in
// seconds since 1970.
func lastChange(p *dump.Principal) (at uint32) {
	for i := range p.TL {
		t := &p.TL[i]
		if (t.Type == dump.TLModPrinc || t.Type == dump.TLLastPwdChange) && len(t.Data) >= 4 {
			at = max(at, binary.LittleEndian.Uint32(t.Data))
		}
	}
	return at
}

// firstOf gives the first principal of a dump that is among the names.
func firstOf(r io.Reader, names map[string]bool) (name string, err error) {
	err = eachPrincipal(r, func(p *dump.Principal) bool {
		if names[string(p.Name)] {
			name = string(p.Name)
		}
		return name == ""
	})
	return name, err
}

// eachPrincipal reads a dump until do returns false.
func eachPrincipal(r io.Reader, do func(*dump.Principal) bool) error {
	d, err := dump.NewReader(r)
	for err == nil {
		var rec dump.Record
		if rec, err = d.Next(); err != nil {
			break
		}
		if p, ok := rec.(*dump.Principal); ok && !do(p) {
			return nil
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
