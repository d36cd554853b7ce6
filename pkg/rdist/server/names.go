package server

import (
	"strconv"
	"strings"

	"github.com/kprop/kprop/pkg/rdist/option"
)

// Users is what a server asks of the host's users and groups. False is for those
// that do not exist.
type Users interface {
	UserID(name string) (uid int, ok bool)
	UserName(uid int) (name string, ok bool)
	Home(user string) (dir string, ok bool)
	GroupID(name string) (gid int, ok bool)
	GroupName(gid int) (name string, ok bool)
}

// number reads a user or group number. The last one means "leave it alone" to
// the system.
func number(text string) (int, bool) {
	n, err := strconv.ParseUint(text, 10, 32)
	return int(n), err == nil && n < 1<<32-1
}

// names remembers what was asked: each file needs two names, and each question
// reads the whole user database.
type names struct {
	users      Users
	userNames  map[uint32]string
	groupNames map[uint32]string
	userIDs    map[string]id
	groupIDs   map[string]id
}

type id struct {
	number int
	ok     bool
}

// maxNames is how many names of each kind are remembered: a hostile client may
// name any number of them.
const maxNames = 10000

func newNames(users Users) *names {
	return &names{users, map[uint32]string{}, map[uint32]string{}, map[string]id{}, map[string]id{}}
}

func remember[K comparable, V any](known map[K]V, key K, ask func() V) V {
	v, ok := known[key]
	if !ok {
		v = ask()
		if len(known) < maxNames {
			known[key] = v
		}
	}
	return v
}

// owner is the owner of a file as it stands on the wire.
func (n *names) owner(uid uint32, o option.Set) string {
	if o.Has(option.NumChkOwner) {
		return numeric(uid)
	}
	return remember(n.userNames, uid, func() string { return wireName(uid, n.users.UserName) })
}

// group is the group of a file as it stands on the wire.
func (n *names) group(gid uint32, o option.Set) string {
	if o.Has(option.NumChkGroup) {
		return numeric(gid)
	}
	return remember(n.groupNames, gid, func() string { return wireName(gid, n.users.GroupName) })
}

// wireName gives a number for a name that would be taken for more than one word,
// as "domain users" is called in some directories.
func wireName(number uint32, lookup func(int) (string, bool)) string {
	if name, ok := lookup(int(number)); ok && name != "" && !strings.ContainsAny(name, " \n\x00") {
		return name
	}
	return numeric(number)
}

func numeric(n uint32) string { return ":" + strconv.FormatUint(uint64(n), 10) }

// uid finds the owner that the wire names.
func (n *names) uid(name string) (int, bool) {
	found := remember(n.userIDs, name, func() id { return wireID(name, n.users.UserID) })
	return found.number, found.ok
}

// gid finds the group that the wire names.
func (n *names) gid(name string) (int, bool) {
	found := remember(n.groupIDs, name, func() id { return wireID(name, n.users.GroupID) })
	return found.number, found.ok
}

func wireID(name string, lookup func(string) (int, bool)) (found id) {
	if name != "" && name[0] == ':' {
		found.number, found.ok = number(name[1:])
		return found
	}
	found.number, found.ok = lookup(name)
	return found
}

func (n *names) home(user string) (string, bool) {
	home, ok := n.users.Home(user)
	return home, ok && home != ""
}
