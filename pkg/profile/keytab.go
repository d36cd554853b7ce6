package profile

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
)

// DefaultKeytab returns the name of the default keytab (reference
// kprop-protocol.md 17.2): KRB5_KTNAME as it is, else [libdefaults]
// default_keytab_name with its path tokens expanded, else that of the layout.
// The name may have a type in front (FILE:, WRFILE:, MEMORY:).
func (p *Profile) DefaultKeytab() (string, error) {
	if name := p.env("KRB5_KTNAME"); name != "" {
		return name, nil
	}
	name, err := first(p, p.layout.Keytab, []string{"libdefaults", "default_keytab_name"}, p.expandTokens)
	if err != nil {
		return "", err
	}
	return name, nil
}

// DefaultCCache returns the name of the default credential cache: KRB5CCNAME as
// it is, else [libdefaults] default_ccache_name with its path tokens expanded,
// else FILE:/tmp/krb5cc_ and the user's number.
func (p *Profile) DefaultCCache() (string, error) {
	if name := p.env("KRB5CCNAME"); name != "" {
		return name, nil
	}
	uid, _, _ := p.user()
	def := "FILE:/tmp/krb5cc_" + strconv.Itoa(uid)
	return first(p, def, []string{"libdefaults", "default_ccache_name"}, p.expandTokens)
}

// ReplayCacheName returns type and residual of the replay cache (reference
// kprop-protocol.md chapter 16): from KRB5RCACHENAME, KRB5RCACHETYPE,
// [libdefaults] default_rcache_name with its path tokens expanded, else "dfl"
// and "". The types are MIT's: none, file2 (the residual is the path), dfl
// (the path is formed from directory and user).
func (p *Profile) ReplayCacheName() (typ, residual string, err error) {
	name := p.env("KRB5RCACHENAME")
	if name == "" {
		if typ := p.env("KRB5RCACHETYPE"); typ != "" {
			return typ, "", nil
		}
		name, err = first(p, "dfl:", []string{"libdefaults", "default_rcache_name"}, p.expandTokens)
		if err != nil {
			return "", "", err
		}
	}
	typ, residual, ok := strings.Cut(name, ":")
	if !ok {
		return "", "", fmt.Errorf("replay cache name %q: not of the form type:residual (for example file2:/var/tmp/kpropd.rcache2)", name)
	}
	return typ, residual, nil
}

// userInfo is what path tokens need to know of the process.
type userInfo func() (uid, euid int, name string)

func currentUser() (uid, euid int, name string) {
	uid, euid = os.Getuid(), os.Geteuid()
	name = strconv.Itoa(euid)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	return uid, euid, name
}

var (
	errTokenEnd = errors.New("a path token %{ without }")
	errToken    = errors.New("unknown path token")
)

// expandTokens replaces the %{...} of a path. A % without { stays.
func (p *Profile) expandTokens(s string) (string, error) {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "%{")
		b.WriteString(before)
		if !ok {
			return b.String(), nil
		}
		token, after, ok := strings.Cut(rest, "}")
		if !ok {
			return "", errTokenEnd
		}
		text, ok := p.token(token)
		if !ok {
			return "", fmt.Errorf("%w %%{%s}", errToken, token)
		}
		b.WriteString(text)
		s = after
	}
}

func (p *Profile) token(name string) (string, bool) {
	uid, euid, user := p.user()
	switch name {
	case "uid", "USERID":
		return strconv.Itoa(uid), true
	case "euid":
		return strconv.Itoa(euid), true
	case "username":
		return user, true
	case "TEMP":
		if dir := p.env("TMPDIR"); dir != "" {
			return dir, true
		}
		return "/tmp", true
	case "LIBDIR":
		return p.layout.LibDir, true
	case "BINDIR":
		return p.layout.BinDir, true
	case "SBINDIR":
		return p.layout.SbinDir, true
	case "null":
		return "", true
	}
	return "", false
}
