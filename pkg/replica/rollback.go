package replica

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/pkg/kdb"
)

// ErrBusy says that a propagation, or another rollback, is under way.
var ErrBusy = errors.New("a propagation to this host is under way; try again when it is over")

// Previous gives the newest dump of the history that is older than the one
// loaded now.
func Previous(list []Kept) (*Kept, error) {
	for i := range list {
		if !list[i].Loaded {
			continue
		}
		if i+1 < len(list) {
			return &list[i+1], nil
		}
		return nil, errors.New("no dump is kept that is older than the one loaded; name one of kpropd history by its number")
	}
	if len(list) == 0 {
		return nil, errors.New("no dump is kept")
	}
	return nil, errors.New("it is not known which of the kept dumps is loaded; name one of kpropd history by its number")
}

// Rollback loads a dump of the history again: the same way, under the same
// lock and with the same verification as one that comes from a sender, but for
// the guards against older and smaller ones. If a propagation is under way, it
// changes nothing and returns ErrBusy. Of the options it needs Profile, Realm,
// File and KDB5Util. Errors are one line, which says whether anything changed.
func Rollback(ctx context.Context, o Options, k *Kept) error {
	s, err := newLoader(o)
	if err != nil {
		return err
	}
	in, err := kdb.NewIncoming(s.o.File)
	if errors.Is(err, kdb.ErrLocked) {
		return ErrBusy
	}
	if err != nil {
		return s.fileRefusal(err)
	}
	defer in.Abort()
	start := time.Now()
	l, err := s.startLoading(ctx, s.log)
	if err == nil {
		defer l.close()
		err = s.rollback(ctx, in, k, l)
	}
	if err != nil {
		s.log.Error("kpropd: rollback: "+tellOf(err), zap.String("path", k.Path))
		return errors.New(tellOf(err))
	}
	s.log.Info("database loaded by rollback", append(l.fields(), zap.String("path", k.Path), zap.String("digest", k.Digest),
		zap.Int("principals", k.Principals), zap.Int("policies", k.Policies), zap.Duration("duration", time.Since(start)))...)
	if err := in.SyncName(); err != nil {
		s.log.Error(s.fileRefusal(err).mit, zap.Error(err))
	}
	return nil
}

func (s *Server) rollback(ctx context.Context, in *kdb.Incoming, k *Kept, l *loading) error {
	f, err := os.OpenFile(k.Path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", k.Path)
	}
	if err := s.checkSpace(st.Size(), s.log); err != nil {
		return err
	}
	report, err := s.take(f, in, l)
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(report.Digest); got != k.Digest {
		return fmt.Errorf("%s has changed since it was kept, nothing was changed: its digest is %s instead of %s", k.Path, got[:shortDigest], k.Digest[:shortDigest])
	}
	if err := s.checkStash(report, s.log); err != nil {
		return err
	}
	r := &received{report: report, file: in, loading: l}
	r.state = newState(report, k.Sender, time.Now())
	return s.install(ctx, r, s.log)
}

// tellOf is the text of an error for a person on this host.
func tellOf(err error) string {
	var r *refusal
	if errors.As(err, &r) {
		return r.tell
	}
	return err.Error()
}
