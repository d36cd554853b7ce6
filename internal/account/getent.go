package account

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A program without the C library cannot load what nsswitch.conf names, such as
// SSSD's or LDAP's modules. getent(1) can: it is asked for what the files do not
// have.

const (
	// getentTimeout is how long an answer may take: a directory that is not
	// reached has a client beside it, with timeouts of its own.
	getentTimeout = 10 * time.Second
	// maxAnswer bounds an answer, in bytes; a group may have many members.
	maxAnswer = 4 << 20
	// maxKey is how long a name may be.
	maxKey = 256
)

// errSlow says that getent gave no answer in time.
var errSlow = errors.New("no answer in time")

// getent is the path of the program; empty: there is none, or other files than
// the host's are meant.
func (f Files) getent() string {
	if f.Getent != "" || f.Passwd != "" || f.Group != "" {
		return f.Getent
	}
	for _, path := range []string{"/usr/bin/getent", "/bin/getent", "/run/current-system/sw/bin/getent"} {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// isName reports whether a key can be a name: getent takes digits for a number,
// and a name must be nothing else in what it prints.
func isName(key string) bool {
	if key == "" || len(key) > maxKey || strings.ContainsAny(key[:1], "-+#") || strings.Trim(key, "0123456789") == "" {
		return false
	}
	return strings.IndexFunc(key, func(r rune) bool { return r <= ' ' || r == 0x7f || r == ':' || r == ',' || r == '/' }) < 0
}

// ask gives the first line that getent prints, in its fields. The error wraps
// ErrUnknown if there is none, and errSlow if it takes too long.
func (f Files) ask(database, key string) ([]string, error) {
	program := f.getent()
	if program == "" {
		return nil, ErrUnknown
	}
	ctx, cancel := context.WithTimeout(context.Background(), getentTimeout)
	defer cancel()
	out := &bounded{}
	cmd := exec.CommandContext(ctx, program, database, key)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}
	cmd.Dir = "/"
	cmd.Stdout = out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	var ended *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s %s %s: %w", program, database, key, errSlow)
	case errors.As(err, &ended) && ended.ExitCode() == 2:
		return nil, ErrUnknown
	case err != nil:
		return nil, fmt.Errorf("%s %s %s: %w", program, database, key, err)
	case out.over:
		return nil, fmt.Errorf("%s %s %s prints more than %d bytes", program, database, key, maxAnswer)
	}
	line, _, _ := strings.Cut(out.kept.String(), "\n")
	return strings.Split(line, ":"), nil
}

// bounded keeps the first maxAnswer bytes.
type bounded struct {
	kept bytes.Buffer // not embedded: its ReadFrom knows no bound
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.over = b.over || b.kept.Len()+len(p) > maxAnswer; !b.over {
		b.kept.Write(p)
	}
	return len(p), nil
}

// askUser asks for an account by its name or number, without its groups.
func (f Files) askUser(key string) (*Account, error) {
	fields, err := f.ask("passwd", key)
	if err != nil {
		return nil, err
	}
	if len(fields) < 7 || !isName(fields[0]) {
		return nil, fmt.Errorf("getent passwd %s does not print an account", key)
	}
	a, err := account(fields)
	switch {
	case err != nil:
		return nil, err
	case a.Name != key && strconv.Itoa(a.UID) != key:
		return nil, fmt.Errorf("%w: the name services know it as %q", ErrUnknown, a.Name)
	case a.UID == 0:
		return nil, fmt.Errorf("account %s: a directory service gives it the rights of root, which only %s may", a.Name, f.passwd())
	}
	return a, nil
}

// lookupOutside is find for an account that only the name services have.
func (f Files) lookupOutside(key string) (*Account, error) {
	a, err := f.askUser(key)
	if err != nil {
		return nil, err
	}
	// One line: the name, and the numbers.
	fields, err := f.ask("initgroups", a.Name)
	switch {
	case errors.Is(err, ErrUnknown):
	case err != nil:
		return nil, err
	default:
		if err := a.addNumbers(strings.Fields(fields[0])); err != nil {
			return nil, err
		}
	}
	fields, err = f.ask("shadow", a.Name)
	switch {
	case errors.Is(err, ErrUnknown) || err != nil && os.Geteuid() != 0:
		return a, nil // most services do not tell, and only root may ask
	case err != nil:
		return nil, err // the account may be locked
	case len(fields) >= 8 && fields[0] == a.Name:
		return a, a.takeShadow(fields)
	}
	return a, nil
}

// maxGroups is how many groups Linux lets a process be in.
const maxGroups = 65536

func (a *Account) addNumbers(words []string) error {
	if len(words) == 0 || words[0] != a.Name || len(words) > maxGroups {
		return fmt.Errorf("getent initgroups %s does not print the groups of the account", a.Name)
	}
	known := map[int]bool{a.GID: true}
	for _, gid := range a.Groups {
		known[gid] = true
	}
	for _, word := range words[1:] {
		gid, err := number(word)
		if err != nil {
			return fmt.Errorf("getent initgroups %s: %w", a.Name, err)
		}
		if !known[gid] {
			known[gid] = true
			a.Groups = append(a.Groups, gid)
		}
	}
	return nil
}
