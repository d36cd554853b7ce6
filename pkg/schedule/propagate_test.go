package schedule

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/transport"
)

const testProfile = `[libdefaults]
	default_realm = R.TEST
	dns_canonicalize_hostname = false
	qualify_shortname = ""
	default_keytab_name = FILE:/nonexistent/own.keytab
[realms]
	R.TEST = {
		kdc = 127.0.0.1:1
	}
`

func testSender(t *testing.T) *Sender {
	t.Helper()
	p, err := profile.Parse("krb5.conf", testProfile, profile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &Sender{Profile: p, Realm: "R.TEST"}
}

func TestNames(t *testing.T) {
	t.Setenv("KRB5_KTNAME", "")
	s := testSender(t)
	n, err := s.Names(context.Background(), Target{Host: "KDC2.test."})
	if err != nil {
		t.Fatal(err)
	}
	if n.Server.String() != "host/kdc2.test@R.TEST" || n.Keytab != "FILE:/nonexistent/own.keytab" {
		t.Errorf("server %v, keytab %s", n.Server, n.Keytab)
	}
	if n.Client.Realm != "R.TEST" || len(n.Client.Components) != 2 || n.Client.Components[0] != "host" {
		t.Errorf("client %v", n.Client)
	}
	s.Keytab = "MEMORY:x"
	_, err = s.Names(context.Background(), Target{Host: "kdc2.test"})
	if !errors.Is(err, transport.ErrKeytabType) || !strings.Contains(err.Error(), "MEMORY:x") {
		t.Errorf("%v", err)
	}
}

func TestConnectErrors(t *testing.T) {
	s := testSender(t)
	s.Port = "nosuchservice"
	_, err := s.connect(context.Background(), Target{Host: "127.0.0.1"})
	var lookup *LookupError
	if !errors.As(err, &lookup) || !lookup.Port {
		t.Errorf("unknown service: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Port = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	nc, err := s.connect(context.Background(), Target{Host: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	l.Close()
	_, err = s.connect(context.Background(), Target{Host: "127.0.0.1"})
	var refused *ConnectError
	if !errors.As(err, &refused) || refused.Address != "127.0.0.1:"+s.Port {
		t.Errorf("closed port: %v", err)
	}
}

// Every host gets its report, also when there are more than places.
func TestRunReportsEach(t *testing.T) {
	s := testSender(t)
	s.Keytab = "/nonexistent/own.keytab"
	var hosts []string
	for i := range 3*Parallel + 1 {
		hosts = append(hosts, "h"+strconv.Itoa(i))
	}
	seen := map[string]bool{}
	s.Run(context.Background(), "/nonexistent/dump", hosts, func(r Result) {
		if r.Err == nil || seen[r.Host] {
			t.Errorf("%s: %v, seen before: %v", r.Host, r.Err, seen[r.Host])
		}
		seen[r.Host] = true
	})
	if len(seen) != len(hosts) {
		t.Errorf("%d reports for %d hosts", len(seen), len(hosts))
	}
}

func TestSharedDump(t *testing.T) {
	d := sharedDump{path: "/nonexistent/dump"}
	_, first := d.open()
	_, second := d.open()
	var e *kdb.DumpFileError
	if !errors.As(first, &e) || first != second {
		t.Errorf("%v, then %v", first, second)
	}
	d.close()
}
