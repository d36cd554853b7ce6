package replica

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/child"
	"github.com/kprop/kprop/pkg/check"
	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/transport"
)

// received is a database that was received, verified and loaded.
type received struct {
	transfer *transport.Transfer // nil: of a rollback
	report   *dump.Report
	state    *State
	file     *kdb.Incoming // has its final name
	loading  *loading
	later    func() // what is left to do when the sender has its answer
}

// receive takes the whole way from the first byte to the live database. The
// dump stays in its temporary file until it is loaded; then it takes the place
// of the one before. On failure nothing of it stays. An error is a *refusal, or
// comes from the transfer, of which the sender knows.
func (s *Server) receive(ctx context.Context, c *transport.Conn, log *zap.Logger, known func()) (*received, error) {
	// The size before the file: it proves that the sender is there, and does
	// not repeat an old request to keep others from the file.
	t, err := c.ReceiveDatabase(ctx)
	if err != nil {
		return nil, err
	}
	known()
	select {
	case s.propagations <- struct{}{}:
		defer func() { <-s.propagations }()
	default:
		text := fmt.Sprintf("%d propagations to this host are under way", maxPropagations)
		return nil, &refusal{mit: text, tell: text}
	}
	in, err := s.incoming(ctx)
	if err != nil {
		return nil, err
	}
	defer in.Abort()
	l, err := s.startLoading(ctx, log)
	if err != nil {
		return nil, err
	}
	defer l.close()
	if l.engine.Native() {
		in.WrittenOnce()
	}
	if err := s.checkSpace(t.Size, log); err != nil {
		return nil, err
	}
	loaded, cancel := s.startBaseline(ctx)
	defer cancel()
	s.o.Debug("Full propagation transfer started.")
	report, err := s.take(t, in, l)
	if err != nil {
		return nil, err
	}
	s.o.Debug("Full propagation transfer finished.")
	warnOf(report, log)
	if err := s.checkStash(report, log); err != nil {
		return nil, err
	}
	accepted, err := s.guard(report, in, <-loaded, log)
	if err != nil {
		return nil, err
	}
	r := &received{transfer: t, report: report, file: in, loading: l}
	r.state = newState(report, transport.Printable(c.Peer().String()), time.Now())
	if err := s.install(ctx, r, log); err != nil {
		return nil, err
	}
	if accepted {
		if err := useMark(s.o.File); err != nil {
			log.Error("the mark of kpropd accept could not be removed", zap.Error(err))
		}
	}
	return r, nil
}

// install makes a dump that may be loaded the live and durable database, and
// gives its file the final name.
func (s *Server) install(ctx context.Context, r *received, log *zap.Logger) error {
	// The disk has both to write, and can do it at once.
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		r.loading.finish(r.report)
	}()
	err := r.file.Sync()
	<-finished
	if err != nil {
		return s.fileRefusal(err)
	}
	if err := s.load(ctx, r.file.TempPath(), r.report, r.loading); err != nil {
		return err
	}
	// The state goes first: one that does not belong to the file is noticed.
	id, err := fileID(r.file.TempPath())
	if err == nil {
		r.state.File = id
		err = r.state.write(s.o.File + stateSuffix)
	}
	if err != nil {
		log.Error("what was loaded could not be noted", zap.String("path", s.o.File+stateSuffix), zap.Error(err))
	}
	r.later = func() {}
	if r.transfer != nil {
		r.later = s.keepDump(r.file.TempPath(), r.state, log)
	}
	if err := r.file.Commit(); err != nil {
		// The database is live; only the copy of its dump is not kept.
		log.Error(s.fileRefusal(err).mit, zap.Error(err))
	}
	return nil
}

// startBaseline finds out what is loaded while the dump is on its way. The end
// of ctx must not make that unknown.
func (s *Server) startBaseline(ctx context.Context) (<-chan baseline, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	result := make(chan baseline, 1)
	if s.unguarded() {
		result <- baseline{}
		return result, cancel
	}
	go func() {
		var b baseline
		if err := guarded("the look at what is loaded", func() error { b = s.baseline(ctx); return nil }); err != nil {
			b = baseline{why: err.Error()}
		}
		result <- b
	}()
	return result, cancel
}

