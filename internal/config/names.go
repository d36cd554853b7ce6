package config

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/kprop/kprop/internal/principal"
)

const (
	allowedHost    = "a host name such as kdc2.example.com, or an IP address"
	allowedReplica = "a host such as kdc2.example.com or kdc2.example.com:7540, or a mapping with host, port, address, ..."
	allowedPort    = "a number from 1 to 65535 or a service name such as krb5_prop"
	allowedName    = "up to 200 letters, digits and . _ : - [ ], the first a letter, a digit or ["
	allowedRealm   = "a realm such as EXAMPLE.COM: up to 200 letters, digits and . _ -"
)

const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits  = "0123456789"
)

func only(s, set string) bool { return other(s, set) == "" }

// other is the first character of s that is not in the set, in quotes.
func other(s, set string) string {
	for _, c := range s {
		if !strings.ContainsRune(set, c) {
			return strconv.Quote(string(c))
		}
	}
	return ""
}

// hostProblem says what is wrong with a host name or IP address. A zone is
// refused: the default name of a replica must do in a URL.
func hostProblem(s string) string {
	if ip, err := netip.ParseAddr(s); err == nil {
		if ip.Zone() != "" {
			return "has a zone; write it as address, and the name of the host as host"
		}
		return ""
	}
	switch {
	case s == "":
		return "is empty"
	case len(s) > 255:
		return "is longer than 255 characters"
	case strings.ContainsFunc(s, unicode.IsControl):
		return "has a control character"
	case strings.ContainsFunc(s, unicode.IsSpace):
		return "has a blank"
	case strings.HasPrefix(s, "-"):
		return "begins with -, like an option"
	case strings.Contains(s, "://"):
		return "is a URL, not a host"
	case strings.Contains(s, "/"):
		return "has a slash; only the host is wanted"
	case strings.Contains(s, "@"):
		return "has an @; only the host is wanted"
	case strings.ContainsFunc(s, func(c rune) bool { return c > unicode.MaxASCII }):
		return "is not ASCII; write the xn-- form"
	}
	if host, port, err := net.SplitHostPort(s); err == nil && host != "" && port != "" {
		return "has a port, which is a key of its own: port: " + keyText(port)
	}
	if !only(s, letters+digits+"-._") {
		return "has " + other(s, letters+digits+"-._") + ", which no host name has"
	}
	labels := strings.Split(strings.TrimSuffix(s, "."), ".")
	for _, l := range labels {
		switch {
		case l == "":
			return "has nothing between two dots or in front of one"
		case len(l) > 63:
			return "has a part longer than 63 characters"
		}
	}
	if only(labels[len(labels)-1], digits) {
		return "is neither an IP address nor a host name"
	}
	return ""
}

// addressProblem is hostProblem for what is only connected to.
func addressProblem(s string) string {
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() != "" {
		if !only(ip.Zone(), letters+digits+"-._") {
			return "has an odd zone"
		}
		return ""
	}
	return hostProblem(s)
}

// replicaProblem is hostProblem for the host of a replica.
func replicaProblem(s string) string { return cmp.Or(hostProblem(s), noHostProblem(s)) }

// connectProblem is addressProblem for the address of a replica.
func connectProblem(s string) string { return cmp.Or(addressProblem(s), noHostProblem(s)) }

// noHostProblem says whether an address is not that of one host.
func noHostProblem(s string) string {
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return ""
	}
	switch ip = ip.Unmap().WithZone(""); {
	case ip.IsUnspecified():
		return "is no host's address: connecting to it reaches this host"
	case ip.IsMulticast(), ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "is the address of many hosts, not of one"
	}
	return ""
}

// portProblem says what is wrong with a port: a number, or a service name as
// in /etc/services.
func portProblem(s string) string {
	switch n, err := strconv.Atoi(s); {
	case s == "":
		return "is empty"
	case isDigits(strings.TrimPrefix(s, "-")) && (err != nil || n < 1 || n > 65535):
		return "is not between 1 and 65535"
	case isDigits(s) && s[0] == '0':
		return "begins with 0"
	case isDigits(s):
		return ""
	case isNumber(s):
		return "is a number in another form"
	case len(s) > 32 || !only(s, letters+digits+"-_.+") || !strings.ContainsAny(s, letters) ||
		!strings.Contains(letters+digits, s[:1]):
		return "is neither a port number nor a service name"
	}
	return ""
}

// nameProblem says what keeps a text from being a replica's name, which is
// part of file names and URLs.
func nameProblem(s string) string {
	switch {
	case s == "":
		return "is empty"
	case len(s) > 200:
		return "is longer than 200 characters"
	case !strings.Contains(letters+digits+"[", s[:1]):
		return "begins with neither a letter nor a digit"
	case !only(s, letters+digits+"._:-[]"):
		return "has " + other(s, letters+digits+"._:-[]") + ", which does not do in file names and URLs"
	}
	return ""
}

// isNumber takes what YAML or a reader takes for a number: 0x2f2, 7e2.
func isNumber(s string) bool {
	_, notWhole := strconv.ParseInt(s, 0, 64)
	_, notFloat := strconv.ParseFloat(s, 64)
	return strings.Contains(digits, s[:1]) && (notWhole == nil || notFloat == nil)
}

// engine sets the engine that is to dump or load.
func (m mapping) engine(dst *string) {
	m.checked("engine", dst, strings.Join(Engines, ", "), func(s string) string {
		if !slices.Contains(Engines, s) {
			return "is not an engine"
		}
		return ""
	})
}

func realmProblem(s string) string {
	switch {
	case s == "":
		return "is empty"
	case len(s) > 200:
		return "is longer than 200 characters"
	case !strings.Contains(letters+digits, s[:1]):
		return "begins with neither a letter nor a digit"
	case !only(s, letters+digits+"._-"):
		return "has " + other(s, letters+digits+"._-") + " in it"
	}
	return ""
}

func principalProblem(s string) string {
	if len(s) > 1024 {
		return "is longer than 1024 characters"
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return "has a control character"
	}
	n, err := principal.Parse(s, "REALM")
	if err != nil || n.Realm == "" {
		return "is not a principal"
	}
	for _, c := range n.Components {
		if c == "" {
			return "has an empty part"
		}
	}
	return ""
}

// keytabProblem takes the types of MIT's keytabs that are files.
func keytabProblem(s string) string {
	if !strings.HasPrefix(s, "/") {
		typ, rest, found := strings.Cut(s, ":")
		if found && (typ == "FILE" || typ == "WRFILE") {
			s = rest
		} else if found && only(typ, letters) {
			return "is not kept in a file"
		}
	}
	return pathProblem(s)
}

// splitHost takes the port off host:port. The brackets of [IPv6]:port go too.
func splitHost(s string) (host, port string, problem string) {
	_, err := netip.ParseAddr(s)
	if err == nil || !strings.Contains(s, ":") || strings.Contains(s, "/") {
		return s, "", replicaProblem(s)
	}
	host, port, err = net.SplitHostPort(s)
	switch {
	case err != nil && strings.Count(s, ":") > 1:
		return "", "", "is not host:port; an IPv6 address is in brackets there, [2001:db8::5]:7540"
	case err != nil:
		return "", "", "is not host:port"
	}
	if problem = replicaProblem(host); problem != "" {
		return "", "", problem
	}
	if problem = portProblem(port); problem != "" {
		return "", "", "has a port that " + problem
	}
	return host, port, ""
}

func isDefaultPort(port string) bool { return port == "" || port == "754" || port == "krb5_prop" }

// sameHost is equal for two spellings of one host.
func sameHost(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().String()
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
