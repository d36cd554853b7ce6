package acl

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/kprop/kprop/internal/account"
	"github.com/kprop/kprop/internal/principal"
)

const maxK5login = 64 << 10 // bytes

// K5login finds out who may use an account by its owner's word, as MIT's
// programs do.
type K5login struct {
	DefaultRealm string
	// Dir is [libdefaults] k5login_directory, where files have the names of
	// accounts; empty: .k5login in the home directories.
	Dir string
}

// Lists reports whether the account's file has the principal on a line. Where
// there is no file, the principal of the default realm with the account's name
// may use the account. The file must belong to the account or to root, and
// nobody else may write it; an error says what is wrong with it, but shows
// nothing of it.
func (k K5login) Lists(a *account.Account, client principal.Name) (bool, error) {
	name := filepath.Join(a.Home, ".k5login")
	if k.Dir != "" {
		name = filepath.Join(k.Dir, a.Name)
	}
	data, err := readOwn(name, maxK5login, func(uid int) bool { return uid == 0 || uid == a.UID })
	if errors.Is(err, fs.ErrNotExist) {
		return client.Equal(principal.New(k.DefaultRealm, a.Name)), nil
	}
	if err != nil {
		return false, fmt.Errorf("the list of who may use the account %s cannot be used: %w", a.Name, err)
	}
	for line := range strings.Lines(string(data)) {
		n, err := principal.Parse(strings.TrimSpace(line), k.DefaultRealm)
		if err == nil && n.Equal(client) {
			return true, nil
		}
	}
	return false, nil
}
