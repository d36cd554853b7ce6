// Package account reads the accounts of this host, and tells who may log in: from
// /etc/passwd, /etc/group and /etc/shadow, and by getent(1) what only a directory
// service knows.
package account

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrUnknown says that there is no such account.
var ErrUnknown = errors.New("no such account")

// Account is an account.
type Account struct {
	Name        string
	UID, GID    int
	Groups      []int // the others that it is in
	Home, Shell string

	password string // as passwd, or shadow, has it
	expires  int    // in days since 1970; 0: never
}

// Files are the paths of the files; empty ones stand for those in /etc.
type Files struct {
	Passwd, Group, Shadow string
	// Getent is the path of getent, which is asked for who is not in the
	// files; empty: where it usually is if these are those in /etc, else none.
	Getent string
	// NoLogin are files of which one keeps everybody but root out while it is
	// there; nil: /etc/nologin and /run/nologin.
	NoLogin []string
}

func (f Files) passwd() string { return orDefault(f.Passwd, "/etc/passwd") }
func (f Files) group() string  { return orDefault(f.Group, "/etc/group") }
func (f Files) shadow() string { return orDefault(f.Shadow, "/etc/shadow") }

func (f Files) noLogin() []string {
	if f.NoLogin == nil {
		return []string{"/etc/nologin", "/run/nologin"}
	}
	return f.NoLogin
}

func orDefault(path, def string) string {
	if path == "" {
		return def
	}
	return path
}

// maxFile bounds each of the files, in bytes.
const maxFile = 64 << 20

// Lookup finds an account by its name. It reads the shadow file only if this
// process may. The error wraps ErrUnknown if there is none.
func (f Files) Lookup(name string) (*Account, error) {
	return f.find(nameIs(name), name, isName(name))
}

// LookupID finds the first account with a number.
func (f Files) LookupID(uid int) (*Account, error) {
	return f.find(numberIs(uid), strconv.Itoa(uid), true)
}

func (f Files) find(is func(fields []string) bool, key string, ask bool) (*Account, error) {
	a, err := f.entry(is, key)
	if errors.Is(err, ErrUnknown) && ask && f.getent() != "" {
		if a, err = f.lookupOutside(key); errors.Is(err, ErrUnknown) {
			err = fmt.Errorf("account %q: %w in %s, nor by %s", key, err, f.passwd(), f.getent())
		}
		return a, err
	}
	if err != nil {
		return nil, err
	}
	if err := f.addGroups(a); err != nil {
		return nil, err
	}
	return a, f.addShadow(a)
}

// entry finds an account in the file, without its groups.
func (f Files) entry(is func(fields []string) bool, key string) (*Account, error) {
	var a *Account
	err := each(f.passwd(), 7, func(fields []string) error {
		if a != nil || !is(fields) {
			return nil
		}
		var err error
		a, err = account(fields)
		return err
	})
	if err == nil && a == nil {
		err = fmt.Errorf("account %q: %w in %s", key, ErrUnknown, f.passwd())
	}
	return a, err
}

// account makes one of the fields of a line.
func account(fields []string) (*Account, error) {
	uid, err1 := number(fields[2])
	gid, err2 := number(fields[3])
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("account %s: %w", fields[0], err)
	}
	return &Account{Name: fields[0], UID: uid, GID: gid, Home: fields[5], Shell: fields[6], password: fields[1]}, nil
}

// number reads a user or group number. The last one means "leave it alone" to
// the system.
func number(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 1<<32-1 {
		return 0, fmt.Errorf("%q is no number of a user or group", s)
	}
	return int(n), nil
}

func (f Files) addGroups(a *Account) error {
	return each(f.group(), 4, func(fields []string) error {
		for member := range strings.SplitSeq(fields[3], ",") {
			if member != a.Name {
				continue
			}
			gid, err := number(fields[2])
			if err != nil {
				return fmt.Errorf("group %s: %w", fields[0], err)
			}
			if gid != a.GID {
				a.Groups = append(a.Groups, gid)
			}
			break
		}
		return nil
	})
}

func (f Files) addShadow(a *Account) error {
	found := false
	err := each(f.shadow(), 8, func(fields []string) error {
		if found || fields[0] != a.Name {
			return nil
		}
		found = true
		return a.takeShadow(fields)
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		return nil
	}
	return err
}

func (a *Account) takeShadow(fields []string) error {
	a.password = fields[1]
	if fields[7] == "" {
		return nil
	}
	days, err := strconv.Atoi(fields[7])
	if err != nil {
		return fmt.Errorf("account %s: %q is no date on which it expires", a.Name, fields[7])
	}
	a.expires = days
	return nil
}

// each calls do with the fields of each line that has at least so many.
func each(name string, least int, do func(fields []string) error) error {
	file, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	switch {
	case err != nil:
		return err
	case len(data) > maxFile:
		return fmt.Errorf("%s has more than %d bytes", name, maxFile)
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxFile)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) < least || fields[0] == "" || strings.ContainsAny(fields[0][:1], "#+-") {
			continue // comments, and lines of NIS
		}
		if err := do(fields); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return lines.Err()
}

// NoShell gives the reason why the account's shell lets nobody log in; empty if
// it does.
func (a *Account) NoShell() string {
	switch path.Base(a.Shell) {
	case "nologin", "false", "true", "sync", "halt", "shutdown":
		return fmt.Sprintf("the account %s has the shell %s, with which nobody can log in", a.Name, a.Shell)
	}
	return ""
}

// Barred gives the reason why nobody may log in to the account, whatever its
// shell is; empty if somebody may.
//
// An account that never had a password (!, !! or * in the shadow file) is not
// locked, since there are other ways to log in. It is locked if ! stands in
// front of a password, or of *, where passwd -l or usermod -L puts it.
func (f Files) Barred(a *Account, now time.Time) string {
	if a.expires > 0 && now.Unix()/86400 >= int64(a.expires) {
		on := time.Unix(int64(a.expires)*86400, 0).UTC().Format(time.DateOnly)
		return fmt.Sprintf("the account %s has expired on %s", a.Name, on)
	}
	if rest := strings.TrimLeft(a.password, "!"); rest != "" && rest != a.password {
		return fmt.Sprintf("the account %s is locked", a.Name)
	}
	if a.UID == 0 {
		return ""
	}
	for _, name := range f.noLogin() {
		if _, err := os.Lstat(name); err == nil {
			return "there is " + name + ": only root may log in now"
		}
	}
	return ""
}
