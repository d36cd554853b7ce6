package check

import (
	"strings"

	"github.com/kprop/kprop/internal/keytab"
)

// Propagation is what is known of a propagation that failed.
type Propagation struct {
	Replica    string // as the user typed it
	Address    string // host:port that was tried last; may be empty
	Port       string // a number, or the service name if that is not known
	BadPort    error  // why Port is no port; nil: it is one
	Realm      string
	Client     string // principal of this host
	Server     string // principal of the replica
	Keytab     string // of this host, by its name
	Dump       string // path of the dump; of the database if FromDB
	FromDB     bool   // the dump was made of the database, and has no file
	TicketKVNO uint32 // of the replica's key in the KDC; 0: not known
}

// Explain gives the findings for the error of a propagation, most probable
// cause first. It gives none where the error itself says all there is.
func (p Propagation) Explain(err error) []Finding {
	for _, explain := range []func(error) []Finding{
		p.configuration, p.dump, p.credentials, p.network, p.versions, p.rejected, p.unproven,
		p.remote, p.standstill, p.closed, p.answer,
	} {
		if f := explain(err); f != nil {
			return f
		}
	}
	return nil
}

// keytabPath is the path for commands; klist and ktadd take names, too.
func (p Propagation) keytabPath() string {
	if path, err := keytab.Path(p.Keytab); err == nil {
		return path
	}
	return p.Keytab
}

// on says that a command is for the replica.
func (p Propagation) on(command string) string { return "on " + p.Replica + ":  " + command }

// thisHost names this host as the KDC knows it.
func (p Propagation) thisHost() string {
	name := strings.TrimPrefix(p.Client, "host/")
	if name, _, _ = strings.Cut(name, "@"); name == "" {
		return "this host"
	}
	return "this host (" + name + ")"
}

// tried gives the address behind a name, where it says more than the name.
func (p Propagation) tried() string {
	if p.Address == "" || strings.HasPrefix(p.Address, p.Replica+":") {
		return ""
	}
	return " (" + p.Address + ")"
}

// Stash is the finding that a host lacks the realm's stash.
func Stash(host string) Finding { return stashAt(host, "") }

func stashAt(host, path string) Finding {
	where := "to the same place on " + host
	if path != "" {
		where = "to " + path + " on " + host
	}
	return Finding{
		Problem: "the stash file of " + host + " must be the primary's",
		Remedy:  []string{"copy the file that key_stash_file names (Debian: /etc/krb5kdc/stash) from the primary " + where + ", mode 0600"},
	}
}
