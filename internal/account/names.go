package account

import (
	"errors"
	"strconv"
	"sync"
)

// maxAsked is how often Names asks getent: a peer may name any number of users.
const maxAsked = 1000

// Names finds single names and numbers, in the files of the host and by getent.
// The zero value works. It is safe for concurrent use. It remembers nothing: its
// users know how many of their questions are the same.
type Names struct {
	Files Files

	mu    sync.Mutex
	asked int
}

// UserID gives the number of a user.
func (n *Names) UserID(name string) (uid int, ok bool) {
	a, ok := n.user(name, nameIs(name), isName(name))
	return a.UID, ok
}

// UserName gives the name of a user.
func (n *Names) UserName(uid int) (name string, ok bool) {
	a, ok := n.user(strconv.Itoa(uid), numberIs(uid), true)
	return a.Name, ok
}

// Home gives the home directory of a user.
func (n *Names) Home(user string) (dir string, ok bool) {
	a, ok := n.user(user, nameIs(user), isName(user))
	return a.Home, ok
}

// GroupID gives the number of a group.
func (n *Names) GroupID(name string) (gid int, ok bool) {
	fields, ok := n.group(name, nameIs(name), isName(name))
	if !ok || fields[0] != name {
		return 0, false
	}
	gid, err := number(fields[2])
	return gid, err == nil
}

// GroupName gives the name of a group.
func (n *Names) GroupName(gid int) (name string, ok bool) {
	fields, ok := n.group(strconv.Itoa(gid), numberIs(gid), true)
	if !ok || fields[2] != strconv.Itoa(gid) {
		return "", false
	}
	return fields[0], true
}

func (n *Names) user(key string, is func([]string) bool, ask bool) (Account, bool) {
	a, err := n.Files.entry(is, key)
	if errors.Is(err, ErrUnknown) && ask && n.mayAsk() {
		a, err = n.Files.askUser(key)
		n.answered(err)
	}
	if err != nil {
		return Account{}, false
	}
	return *a, true
}

func (n *Names) group(key string, is func([]string) bool, ask bool) (found []string, ok bool) {
	err := each(n.Files.group(), 3, func(fields []string) error {
		if found == nil && is(fields) {
			found = fields
		}
		return nil
	})
	if err != nil || found != nil {
		return found, found != nil
	}
	if !ask || !n.mayAsk() {
		return nil, false
	}
	found, err = n.Files.ask("group", key)
	n.answered(err)
	return found, err == nil && len(found) >= 3 && isName(found[0])
}

// mayAsk counts a question.
func (n *Names) mayAsk() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	return n.asked <= maxAsked
}

// answered stops the questions when one was not answered in time: the next would
// not be, either.
func (n *Names) answered(err error) {
	if errors.Is(err, errSlow) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.asked = maxAsked
	}
}

func nameIs(name string) func([]string) bool {
	return func(fields []string) bool { return fields[0] == name }
}

// numberIs is for the third field of both files.
func numberIs(id int) func([]string) bool {
	text := strconv.Itoa(id)
	return func(fields []string) bool { return fields[2] == text }
}
