package server

import (
	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/rdist/option"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// fileSystem is what matters of a mounted file system.
type fileSystem struct {
	nfs, readOnly bool
	freeKiB       int64 // for this account
	freeFiles     int64
	countsFiles   bool // some have no fixed number of inodes, and say 0 of 0
}

func statFileSystem(d *dir) (fileSystem, error) {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Fstatfs(d.fd, &st) }); err != nil {
		return fileSystem{}, err
	}
	block := st.Frsize
	if block == 0 {
		block = st.Bsize
	}
	return fileSystem{
		nfs:         st.Type == unix.NFS_SUPER_MAGIC,
		readOnly:    st.Flags&unix.ST_RDONLY != 0,
		freeKiB:     int64(min(float64(st.Bavail)*float64(block)/1024, 1<<62)),
		freeFiles:   int64(min(st.Ffree, 1<<62)),
		countsFiles: st.Files != 0,
	}, nil
}

// fileSystemAnswer is the answer to a query that chknfs or chkreadonly give, or
// 0. The kernel's own word is taken, not the mount table: it knows every version
// of NFS, and of the mounts of one file system the one that the target is in.
func (s *session) fileSystemAnswer(p place) (byte, error) {
	if s.options&(option.ChkNFS|option.ChkReadonly) == 0 {
		return 0, nil
	}
	fs, err := s.fileSystem(p)
	switch {
	case err != nil:
		return 0, err
	case fs.nfs && s.options.Has(option.ChkNFS):
		return wire.OpOnNFS, nil
	case fs.readOnly && s.options.Has(option.ChkReadonly):
		return wire.OpReadOnly, nil
	}
	return 0, nil
}

func (s *session) fileSystem(p place) (fileSystem, error) {
	d, err := s.nearest(p)
	if err == nil {
		defer d.close()
		var fs fileSystem
		if fs, err = s.hooks.fileSystem(d.dir); err == nil {
			return fs, nil
		}
	}
	return fileSystem{}, refuse("%s: Could not find mount point: %s", p.text, osutil.Reason(err))
}

// bigFile is from where on a file is not begun that has no room, in octets.
const bigFile = 1 << 20

// room refuses what would leave less free than the client wants, or what cannot
// fit at all (reference 8.6). The minimum is in KiB on the wire, as the real
// server takes it.
func (s *session) room(p place, size int64, o option.Set) error {
	limited := s.minKiB > 0 || s.minFiles > 0
	if !limited && (size < bigFile || o.Has(option.Sparse) || o.Has(option.Verify)) {
		return nil
	}
	fs, err := s.fileSystem(p)
	switch {
	case err != nil:
		return err
	case (s.minKiB > 0 || !o.Has(option.Sparse)) && fs.freeKiB-size/1024 < s.minKiB:
		return refuse("%s: Not enough free space on filesystem: min %d free %d", p.text, s.minKiB, fs.freeKiB)
	case s.minFiles > 0 && fs.countsFiles && fs.freeFiles-1 < s.minFiles:
		return refuse("%s: Not enough free files on filesystem: min %d free %d", p.text, s.minFiles, fs.freeFiles)
	}
	return nil
}
