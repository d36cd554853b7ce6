package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/internal/osutil"
)

// whose names a program in the names of tests.
func whose(program string) string {
	if program == "" {
		return "MIT's"
	}
	return "ours"
}

// kpropd starts a kpropd on the replica for this stage; an empty program means
// MIT's.
func (s *stage) kpropd(program string, args ...string) {
	s.t.Helper()
	d := s.realm.StartKpropd(s.t, program, args...)
	s.t.Cleanup(d.Stop)
	s.port = strconv.Itoa(d.Port)
	s.host = "127.0.0.1"
}

// ownName calls the replica by the name that kpropd, which runs on this
// machine, takes for its own.
func (s *stage) ownName() {
	s.t.Helper()
	own, err := krbtest.LocalHost()
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := net.LookupHost(own); err != nil {
		s.t.Fatalf("this machine's own name must have an address: %v", err)
	}
	s.host = own
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

func (s *stage) write(name, text string) string {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return s.path(name)
}

// otherKVNO makes the kvno of an entry another one.
func otherKVNO(e *keytab.Entry) bool {
	e.KVNO += 6
	return true
}

// The text of each refusal by a real kpropd.
func TestTextsOfKpropd(t *testing.T) {
	own, err := krbtest.LocalHost()
	if err != nil {
		t.Fatal(err)
	}
	r := newRealm(t, krbtest.Options{})
	t.Run("either", func(t *testing.T) {
		for _, program := range []string{"", ourKpropd()} {
			t.Run(whose(program), func(t *testing.T) { runRows(t, r, eitherRows(program, own)) })
		}
	})
	t.Run("MIT's alone", func(t *testing.T) { runRows(t, r, kpropdOfMITRows()) })
	t.Run("ours alone", func(t *testing.T) { runRows(t, r, ourKpropdRows(own)) })
}

// eitherRows are what both kpropds answer alike.
func eitherRows(program, own string) []row {
	denied := func(text string) string {
		return rejected + "kprop: " + text + " signalled from server\nError text from server: " + text + "\n"
	}
	with := func(change func(*keytab.Entry) bool, byOwnName bool) func(*stage) {
		return func(s *stage) {
			s.kpropd(program, "-s", s.changedKeytab(s.realm.Replica.Keytab, change))
			if byOwnName {
				s.ownName()
			}
		}
	}
	return []row{
		{name: "good", stage: func(s *stage) { s.kpropd(program) },
			stdout: "Database propagation to 127.0.0.1: SUCCEEDED\n"},
		{name: "keytab missing", exit: 1,
			stage:   func(s *stage) { s.kpropd(program, "-s", s.path("none.keytab")) },
			stderr:  denied("Service key not available"),
			finding: "on 127.0.0.1:  kadmin -q 'ktadd host/127.0.0.1@KPROP.TEST'"},
		{name: "keytab without the replica", exit: 1,
			stage:   with(func(e *keytab.Entry) bool { return !e.Principal.Is("host", own) }, false),
			stderr:  denied("Service key not available"),
			finding: "lacks the host principal of that host's own name"},
		{name: "wrong kvno", exit: 1, stage: with(otherKVNO, true),
			stderr:  denied("Key version is not available"),
			finding: "does not have host/" + own + "@KPROP.TEST, kvno 1: the key was changed and not put into it"},
		{name: "wrong key", exit: 1, stage: with(otherKey, true),
			stderr:  denied("Decrypt integrity check failed"),
			finding: "has another key than the KDC for host/" + own + "@KPROP.TEST, kvno 1"},
		{name: "ticket for another host, kvno", exit: 1, stage: with(otherKVNO, false),
			stderr:  denied("The ticket isn't for us"),
			finding: "has no key for host/127.0.0.1@KPROP.TEST, kvno 1"},
		{name: "ticket for another host, key", exit: 1, stage: with(otherKey, false),
			stderr:  denied("The ticket isn't for us"),
			finding: "it calls itself by another name"},
		{name: "replay", exit: 1,
			stage: func(s *stage) {
				s.kpropd(program)
				s.replayed()
			},
			stderr:  denied("Request is a replay"),
			finding: "has seen this request before"},
	}
}

// replayed puts a proxy in front of kpropd that has sent kprop's request
// already when kprop sends it.
func (s *stage) replayed() {
	kpropd := net.JoinHostPort("127.0.0.1", s.port)
	s.serve(func(p *peer) {
		sendauth, application := p.read(), p.read()
		p.write(0)
		request := p.read()
		for first := range 2 {
			nc, err := net.Dial("tcp", kpropd)
			p.must(err)
			defer nc.Close()
			q := &peer{t: p.t, nc: nc}
			q.send(sendauth)
			q.send(application)
			var answer [1]byte
			_, err = io.ReadFull(nc, answer[:])
			p.must(err)
			q.send(request)
			verdict := q.read()
			if first == 0 {
				q.read()
				nc.Close()
				continue
			}
			p.send(verdict)
		}
	})
}

// kpropdOfMITRows are failures of which MIT's kpropd does not tell the reason.
func kpropdOfMITRows() []row {
	const closed = "closed the connection without a reason (MIT's kpropd gives none)"
	// How far kprop comes before it notices is chance.
	inTheMiddle := "~kprop: (Broken pipe|Connection reset by peer) while sending database block starting at \\d+\n"
	anywhere := "~kprop: (Broken pipe|Connection reset by peer|Software caused connection abort) while " +
		"(sending database size|sending database block starting at 0|reading response from server)\n"
	return []row{
		{name: "not in the access list, small dump", exit: 1,
			stage:  func(s *stage) { s.kpropd("", "-a", s.write("acl", "")) },
			stderr: anywhere, finding: "@KPROP.TEST' >> /etc/krb5kdc/kpropd.acl"},
		{name: "not in the access list, large dump", exit: 1,
			stage: func(s *stage) {
				s.bigDump()
				s.kpropd("", "-a", s.write("acl", ""))
			},
			stderr: inTheMiddle, finding: closed},
		{name: "load fails", exit: 1,
			stage:  func(s *stage) { s.kpropd("", "-p", "/bin/false") },
			stderr: noAck, finding: "or kdb5_util load failed"},
		{name: "file locked", exit: 1,
			stage: func(s *stage) {
				s.kpropd("", "-f", s.path("incoming"))
				lock(s, s.path("incoming.temp"))
			},
			stderr: anywhere, finding: "another propagation had it locked"},
		{name: "file cannot be written", exit: 1,
			stage:  func(s *stage) { s.kpropd("", "-f", "/nonexistent/incoming") },
			stderr: anywhere, finding: "cannot write its file"},
	}
}

func lock(s *stage, path string) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { f.Close() })
	if err := osutil.TryLock(f, osutil.Exclusive); err != nil {
		s.t.Fatal(err)
	}
}

