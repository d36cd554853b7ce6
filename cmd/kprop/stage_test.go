package main

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/krbtest"
)

// stage holds the conditions of one run of kprop. It has files of its own, so
// that MIT's kprop and ours find the same ones.
type stage struct {
	t     *testing.T
	realm *krbtest.Realm
	dir   string

	dump    string   // -f
	keytab  string   // -s
	port    string   // -P
	options []string // further ones
	host    string   // several: separated by blanks
	raw     []string // if not nil, the whole command line
	alone   bool     // kprop check runs in a process of its own, since names are remembered
	noDump  bool     // what is sent is no dump, which only --no-verify lets our kprop do
	env     []string // replaces variables
}

// newStage prepares a propagation to localhost that lacks nothing but a kpropd.
func newStage(t *testing.T, r *krbtest.Realm) *stage {
	t.Helper()
	s := &stage{t: t, realm: r, dir: t.TempDir(), keytab: r.Primary.Keytab, host: "localhost"}
	s.dump = filepath.Join(s.dir, "dump")
	s.port = strconv.Itoa(closedPort(t))
	text, err := os.ReadFile(r.Primary.DumpFile)
	if err != nil {
		t.Fatal(err)
	}
	s.writeDump(text)
	return s
}

func (s *stage) args() []string {
	if s.raw != nil {
		return s.raw
	}
	args := append([]string{"-f", s.dump, "-s", s.keytab, "-P", s.port}, s.options...)
	return append(args, strings.Fields(s.host)...)
}

// argsFor are the arguments for one of the programs.
func (s *stage) argsFor(program string) []string {
	if s.noDump && program == ourKprop() {
		return append([]string{"--no-verify"}, s.args()...)
	}
	return s.args()
}

// writeDump makes a dump with its .dump_ok.
func (s *stage) writeDump(text []byte) {
	s.t.Helper()
	s.noDump = !bytes.HasPrefix(text, []byte("kdb5_util load_dump "))
	for path, data := range map[string][]byte{s.dump: text, s.dump + ".dump_ok": {0}} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	// The order of the two writes must not show.
	now := time.Now()
	for _, path := range []string{s.dump, s.dump + ".dump_ok"} {
		if err := os.Chtimes(path, now, now); err != nil {
			s.t.Fatal(err)
		}
	}
}

// bigDump is more than fits into the buffers of a connection.
func (s *stage) bigDump() { s.writeDump(make([]byte, 24<<20)) }

func (s *stage) remove(path string) {
	s.t.Helper()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
}

// krb5Conf gives kprop a krb5.conf of its own: the realm's, with old replaced.
func (s *stage) krb5Conf(old, new string) {
	s.t.Helper()
	text, err := os.ReadFile(s.realm.Primary.Krb5Conf)
	if err != nil {
		s.t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		s.t.Fatalf("krb5.conf has no %q:\n%s", old, text)
	}
	path := filepath.Join(s.dir, "krb5.conf")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(text), old, new)), 0o644); err != nil {
		s.t.Fatal(err)
	}
	s.env = append(s.env, "KRB5_CONFIG="+path)
}

// changedKeytab writes a copy of a keytab with some change to each entry, and
// without those for which change reports false. It returns the copy's path.
func (s *stage) changedKeytab(path string, change func(*keytab.Entry) bool) string {
	s.t.Helper()
	kt, err := keytab.Load(path)
	if err != nil {
		s.t.Fatal(err)
	}
	var changed keytab.Keytab
	for _, e := range kt.Entries {
		if !change(&e) {
			continue
		}
		if err := changed.Append(e); err != nil {
			s.t.Fatal(err)
		}
	}
	to := filepath.Join(s.dir, "changed.keytab")
	if err := os.WriteFile(to, changed.Marshal(), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return to
}

// otherKey makes the key of an entry another one.
func otherKey(e *keytab.Entry) bool {
	e.Key = append([]byte(nil), e.Key...)
	e.Key[0] ^= 1
	return true
}

// normal replaces what differs from run to run.
func (s *stage) normal(text string) string {
	return strings.NewReplacer(s.dump, "{DUMP}", s.dir, "{DIR}", ":"+s.port, ":{PORT}").Replace(text)
}

// closedPort gives a port on which nothing listens, and that no other test
// gets.
func closedPort(t *testing.T) int {
	t.Helper()
	return krbtest.FreePort()
}

// serve makes a server on loopback that runs script for each connection, and
// tells kprop its port. When the script returns, the server says that it sends
// no more, and waits for the client to close.
func (s *stage) serve(script func(*peer)) {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.port = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	s.host = "127.0.0.1"
	kt, err := keytab.Load(s.realm.Replica.Keytab)
	if err != nil {
		s.t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer nc.Close()
				p := &peer{t: s.t, nc: nc, keytab: kt}
				script(p)
				p.hangUp()
			})
		}
	})
	s.t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
}