// maxLine bounds a record of the dump, in bytes of its line; it bounds the
// memory of the verification.
const maxLine = 8 << 20

func (s *Server) verifyOptions() dump.VerifyOptions {
	return dump.VerifyOptions{
		Realm: s.o.Realm, MasterKeyName: s.realm.MasterKeyName, MaxLine: maxLine, Digest: true,
	}
}

// take writes the dump to the file, verifies it, and makes a database of it if
// that is how it is loaded, all at the same time.
func (s *Server) take(t io.WriterTo, in *kdb.Incoming, l *loading) (*dump.Report, error) {
	w := newSplitter(in, dump.NewVerifier(s.verifyOptions()), l)
	defer w.stop()
	pieces := bufio.NewWriterSize(w, pieceSize)
	_, err := t.WriteTo(pieces)
	if err == nil {
		err = pieces.Flush()
	}
	switch {
	case w.fileErr != nil:
		return nil, writeRefusal(w.fileErr, in)
	case w.verifyErr != nil:
		return nil, badDump(w.verifyErr)
	case err != nil:
		return nil, err
	}
	report, err := w.verifier.Close()
	if err == nil && report.Duplicates > 0 {
		err = fmt.Errorf("%d of its principals come more than once, as in no dump that kdb5_util makes", report.Duplicates)
	}
	if err != nil {
		return nil, badDump(err)
	}
	return report, nil
}

// writeRefusal has MIT's words for both sides (reference kprop-protocol.md 10.2).
func writeRefusal(err error, in *kdb.Incoming) *refusal {
	text := fmt.Sprintf("%s while writing database block starting at offset %d", transport.Message(err), in.Size())
	r := &refusal{mit: text, tell: text + " to " + in.TempPath(), err: err}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		r.found = []check.Finding{{
			Problem: "there is no room for the dump; the database here is what it was",
			Remedy:  []string{"df -h " + filepath.Dir(in.TempPath())},
		}}
	}
	return r
}

func badDump(err error) *refusal {
	text := fmt.Sprintf("the dump was refused and nothing was changed: %v", err)
	return &refusal{mit: text, tell: text}
}

// pieceSize is how much is verified and written at a time, in bytes: enough
// that handing it over costs nothing.
const pieceSize = 256 << 10

// splitter gives each piece to the verifier, to the file, and to the database
// that is made of it, at the same time.
type splitter struct {
	file      *kdb.Incoming
	verifier  *dump.Verifier
	verify    *companion
	build     *companion
	fileErr   error
	verifyErr error
}

func newSplitter(file *kdb.Incoming, v *dump.Verifier, l *loading) *splitter {
	return &splitter{
		file: file, verifier: v,
		verify: accompany(func(b []byte) error { return verify(v, b) }),
		build:  accompany(func(b []byte) error { _, err := l.Write(b); return err }),
	}
}

// verify keeps a panic of the verifier within its connection.
func verify(v *dump.Verifier, b []byte) error {
	return guarded("the verification", func() error { _, err := v.Write(b); return err })
}

func (w *splitter) Write(p []byte) (int, error) {
	w.verify.pieces <- p
	w.build.pieces <- p
	n, err := w.file.Write(p)
	w.fileErr = err
	w.verifyErr = <-w.verify.done
	<-w.build.done
	return n, errors.Join(w.fileErr, w.verifyErr)
}

func (w *splitter) stop() {
	close(w.verify.pieces)
	close(w.build.pieces)
}

// companion takes pieces in a goroutine of its own, which ends when pieces is
// closed.
type companion struct {
	pieces chan []byte
	done   chan error // one for each piece
}

func accompany(take func([]byte) error) *companion {
	c := &companion{make(chan []byte), make(chan error)}
	go func() {
		for b := range c.pieces {
			c.done <- take(b)
		}
	}()
	return c
}

