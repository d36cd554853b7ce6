package krbtest

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
)

// StartInetd starts an xinetd on the node that listens on a free port of all
// addresses and hands each connection to a new process of program (empty: MIT's
// kpropd) as descriptors 0 to 2, the "nowait" style. Args follow the access
// list, keytab and FromMaster of the node. Nothing that program prints is kept:
// it would go to the peer. Arguments and paths must be free of blanks.
func (n *Node) StartInetd(program string, args ...string) (*Daemon, error) {
	if program == "" {
		program = "kpropd"
	}
	return n.StartXinetd(program, append([]string{"-r", n.realm.Name, "-a", n.ACL, "-s", n.Keytab, "-f", n.FromMaster}, args...)...)
}

// StartXinetd is StartInetd for any program with exactly these arguments.
func (n *Node) StartXinetd(program string, args ...string) (*Daemon, error) {
	if _, err := LookPath("xinetd"); err != nil {
		return nil, errors.New("xinetd is not installed: apt-get install xinetd")
	}
	me, err := user.Current()
	if err != nil {
		return nil, err
	}
	port, err := n.realm.reservePort()
	if err != nil {
		return nil, err
	}
	conf := n.path(fmt.Sprintf("xinetd.%d.conf", port))
	text := fmt.Sprintf(`service krbtest
{
	type        = UNLISTED
	socket_type = stream
	protocol    = tcp
	flags       = IPv6
	port        = %d
	wait        = no
	user        = %s
	instances   = UNLIMITED
	server      = %s
	server_args = %s
	env         = %s
}
`, port, me.Username, find(program), strings.Join(args, " "), strings.Join(n.Env(), " "))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	d, err := n.StartDaemon(port, "xinetd", "-dontfork", "-stayalive", "-f", conf,
		"-pidfile", conf+".pid", "-filelog", conf+".log")
	if err != nil {
		log, _ := os.ReadFile(conf + ".log")
		return nil, fmt.Errorf("%w\n%s", err, log)
	}
	return d, nil
}
