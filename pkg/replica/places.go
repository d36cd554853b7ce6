package replica

import (
	"slices"

	"github.com/kprop/kprop/internal/confine"
)

// Places are what the server, and MIT's kdb5_util that it runs, need of the
// file system from now on.
func (s *Server) Places() confine.Places {
	read := slices.Concat(s.o.Profile.Sources(), s.realm.DBModuleDirs, []string{s.o.ACL, s.keytab, s.realm.StashFile})
	if dir, ok := s.o.Profile.Value("libdefaults", "plugin_base_dir"); ok {
		read = append(read, dir)
	}
	return confine.Places{
		Run:   []string{s.o.KDB5Util},
		Read:  read,
		Write: []string{s.o.File, s.history().dir, s.database(), s.realm.IpropLogfile, s.acceptor.Replays.Path()},
	}
}
