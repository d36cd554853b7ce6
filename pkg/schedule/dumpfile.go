package schedule

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/transport"
)

// sharedDump is a dump that is opened by the first who needs it.
type sharedDump struct {
	path   string
	verify func(*kdb.DumpFile) error // before it is sent; may be nil
	// make makes the dump, and a good one, where there is no file yet; else nil.
	make func() (*kdb.DumpFile, error)
	once sync.Once
	dump *kdb.DumpFile
	err  error
	// unfinished says that it lacks kdb5_util's mark; also where err says more.
	unfinished bool
}

func (d *sharedDump) open() (*kdb.DumpFile, error) {
	d.once.Do(func() { d.dump, d.err = d.openVerified() })
	return d.dump, d.err
}

func (d *sharedDump) openVerified() (*kdb.DumpFile, error) {
	if d.make != nil {
		return d.make()
	}
	file, err := kdb.OpenDump(d.path)
	if err != nil {
		return nil, err
	}
	d.unfinished = !file.Finished()
	if d.verify == nil {
		return file, nil
	}
	if err := d.verify(file); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func (d *sharedDump) close() {
	if d.dump != nil {
		d.dump.Close()
	}
}

// VerifyError says that a dump is not what kdb5_util dump should have written.
type VerifyError struct {
	Path string
	Err  error
}

func (e *VerifyError) Error() string { return "the dump " + e.Path + " is not good: " + e.Err.Error() }
func (e *VerifyError) Unwrap() error { return e.Err }

// verify finds out whether a dump may be sent. The error is a VerifyError, or
// that of ctx.
func (s *Sender) verify(ctx context.Context, file *kdb.DumpFile) error {
	_, err := verifyFile(ctx, file, s.Realm, s.MasterKeyName, false)
	return err
}

// verifyFile reads the whole of a dump, as long as it was when it was opened.
// The error is a VerifyError, or that of ctx.
func verifyFile(ctx context.Context, file *kdb.DumpFile, realm, masterKeyName string, digest bool) (*dump.Report, error) {
	r := &contextReader{ctx, io.NewSectionReader(file.File(), 0, file.Size())}
	rep, err := dump.Verify(r, verifyOptions(realm, masterKeyName, digest))
	switch {
	case err == nil:
		return rep, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	return nil, &VerifyError{Path: file.File().Name(), Err: err}
}

func verifyOptions(realm, masterKeyName string, digest bool) dump.VerifyOptions {
	return dump.VerifyOptions{Realm: realm, MasterKeyName: masterKeyName, SampleSize: -1, Digest: digest}
}

// contextReader fails once its context has ended.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

// steadyReader reads a dump that must not change meanwhile. It gives the end
// only if nobody has written into the file: then what was read may be of two
// dumps. kdb5_util gives a new dump a new file.
type steadyReader struct {
	dump *kdb.DumpFile
	r    io.Reader
	read int64
}

func (s *steadyReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.read += int64(n)
	if s.read < s.dump.Size() {
		return n, err
	}
	st, bad := s.dump.File().Stat()
	switch {
	case bad != nil:
		return 0, bad
	case !st.ModTime().Equal(s.dump.ModTime()):
		return 0, fmt.Errorf("%w: it was written to while it was read", transport.ErrSizeChanged)
	}
	return n, err
}
