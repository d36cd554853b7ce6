package check

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/kprop/kprop/pkg/transport"
)

// checkListening looks whether something waits for connections on kpropd's
// port of this host. It reads the kernel's tables: a connection would be a
// session to kpropd.
func checkListening(port string) []Item {
	n, err := transport.KpropService.LookupPort(port)
	if err != nil {
		return failItem("-P "+port+" is neither a port nor a service in /etc/services", "kpropd -P 754 ...")
	}
	known := false
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		known = known || err == nil
		if hasListener(string(text), n) {
			return okItem("something listens on TCP port %d", n)
		}
	}
	if !known {
		return skipItem("the kernel's tables of sockets cannot be read")
	}
	return failItem(fmt.Sprintf("nothing listens on TCP port %d of this host: kpropd does not run", n),
		"systemctl enable --now kpropd.socket    (stand-alone: kpropd.service)",
		"pkill -HUP inetd    (if inetd starts it: has inetd.conf its krb5_prop line?)")
}

// hasListener reads a table in the form of proc(5): the second field is the
// local address as hex ADDRESS:PORT, the fourth the state, 0A for listening.
func hasListener(table string, port int) bool {
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 4 || f[3] != "0A" {
			continue
		}
		_, hex, _ := strings.Cut(f[1], ":")
		if n, err := strconv.ParseUint(hex, 16, 16); err == nil && int(n) == port {
			return true
		}
	}
	return false
}
