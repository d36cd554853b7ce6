package profile

import (
	"os"
	"path/filepath"
	"runtime"
)

// Layout holds the paths that are compiled into MIT's programs (reference
// kprop-protocol.md 15.1, kdb-formats.md 7).
type Layout struct {
	Name        string   // "debian", "redhat", or LOCALSTATEDIR of an upstream build
	Krb5Conf    []string // searched in this order, all are read
	KDCConf     string
	StateDir    string // databases, dumps
	Datatrans   string // the dump that kprop sends
	FromMaster  string // the dump that kpropd receives
	KpropdACL   string
	KadminACL   string
	KDB5Util    string
	Database    string // without the endings of the back end's files
	StashPrefix string // the realm's name follows
	Keytab      string // with its type, FILE:
	RcacheDir   string
	PluginDir   string // database modules
	LibDir      string // %{LIBDIR}
	BinDir      string // %{BINDIR}
	SbinDir     string // %{SBINDIR}
}

// DefaultLayout returns the layout of MIT's programs on this machine.
func DefaultLayout() Layout { return DetectLayout("/") }

// DetectLayout tells the layout from the directories that exist under root;
// the paths in the result do not contain root. Debian's is taken where
// /etc/krb5kdc or /var/lib/krb5kdc is there, then the first existing state
// directory of an upstream build with LOCALSTATEDIR /usr/local/var, of one with
// /var, and of Red Hat's. Without any of them it is Debian's on a Debian
// system, else upstream's default.
//
// Datatrans is slave_datatrans, the name in releases before 1.17, where only
// that file exists.
func DetectLayout(root string) Layout {
	exists := func(path string) bool {
		_, err := os.Stat(filepath.Join(root, path))
		return err == nil
	}
	l := chooseLayout(exists)
	if old := filepath.Join(l.StateDir, "slave_datatrans"); !exists(l.Datatrans) && exists(old) {
		l.Datatrans = old
	}
	return l
}

func chooseLayout(exists func(string) bool) Layout {
	local := upstream("/usr/local/var", "/usr/local")
	local.Krb5Conf = append(local.Krb5Conf, "/usr/local/etc/krb5.conf")
	redhat := upstream("/var/kerberos", "/usr")
	redhat.Name = "redhat"
	if exists("/etc/krb5kdc") || exists("/var/lib/krb5kdc") {
		return debian()
	}
	for _, l := range []Layout{local, upstream("/var", "/usr"), redhat} {
		if exists(l.StateDir) {
			return l
		}
	}
	if exists("/etc/debian_version") {
		return debian()
	}
	return local
}

// upstream is the layout of a build with the given LOCALSTATEDIR and prefix.
func upstream(localstate, prefix string) Layout {
	state := localstate + "/krb5kdc"
	lib := prefix + "/lib"
	return Layout{
		Name:        localstate,
		Krb5Conf:    []string{"/etc/krb5.conf"},
		KDCConf:     state + "/kdc.conf",
		StateDir:    state,
		Datatrans:   state + "/replica_datatrans",
		FromMaster:  state + "/from_master",
		KpropdACL:   state + "/kpropd.acl",
		KadminACL:   state + "/kadm5.acl",
		KDB5Util:    prefix + "/sbin/kdb5_util",
		Database:    state + "/principal",
		StashPrefix: state + "/.k5.",
		Keytab:      "FILE:/etc/krb5.keytab",
		RcacheDir:   "/var/tmp",
		PluginDir:   lib + "/krb5/plugins/kdb",
		LibDir:      lib,
		BinDir:      prefix + "/bin",
		SbinDir:     prefix + "/sbin",
	}
}

func debian() Layout {
	l := upstream("/var/lib", "/usr")
	l.Name = "debian"
	l.KDCConf = "/etc/krb5kdc/kdc.conf"
	l.KpropdACL = "/etc/krb5kdc/kpropd.acl"
	l.KadminACL = "/etc/krb5kdc/kadm5.acl"
	l.StashPrefix = "/etc/krb5kdc/.k5."
	l.LibDir = "/usr/lib/" + debianTriplet(runtime.GOARCH)
	l.PluginDir = l.LibDir + "/krb5/plugins/kdb"
	return l
}

func debianTriplet(arch string) string {
	switch arch {
	case "amd64":
		return "x86_64-linux-gnu"
	case "arm64":
		return "aarch64-linux-gnu"
	case "386":
		return "i386-linux-gnu"
	case "arm":
		return "arm-linux-gnueabihf"
	case "ppc64le":
		return "powerpc64le-linux-gnu"
	case "mips64le":
		return "mips64el-linux-gnuabi64"
	}
	return arch + "-linux-gnu"
}
