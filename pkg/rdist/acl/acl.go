// Package acl is krdistd.acl: which principal may become which account of this
// host through krdistd, and what it may write there.
//
// A line has four columns with blanks between: principal, account, roots,
// commands. What follows a # at the beginning of a line or behind a blank is a
// comment.
//
//	host/primary.example.com@EXAMPLE.COM  root   /etc/krb5kdc,/etc/krb5.conf  special
//	alice@EXAMPLE.COM                     alice  ~/public                     -
//	.k5login                              *      ~                            -
//
// The principal stands with its realm, exactly; .k5login instead of it is every
// principal that the account's own .k5login lists. The account * goes with it
// alone, and is every account but root. Roots are absolute names of directories
// and files, with commas between; ~ is the account's home directory. Commands
// are a list of words, or - for none: special lets the client run commands,
// nologin takes an account that has no shell to log in with. A backslash in a
// principal or a root makes the next octet, such as a blank or a comma, a part
// of the name.
//
// The first line for a principal and an account counts; there may be no second.
package acl

import (
	"strings"

	"github.com/kprop/kprop/internal/principal"
)

// Bounds of a list.
const (
	maxSize   = 1 << 20  // bytes
	maxLine   = 64 << 10 // bytes of a line
	maxRoots  = 64       // in a line
	maxPath   = 4096     // bytes of a root
	maxErrors = 20       // that are told
)

// anyone, in the place of a principal, is whom the account's .k5login lists, and
// everyone, in the place of an account, is each account but root.
const (
	anyone   = ".k5login"
	everyone = "*"
)

// Grant is what a client may do.
type Grant struct {
	Line    int // of the list, from 1
	Account string
	Roots   []string // absolute and clean, or ~ and what is below it
	Special bool     // special and cmdspecial commands
	NoLogin bool     // though nobody can log in to the account
}

// InHome gives the roots of an account with that home directory; nil means
// everything that the account may write.
func (g *Grant) InHome(home string) []string {
	var roots []string
	for _, r := range g.Roots {
		if rest, ok := strings.CutPrefix(r, "~"); ok {
			r = strings.TrimSuffix(home, "/") + rest
		}
		if r == "/" || r == "" {
			return nil
		}
		roots = append(roots, r)
	}
	return roots
}

// entry is a line.
type entry struct {
	Grant
	principal principal.Name
	k5login   bool // instead of the principal
}

// ACL is a list that was read.
type ACL struct {
	path    string
	entries []entry
}

// Len is how many lines grant something.
func (a *ACL) Len() int { return len(a.entries) }

// Denied is a refusal.
type Denied struct {
	Reason string // for the client and the log
	// Hint is for the log alone: what in the list comes near, and may be
	// meant. May be empty.
	Hint string
}

func (d *Denied) Error() string {
	if d.Hint == "" {
		return d.Reason
	}
	return d.Reason + "; " + d.Hint
}

// Authorize decides whether a client may become an account. listed is asked
// whether the account's .k5login has the client, if a line says so; its error
// counts as no, and is a part of the refusal. The error is a *Denied.
func (a *ACL) Authorize(client principal.Name, account string, listed func() (bool, error)) (*Grant, error) {
	why := ""
	for i := range a.entries {
		e := &a.entries[i]
		switch {
		case !e.isFor(account):
			continue
		case !e.k5login && e.principal.Equal(client):
			return &e.Grant, nil
		case !e.k5login || why != "":
			continue
		}
		ok, err := listed()
		switch {
		case err != nil:
			why = err.Error()
		case ok:
			return &e.Grant, nil
		default:
			why = "the .k5login of " + account + " does not list it"
		}
	}
	return nil, a.denied(client, account, why)
}

// isFor reports whether the line is one for an account.
func (e *entry) isFor(account string) bool {
	return e.Account == account || e.Account == everyone && account != "root"
}
