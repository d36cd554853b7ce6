package server

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

const (
	setUID = unix.S_ISUID
	setGID = unix.S_ISGID
	sticky = unix.S_ISVTX
)

// attributes are the owner, group and mode that a new object gets; -1 leaves
// the owner or group as it was made.
type attributes struct {
	uid, gid int
	mode     uint32
}

// attributes finds what the client wants as far as this account may give it
// (reference 9). An owner that is not known loses the set-uid bit: it would be
// another's.
func (s *session) attributes(text string, o wire.Object) (attributes, error) {
	if s.o.Account.UID != 0 {
		return s.ownAttributes(text, o)
	}
	a := attributes{uid: -1, gid: -1, mode: o.Mode}
	if uid, ok := s.names.uid(o.Owner); ok {
		a.uid = uid
	} else if err := s.unknown(text, "login name", o.Owner, &a.mode, setUID, ", clearing setuid"); err != nil {
		return a, err
	}
	if gid, ok := s.names.gid(o.Group); ok {
		a.gid = gid
	} else if err := s.unknown(text, "group", o.Group, &a.mode, setGID, ", clearing setgid"); err != nil {
		return a, err
	}
	return a, nil
}

func (s *session) unknown(text, what, name string, mode *uint32, bit uint32, clearing string) error {
	if *mode&bit == 0 {
		clearing = ""
	}
	*mode &^= bit
	return s.note("%s: unknown %s \"%s\"%s", text, what, name, clearing)
}

// ownAttributes are those of an account that cannot give files away.
func (s *session) ownAttributes(text string, o wire.Object) (attributes, error) {
	a := attributes{uid: -1, gid: -1, mode: o.Mode &^ sticky}
	if uid, ok := s.names.uid(o.Owner); !ok || uid != s.o.Account.UID {
		a.mode &^= setUID
	}
	gid, ok := s.names.gid(o.Group)
	switch {
	case ok && (gid == s.o.Account.GID || slices.Contains(s.o.Account.Groups, gid)):
		a.gid = gid
	case a.mode&setGID != 0:
		a.mode &^= setGID
		return a, s.note("%s: user %s not in group %s, clearing setgid", text, s.o.Account.Name, o.Group)
	}
	return a, nil
}

// apply gives a new object its owner, then its mode: the set-uid bit never
// stands with the owner that the object was made with. What cannot be done is
// told, as the real server does, and the object stays.
func (s *session) apply(text string, o wire.Object, a attributes, chown func(uid, gid int) error, chmod func(mode uint32) error) error {
	if a.uid >= 0 || a.gid >= 0 {
		if err := chown(a.uid, a.gid); err != nil {
			if err := s.notOwned(text, o, &a, err); err != nil {
				return err
			}
		}
	}
	if err := chmod(a.mode); err != nil {
		return s.note("%s: chmod failed: %s", text, osutil.Reason(err))
	}
	return nil
}

// notOwned tells that the owner could not be set, and takes the bits away that
// would then speak for another one.
func (s *session) notOwned(text string, o wire.Object, a *attributes, err error) error {
	if s.o.Account.UID == 0 {
		err = s.note("%s: chown %s.%s failed: %s", text, bare(o.Owner), bare(o.Group), osutil.Reason(err))
	} else {
		err = s.note("%s: chgrp %s failed: %s", text, bare(o.Group), osutil.Reason(err))
	}
	for _, bit := range []struct {
		mode uint32
		name string
	}{{setUID, "setuid"}, {setGID, "setgid"}} {
		if err == nil && a.mode&bit.mode != 0 {
			err = s.note("%s: clearing %s", text, bit.name)
		}
	}
	a.mode &^= setUID | setGID
	return err
}

// bare is an owner or group as messages have it.
func bare(name string) string {
	if name != "" && name[0] == ':' {
		return name[1:]
	}
	return name
}
