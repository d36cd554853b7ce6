package replica

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/kdb/db2"
)

// State tells of a dump that was loaded. It holds no secret.
type State struct {
	Version      int       `json:"version"` // of this form
	Digest       string    `json:"digest"`  // see dump.Report, in hex
	Time         time.Time `json:"time"`    // of the load, UTC
	Sender       string    `json:"sender"`  // principal
	Principals   int       `json:"principals"`
	Policies     int       `json:"policies"`
	Bytes        int64     `json:"bytes"`
	NewestChange time.Time `json:"newest_change"` // of a principal, UTC
	File         FileID    `json:"file"`
}

// FileID tells whether a file is the one of which a State was written.
type FileID struct {
	Size    int64 `json:"size"`
	ModTime int64 `json:"mtime_ns"` // nanoseconds since 1970
}

const (
	stateVersion = 1
	stateSuffix  = ".state"
	// maxStateSize bounds the files of this package in JSON, in bytes.
	maxStateSize = 64 << 10
)

func newState(r *dump.Report, sender string, at time.Time) *State {
	return &State{
		Version: stateVersion, Digest: hex.EncodeToString(r.Digest), Time: at.UTC().Truncate(time.Millisecond), Sender: sender,
		Principals: r.Principals, Policies: r.Policies, Bytes: r.Bytes,
		NewestChange: time.Unix(int64(r.NewestMod), 0).UTC(),
	}
}

// ParseState reads what a State was written as, of at most 64 KiB.
func ParseState(data []byte) (*State, error) {
	var s State
	if err := strict(data, &s); err != nil {
		return nil, err
	}
	d, err := hex.DecodeString(s.Digest)
	switch {
	case s.Version != stateVersion:
		return nil, fmt.Errorf("version %d is not known", s.Version)
	case err != nil || len(d) != 32:
		return nil, errors.New("the digest is not one")
	case s.Principals < 1 || s.Policies < 0 || s.Bytes < 1 || s.File.Size < 0:
		return nil, errors.New("a number in it cannot be")
	case s.NewestChange.Unix() < 0 || s.NewestChange.Unix() > 1<<32-1 || s.Time.Unix() < 0:
		return nil, errors.New("a time in it cannot be")
	}
	return &s, nil
}

// strict reads one JSON value into v.
func strict(data []byte, v any) error {
	if len(data) > maxStateSize {
		return errors.New("it is too large")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return errors.New("it is not of the form that kpropd writes")
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows its end")
	}
	return nil
}

func readState(path string) (*State, error) {
	data, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	s, err := ParseState(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// readSmall reads a small regular file, which no link may stand for.
func readSmall(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s is not a regular file", path))
	}
	return io.ReadAll(io.LimitReader(f, maxStateSize+1))
}

// write makes the state durable, in a file with mode 0600.
func (s *State) write(path string) error { return writeJSON(path, s) }

func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := osutil.Step("write", path); err != nil {
		return err
	}
	err = writeFile(path+tempSuffix, append(text, '\n'))
	if err == nil {
		err = os.Rename(path+tempSuffix, path)
	}
	if err != nil {
		_ = os.Remove(path + tempSuffix) // of a full disk, on which it takes room
		return err
	}
	return syncDir(filepath.Dir(path))
}

// tempSuffix is behind the name of a file that is being written: always the
// same, so that one which a kill has left is replaced by the next.
const tempSuffix = ".temp"

// writeFile makes a new file, durable but for its name.
func writeFile(path string, data []byte) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := osutil.Step("fsync", path); err != nil {
		return err
	}
	return d.Sync()
}

func fileID(path string) (FileID, error) {
	st, err := os.Lstat(path)
	if err != nil {
		return FileID{}, err
	}
	return FileID{Size: st.Size(), ModTime: st.ModTime().UnixNano()}, nil
}

// baseline is what is loaded now, as far as it can be told.
type baseline struct {
	state *State // nil: not known
	why   string // it is not known
}

// baseline takes the state of what is loaded from its file, if that is of the
// dump that was loaded last; else, as after a load by MIT's kpropd, it reads
// that dump; and if there is no good one, the database.
func (s *Server) baseline(ctx context.Context) baseline {
	id, err := fileID(s.o.File)
	gone := errors.Is(err, fs.ErrNotExist)
	if st, stateErr := readState(s.o.File + stateSuffix); stateErr == nil && (gone || err == nil && st.File == id) {
		return baseline{state: st}
	}
	if gone {
		return s.baselineOfDatabase(ctx, s.o.File+" is not there, as before the first propagation")
	}
	f, err := os.OpenFile(s.o.File, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return s.baselineOfDatabase(ctx, err.Error())
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return s.baselineOfDatabase(ctx, s.o.File+" is not a regular file")
	}
	report, err := s.verifyAll(ctx, f)
	if err != nil {
		return s.baselineOfDatabase(ctx, fmt.Sprintf("%s is no good dump: %v", s.o.File, err))
	}
	st := newState(report, "", time.Unix(0, id.ModTime))
	st.File = id
	return baseline{state: st}
}

// baselineOfDatabase reads the database itself; why is what to say if there is
// none.
func (s *Server) baselineOfDatabase(ctx context.Context, why string) baseline {
	if !s.o.ReadBack {
		return baseline{why: why}
	}
	report, err := s.verifyDatabase(ctx)
	if err != nil {
		return baseline{why: why}
	}
	return baseline{state: newState(report, "", time.Now())}
}

// verifyDatabase verifies the database as the dump that it would give.
func (s *Server) verifyDatabase(ctx context.Context) (report *dump.Report, err error) {
	engine, err := s.query().ChooseDump()
	switch {
	case s.klmdb():
		return s.verifyLMDB(ctx)
	case err == nil && engine.Engine == kdb.DB2:
		return s.verifyDB2(ctx)
	case !s.o.MITLoader:
		return nil, errors.New("no program is known that dumps it")
	}
	err = s.dumpDatabase(ctx, s.o.Database, nil, func(r io.Reader) (err error) {
		report, err = s.verifyAll(ctx, r)
		return err
	})
	return report, err
}

// verifyDB2 is verifyDatabase without kdb5_util, during which logins would wait.
func (s *Server) verifyDB2(ctx context.Context) (*dump.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.LoadTimeout)
	defer cancel()
	snapshot, err := db2.TakeSnapshot(ctx, s.database(), db2.SnapshotOptions{MemoryLimit: 1})
	if err != nil {
		return nil, err
	}
	defer snapshot.Close()
	options := s.verifyOptions()
	dumped, err := snapshot.Dump(ctx, io.Discard, dump.Header{Version: dump.Version7}, db2.DumpOptions{Verify: &options})
	if err != nil {
		return nil, err
	}
	return dumped.Report, dumped.Verdict
}

// verifyAll verifies a dump that is on the disk, until ctx ends.
func (s *Server) verifyAll(ctx context.Context, r io.Reader) (*dump.Report, error) {
	return dump.Verify(ctxReader{ctx, r}, s.verifyOptions())
}

// ctxReader is a reader until ctx ends.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
