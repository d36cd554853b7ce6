package client

import (
	"os/user"
	"strconv"
	"sync"

	"github.com/kprop/kprop/pkg/rdist/option"
)

// systemNames asks the machine's user database once for each number.
type systemNames struct {
	mu            sync.Mutex
	users, groups map[uint32]string // empty: it has no name
}

func (n *systemNames) User(uid uint32) (string, bool) {
	return n.lookUp(&n.users, uid, func(id string) (string, error) {
		u, err := user.LookupId(id)
		if err != nil {
			return "", err
		}
		return u.Username, nil
	})
}

func (n *systemNames) Group(gid uint32) (string, bool) {
	return n.lookUp(&n.groups, gid, func(id string) (string, error) {
		g, err := user.LookupGroupId(id)
		if err != nil {
			return "", err
		}
		return g.Name, nil
	})
}

func (n *systemNames) lookUp(known *map[uint32]string, id uint32, ask func(string) (string, error)) (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name, ok := (*known)[id]
	if !ok {
		var err error
		if name, err = ask(strconv.FormatUint(uint64(id), 10)); err != nil {
			name = ""
		}
		if *known == nil {
			*known = map[uint32]string{}
		}
		(*known)[id] = name
	}
	return name, name != ""
}

// owners finds the owner and group of objects as they go over the wire. That a
// number has no name is told once in a row.
type owners struct {
	names               Names
	report              *report
	noUser, noGroup     uint32
	saidUser, saidGroup bool
}

func (o *owners) user(it *item, opts option.Set) string {
	if !opts.Has(option.NumChkOwner) {
		if name, ok := o.names.User(it.st.Uid); ok {
			o.saidUser = false
			return name
		}
		if !o.saidUser || o.noUser != it.st.Uid {
			o.report.warn("%s: No password entry for uid %d", it.path, it.st.Uid)
		}
		o.noUser, o.saidUser = it.st.Uid, true
	}
	return ":" + strconv.FormatUint(uint64(it.st.Uid), 10)
}

func (o *owners) group(it *item, opts option.Set) string {
	if !opts.Has(option.NumChkGroup) {
		if name, ok := o.names.Group(it.st.Gid); ok {
			o.saidGroup = false
			return name
		}
		if !o.saidGroup || o.noGroup != it.st.Gid {
			o.report.warn("%s: No name for group %d", it.path, it.st.Gid)
		}
		o.noGroup, o.saidGroup = it.st.Gid, true
	}
	return ":" + strconv.FormatUint(uint64(it.st.Gid), 10)
}
