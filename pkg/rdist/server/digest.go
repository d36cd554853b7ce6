package server

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// digest answers the digest of a regular file, so that the client need not send
// it to have it compared. It is the extension of that name.
func (s *session) digest(line wire.Line) error {
	p, err := s.place(line.Text)
	if err != nil {
		return err
	}
	e, err := s.entry(p, false)
	if err != nil {
		return s.absent(p, err)
	}
	defer e.close()
	st, err := e.dir.stat(e.name)
	switch {
	case err != nil:
		return s.absent(p, err)
	case !isRegular(st):
		return s.conn.Write(wire.OpNo, "")
	}
	f, err := e.dir.open(e.name)
	if err != nil {
		return refuse("%s: open for read failed: %s", p.text, osutil.Reason(err))
	}
	defer f.Close()
	hash := sha256.New()
	// No more than there was: a file that grows meanwhile has no digest anyway.
	n, err := io.CopyBuffer(onlyWriter{hash}, &contextReader{s, io.LimitReader(f, st.Size)}, s.buffer)
	switch {
	case s.ctx.Err() != nil:
		return s.ctx.Err()
	case err == nil && n < st.Size:
		err = errors.New("it shrank meanwhile")
	}
	if err != nil {
		return refuse("%s: read failed: %s", p.text, osutil.Reason(err))
	}
	return s.conn.Write(wire.OpYes, hex.EncodeToString(hash.Sum(nil)))
}

// onlyWriter keeps io.CopyBuffer to the buffer.
type onlyWriter struct{ io.Writer }

// contextReader ends when the session's context does.
type contextReader struct {
	s *session
	r io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.s.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