// warnOf logs what is odd about a dump that may be loaded.
func warnOf(r *dump.Report, log *zap.Logger) {
	if len(r.MissingPolicies) > 0 {
		log.Warn("principals of the dump name policies that it lacks, so these principals are not restricted; on the primary, add the policies again, or take them off by kadmin modprinc -clearpolicy",
			zap.Strings("policies", r.MissingPolicies))
	}
	for _, w := range r.Warnings {
		log.Warn(w.String())
	}
	if r.MoreWarnings > 0 {
		log.Warn("there are further oddities in the dump", zap.Int("count", r.MoreWarnings))
	}
}

// checkStash makes sure that the KDC on this host will be able to open the
// database. A stash that is not there is only reported: the KDC may be given
// the master key by hand.
func (s *Server) checkStash(r *dump.Report, log *zap.Logger) error {
	path := s.realm.StashFile
	findings, err := kdb.CheckStash(r.KM, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		log.Warn("there is no stash file, so the KDC on this host cannot start by itself",
			zap.String("path", path), zap.String("mend", check.Stash("this host").Remedy[0]))
		return nil
	case errors.Is(err, fs.ErrPermission):
		log.Warn("the stash file cannot be read, so whether it opens the database is not known", zap.Error(err))
		return nil
	case err != nil:
		text := fmt.Sprintf("the stash %s on this host does not open the dump, nothing was changed: %v", path, err)
		return &refusal{mit: text, tell: text, found: []check.Finding{check.Stash("this host")}}
	}
	for _, f := range findings {
		if f.Problem() {
			log.Warn(f.Text, zap.String("path", path))
		}
	}
	return nil
}

// load makes a dump the live and durable database, and looks into it.
func (s *Server) load(ctx context.Context, file string, r *dump.Report, l *loading) error {
	// A load that was killed while it puts the new database in place can leave
	// none, so it is not broken off when ctx ends.
	ctx = context.WithoutCancel(ctx)
	made, err := l.ready()
	switch {
	case err != nil:
		return err
	case made:
		return l.promote(ctx)
	case s.stages():
		return s.loadStaged(ctx, file, r, l)
	}
	if err := s.loadKeeping(ctx, file); err != nil {
		return err
	}
	if err := kdb.SyncDatabase(s.database()); err != nil {
		text := fmt.Sprintf("the database is loaded but could not be made durable: %v", err)
		return &refusal{mit: text, tell: text}
	}
	if err := s.readBack(ctx, s.o.Database, r); err != nil {
		text := fmt.Sprintf("the database was loaded but could not be read back: %v; to load an earlier one again, run on this host: kpropd rollback%s", err, s.o.VerbArgs)
		return &refusal{mit: text, tell: text}
	}
	return nil
}

// runLoad runs kdb5_util load; database is for its option -d, if not empty.
func (s *Server) runLoad(ctx context.Context, database, file string) error {
	ctx, started, stop := child.WatchProgress(ctx, s.o.LoadTimeout)
	defer stop()
	s.o.Debug("calling kdb5_util to load database")
	util := kdb.Util{
		Path: s.o.KDB5Util, Realm: s.o.Realm, Database: database,
		Started: func(pid int) {
			started(pid)
			s.o.Debug("Load PID is %d", pid)
		},
	}
	err := util.Load(ctx, file)
	if leftover(err) {
		err = util.Load(ctx, file)
	}
	if err == nil {
		return nil
	}
	r := &refusal{mit: err.Error(), tell: err.Error()}
	var u *kdb.UtilError
	if errors.As(err, &u) {
		r = &refusal{mit: u.MITText(), tell: u.Error(), err: u}
	}
	if errors.Is(err, os.ErrNotExist) {
		r.tell = s.o.KDB5Util + " is not on this host: install krb5-kdc there, or name the program with kpropd -p"
	}
	return r
}

// leftover tells that a load failed only because of the temporary database of
// an earlier one, as a full disk leaves it. It has removed that (reference
// kdb-formats.md 1.9), so the next one has a chance.
func leftover(err error) bool {
	var u *kdb.UtilError
	return errors.As(err, &u) && strings.Contains(u.Stderr, "~': File exists")
}

func (s *Server) database() string {
	if s.o.Database != "" {
		return s.o.Database
	}
	return s.realm.DatabaseName
}