// ourKpropdRows are the same failures, of which our kpropd tells the reason.
func ourKpropdRows(own string) []row {
	program := ourKpropd()
	who := "host/" + own + "@KPROP.TEST"
	return []row{
		{name: "not in the access list, small dump", exit: 1,
			stage:   func(s *stage) { s.kpropd(program, "-a", s.write("acl", "")) },
			stderr:  "Generic remote error: " + who + " is not allowed to propagate to this host: it has no line for this principal ({DIR}/acl)\n",
			finding: "on 127.0.0.1:  echo '" + who + "' >> {DIR}/acl\n"},
		{name: "not in the access list, large dump", exit: 1,
			stage: func(s *stage) {
				s.bigDump()
				s.kpropd(program, "-a", s.write("acl", ""))
			},
			stderr:  "Generic remote error: " + who + " is not allowed to propagate to this host: it has no line for this principal ({DIR}/acl)\n",
			finding: "on 127.0.0.1:  echo '" + who + "' >> {DIR}/acl\n"},
		{name: "no access list", exit: 1,
			stage:   func(s *stage) { s.kpropd(program, "-a", s.path("acl")) },
			stderr:  "Generic remote error: " + who + " is not allowed to propagate to this host: the access list {DIR}/acl cannot be read: No such file or directory\n",
			finding: "on 127.0.0.1:  echo '" + who + "' >> {DIR}/acl\n"},
		{name: "load fails", exit: 1,
			stage:   func(s *stage) { s.kpropd(program, "-p", "/bin/false") },
			stderr:  "~Generic remote error: [^\n]*/bin/false[^\n]*\n",
			finding: "journalctl -t kpropd"},
		{name: "file cannot be written", exit: 1,
			stage:   func(s *stage) { s.kpropd(program, "-f", "/nonexistent/incoming") },
			stderr:  "~Generic remote error: No such file or directory[^\n]*/nonexistent/incoming.temp[^\n]*\n",
			finding: "journalctl -t kpropd"},
		{name: "not a dump", exit: 1,
			stage: func(s *stage) {
				s.writeDump([]byte("not a dump\n"))
				s.kpropd(program)
			},
			stderr:  "~Generic remote error: the dump was refused and nothing was changed: [^\n]*\n",
			finding: "kdb5_util dump {DUMP}"},
	}
}
