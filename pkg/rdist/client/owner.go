package client

import (
	"strconv"
	"sync"

	"github.com/kprop/kprop/internal/account"
	"github.com/kprop/kprop/pkg/rdist/option"
)

// systemNames asks the machine's user database once for each number.
type systemNames struct {
	system        account.Names
	mu            sync.Mutex
	users, groups map[uint32]string // empty: it has no name
}

func (n *systemNames) User(uid uint32) (string, bool) {
	return n.lookUp(&n.users, uid, n.system.UserName)
}

func (n *systemNames) Group(gid uint32) (string, bool) {
	return n.lookUp(&n.groups, gid, n.system.GroupName)
}

func (n *systemNames) lookUp(known *map[uint32]string, id uint32, ask func(int) (string, bool)) (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name, ok := (*known)[id]
	if !ok {
		name, _ = ask(int(id))
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
