package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
)

// TestSSH: krdistd -S behind OpenSSH, where Kerberos is the only way in.
func TestSSH(t *testing.T) {
	krbtest.Require(t, "ssh", "sshd", "ssh-keygen")
	krbtest.RequireRoot(t, "sshd lets others than root in only as root")
	s := newStage(t)
	s.plant()
	r := krbtest.New(t, krbtest.Options{})
	r.StartKDC(t)
	r.AddPrincipal("root", "secret")
	r.AddPrincipal("stranger", "secret")
	port := startSSHD(t, s.dir, r.Replica)
	ssh := filepath.Join(s.dir, "ssh_config")
	ok(t, os.WriteFile(ssh, fmt.Appendf(nil, "Host *\nPort %d\nUserKnownHostsFile %s/known_hosts\nGlobalKnownHostsFile none\nStrictHostKeyChecking accept-new\n"+
		"GSSAPIAuthentication yes\nPreferredAuthentications gssapi-with-mic\nBatchMode yes\nLogLevel ERROR\n", port, s.dir), 0o600))
	ok(t, os.WriteFile(s.shell, fmt.Appendf(nil, "#!/bin/sh\nexec ssh -F %s \"$@\"\n", ssh), 0o755))
	s.env = r.Primary.Env()
	s.args = []string{"-P", s.shell, "-p", ourKrdistd()}

	got := s.run(mirror)
	if got.exit != 1 || !strings.Contains(got.stdout, `Unexpected input from server: "".`) || !strings.Contains(got.stderr, "Permission denied") {
		t.Errorf("without a ticket: %v", got)
	}
	ok(t, r.Primary.Kinit("stranger", "secret"))
	if got := s.run(mirror); got.exit != 1 || !strings.Contains(got.stderr, "Permission denied") {
		t.Errorf("as a stranger: %v", got)
	}
	ok(t, r.Primary.Kinit("root", "secret"))
	if got := s.run(mirror + `special "echo $REMFILE" ;`); got.exit != 0 || !strings.Contains(got.stdout, s.expand("hosta: DST/src/a.txt\n")) {
		t.Fatalf("%v", got)
	}
	same(t, s.src, s.dst+"/src")
	s.want(s.run(mirror), 0, "hosta: updating host hosta\nhosta: updating of hosta finished\n", "")
}

// startSSHD starts sshd with files of its own. It wants a directory below /run,
// and so gets a /run of its own, too.
func startSSHD(t *testing.T, dir string, n *krbtest.Node) (port int) {
	t.Helper()
	key := filepath.Join(dir, "host_key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	port = krbtest.FreePort()
	conf := filepath.Join(dir, "sshd_config")
	ok(t, os.WriteFile(conf, fmt.Appendf(nil, "Port %d\nListenAddress 127.0.0.1\nHostKey %s\nPidFile none\nUsePAM no\nPermitRootLogin yes\n"+
		"AuthenticationMethods gssapi-with-mic\nGSSAPIAuthentication yes\nGSSAPIStrictAcceptorCheck no\nGSSAPICleanupCredentials yes\n"+
		"PrintMotd no\nUseDNS no\nLogLevel VERBOSE\nSetEnv HOME=%s\n", port, key, dir), 0o600))
	sshd := must(krbtest.LookPath("sshd"))(t)
	must(n.StartDaemon(port, "unshare", "--mount", "sh", "-c",
		`mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && exec "$0" "$@"`, sshd, "-D", "-e", "-f", conf))(t)
	return port
}
