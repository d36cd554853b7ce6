package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/kprop/kprop/internal/account"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/rdist/acl"
)

// decision is what a client may do.
type decision struct {
	account *account.Account
	grant   *acl.Grant
}

// authorize decides by the list, which is read for each client. Anything but a
// *acl.Denied is this host's fault.
func (s *Server) authorize(client principal.Name, login string) (*decision, error) {
	list, err := acl.Load(s.o.ACL)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &acl.Denied{
			Reason: fmt.Sprintf("there is no %s on this host, so nobody may use its krdistd", s.o.ACL),
			Hint:   "see krdistd(8) for its form",
		}
	}
	if err != nil {
		return nil, err
	}
	k5login := acl.K5login{DefaultRealm: s.o.Realm}
	k5login.Dir, _ = s.o.Profile.Value("libdefaults", "k5login_directory")
	var a *account.Account
	grant, err := list.Authorize(client, login, func() (bool, error) {
		if a, err = s.o.Accounts.Lookup(login); err != nil {
			return false, err
		}
		return k5login.Lists(a, client)
	})
	if err != nil {
		return nil, err
	}
	if a == nil {
		a, err = s.o.Accounts.Lookup(login)
	}
	if errors.Is(err, account.ErrUnknown) {
		return nil, &acl.Denied{Reason: fmt.Sprintf("line %d of %s grants the account %s, but there is none on this host", grant.Line, s.o.ACL, login)}
	}
	if err != nil {
		return nil, err
	}
	if reason := s.barred(a, grant); reason != "" {
		return nil, &acl.Denied{Reason: reason}
	}
	return &decision{a, grant}, nil
}

// barred gives the reason why nobody can have the account now.
func (s *Server) barred(a *account.Account, grant *acl.Grant) string {
	if grant.Account != a.Name && a.UID == 0 {
		// Another name for root.
		return fmt.Sprintf("the account %s has the rights of root, which line %d of %s does not grant: it must name the account", a.Name, grant.Line, s.o.ACL)
	}
	if reason := s.o.Accounts.Barred(a, time.Now()); reason != "" {
		return reason
	}
	if reason := a.NoShell(); reason != "" && !grant.NoLogin {
		return fmt.Sprintf("%s; if that is meant, line %d of %s takes the word nologin", reason, grant.Line, s.o.ACL)
	}
	if uid := os.Geteuid(); uid != 0 && uid != a.UID {
		return fmt.Sprintf("this krdistd does not run as root, but with the user number %d, and can serve no other account", uid)
	}
	return ""
}
