package main

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
)

// The text of each answer that a kpropd, or something else that listens on its
// port, can give.
func TestTextsOfAnswers(t *testing.T) {
	r := newRealm(t, krbtest.Options{})
	t.Run("versions", func(t *testing.T) { runRows(t, r, versionRows()) })
	t.Run("authentication", func(t *testing.T) { runRows(t, r, authenticationRows()) })
	t.Run("transfer", func(t *testing.T) { runRows(t, r, transferRows()) })
	t.Run("acknowledgement", func(t *testing.T) { runRows(t, r, ackRows()) })
}

// answering is a stage with a server that runs a script.
func answering(script func(*peer)) func(*stage) {
	return func(s *stage) { s.serve(script) }
}

const (
	aborted  = "kprop: Software caused connection abort while authenticating to server\n"
	rejected = "kprop: Server rejected authentication (during sendauth exchange) while authenticating to server\n"
)

func versionRows() []row {
	byte := func(name string, b byte, stderr string) row {
		return row{name: name, stage: answering(func(p *peer) { p.hello(b) }), exit: 1, stderr: stderr, finding: "is not a kpropd of protocol kprop5_01"}
	}
	return []row{
		byte("response byte 1", 1, "kprop: Bad sendauth version was sent while authenticating to server\n"),
		byte("response byte 2", 2, "kprop: Bad application version was sent (via sendauth) while authenticating to server\n"),
		byte("response byte 7", 7, "kprop: Bad response (during sendauth exchange) while authenticating to server\n"),
		byte("response byte 255", 255, "kprop: Bad response (during sendauth exchange) while authenticating to server\n"),
		{name: "closed before the versions", stage: answering(func(p *peer) {}), exit: 1,
			stderr: aborted, finding: "closed the connection during the authentication"},
		{name: "closed instead of the response byte", exit: 1,
			stage:  answering(func(p *peer) { p.read(); p.read() }),
			stderr: aborted, finding: "closed the connection during the authentication"},
		{name: "reset before the versions", exit: 1,
			stage: answering(func(p *peer) {
				p.read()
				_ = p.nc.(*net.TCPConn).SetLinger(0)
				p.nc.Close()
			}),
			stderr: "kprop: Connection reset by peer while authenticating to server\n", finding: "closed the connection during the authentication"},
	}
}

func authenticationRows() []row {
	rows := []row{
		{name: "closed after the response byte", exit: 1,
			stage:  answering(func(p *peer) { p.hello(0) }),
			stderr: aborted, finding: "inetd could not start kpropd"},
		{name: "closed instead of the verdict", exit: 1,
			stage:  answering(func(p *peer) { p.open() }),
			stderr: aborted, finding: "inetd could not start kpropd"},
		{name: "closed instead of the AP-REP", exit: 1,
			stage:  answering(func(p *peer) { p.open(); p.send(nil) }),
			stderr: aborted, finding: "inetd could not start kpropd"},
		{name: "verdict cut off", exit: 1,
			stage:  answering(func(p *peer) { p.open(); p.write(0, 0, 0, 9, 'x') }),
			stderr: aborted, finding: "inetd could not start kpropd"},
		{name: "garbage as verdict", exit: 1,
			stage:  answering(func(p *peer) { p.open(); p.send([]byte("garbage")) }),
			stderr: "kprop: Invalid message type while authenticating to server\n", finding: "did not prove that it is host/127.0.0.1@KPROP.TEST"},
		{name: "garbage as AP-REP", exit: 1,
			stage:  answering(func(p *peer) { p.open(); p.send(nil); p.send([]byte("garbage")) }),
			stderr: "kprop: Invalid message type while authenticating to server\n", finding: "did not prove that it is host/127.0.0.1@KPROP.TEST"},
		{name: "AP-REP of another request", exit: 1,
			stage: answering(func(p *peer) {
				p.open()
				p.send(nil)
				p.send(p.apRep(p.auth.ctime, p.auth.cusec^1))
			}),
			stderr: "kprop: Mutual authentication failed while authenticating to server\n", finding: "did not prove that it is host/127.0.0.1@KPROP.TEST"},
		{name: "AP-REP in another key", exit: 1,
			stage: answering(func(p *peer) {
				p.open()
				p.send(nil)
				rep := p.apRep(p.auth.ctime, p.auth.cusec)
				rep[len(rep)-1] ^= 1
				p.send(rep)
			}),
			stderr: "kprop: Decrypt integrity check failed while authenticating to server\n", finding: "did not prove that it is host/127.0.0.1@KPROP.TEST"},
	}
	return append(rows, rejectionRows()...)
}

// rejectionRows are KRB-ERRORs instead of the empty message.
func rejectionRows() []row {
	reject := func(name string, code int64, text, lines, finding string) row {
		return row{name: name, exit: 1,
			stage:  answering(func(p *peer) { p.open(); p.send(krbError(code, text)) }),
			stderr: rejected + lines, finding: finding}
	}
	signalled := func(text string) string { return "kprop: " + text + " signalled from server\n" }
	both := func(text string) string { return signalled(text) + "Error text from server: " + text + "\n" }
	// The time in these errors is right.
	clocks, clock, keytab, log := "differ by more than clockskew allows", "so it is the KDC's that is wrong", "the keytab on 127.0.0.1", "journalctl -t kpropd"
	rows := []row{
		reject("code 0", 0, "", "", clocks),
		reject("code 0 with text", 0, "zero\x00", "", log),
		reject("code 60 with text", 60, "some reason\x00", "Generic remote error: some reason\n", log),
		reject("code 60 without text", 60, "", "", "copy the file that key_stash_file names"),
		reject("code 34 without text", 34, "", signalled("Request is a replay"), "has seen this request before"),
		reject("code 37 with another text", 37, "too late\x00", signalled("Clock skew too great")+"Error text from server: too late\n", clock),
		reject("code 99", 99, "", signalled("KRB5 error code 99"), log),
	}
	for _, c := range []struct {
		code          int64
		text, finding string
	}{
		{31, "Decrypt integrity check failed", keytab},
		{32, "Ticket expired", clock},
		{33, "Ticket not yet valid", clock},
		{34, "Request is a replay", "has seen this request before"},
		{35, "The ticket isn't for us", "it calls itself by another name"},
		{36, "Ticket/authenticator don't match", log},
		{37, "Clock skew too great", clock},
		{38, "Incorrect net address", log},
		{39, "Protocol version mismatch", log},
		{40, "Invalid message type", log},
		{41, "Message stream modified", log},
		{42, "Message out of order", log},
		{43, "Illegal cross-realm ticket", log},
		{44, "Key version is not available", "does not have host/127.0.0.1@KPROP.TEST, kvno 1: the key was changed"},
		{45, "Service key not available", "klist -k"},
		{46, "Mutual authentication failed", log},
		{50, "Inappropriate type of checksum in message", log},
	} {
		rows = append(rows, reject("code "+c.text, c.code, c.text+"\x00", both(c.text), c.finding))
	}
	return append(rows,
		row{name: "text without NUL", exit: 1,
			stage:  answering(func(p *peer) { p.open(); p.send(krbError(60, "no end")) }),
			stderr: "~" + quoted(rejected) + "Generic remote error: no end[^\n]*\n", fault: "it reads beyond the text",
			ours: rejected + "Generic remote error: no end\n"},
		row{name: "text with control characters", exit: 1,
			stage:  answering(func(p *peer) { p.open(); p.send(krbError(60, "a\x1b[2Jb\x00")) }),
			stderr: rejected + "Generic remote error: a\x1b[2Jb\n", fault: "it lets the peer write to the terminal",
			ours: rejected + "Generic remote error: a?[2Jb\n"})
}

const (
	premature = "kprop: Premature EOF found for database file!\n"
	noAck     = "kprop: Software caused connection abort while reading response from server\n"
)

func transferRows() []row {
	// afterAccept changes the dump when kprop has it open and has not read it.
	afterAccept := func(change func(path string) error) func(*stage) {
		return func(s *stage) {
			s.serve(func(p *peer) {
				p.open()
				if err := change(s.dump); err != nil {
					p.t.Error(err)
				}
				p.send(nil)
				p.send(p.apRep(p.auth.ctime, p.auth.cusec))
			})
		}
	}
	return []row{
		{name: "dump shrinks to nothing", exit: 1,
			stage:  afterAccept(func(path string) error { return os.Truncate(path, 0) }),
			stderr: premature, finding: "kdb5_util dump {DUMP}"},
		{name: "dump shrinks", exit: 1,
			stage:  afterAccept(func(path string) error { return os.Truncate(path, 1000) }),
			stderr: premature, finding: "{DUMP} changed while it was sent"},
		{name: "dump grows", exit: 1,
			stage:  afterAccept(appendByte),
			stderr: premature, finding: "{DUMP} changed while it was sent"},
		{name: "closed after the AP-REP", exit: 1,
			stage:  answering(func(p *peer) { p.accept() }),
			stderr: noAck, finding: "echo 'host/"},
		{name: "reset in the middle of a large dump", exit: 1,
			stage: func(s *stage) {
				s.bigDump()
				s.serve(func(p *peer) {
					p.accept()
					p.take(100 * 32768)
					_ = p.nc.(*net.TCPConn).SetLinger(0)
					p.nc.Close()
				})
			},
			stderr:  "~kprop: (Broken pipe|Connection reset by peer) while sending database block starting at \\d+\n",
			finding: "echo 'host/"},
		{name: "KRB-ERROR in the middle of a large dump", exit: 1,
			stage: func(s *stage) {
				s.bigDump()
				s.serve(func(p *peer) {
					p.accept()
					p.take(100 * 32768)
					p.send(krbError(60, "no room\x00"))
				})
			},
			stderr:  "Generic remote error: no room\n",
			finding: "journalctl"},
	}
}

func appendByte(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write([]byte("x"))
	return err
}

// acknowledging is a stage with a server that takes the whole dump and then
// runs a script.
func acknowledging(script func(p *peer, size int)) func(*stage) {
	return func(s *stage) {
		s.serve(func(p *peer) {
			st, err := os.Stat(s.dump)
			p.must(err)
			p.accept()
			p.take(st.Size())
			script(p, int(st.Size()))
		})
	}
}

func ackRows() []row {
	const (
		success = "Database propagation to 127.0.0.1: SUCCEEDED\n"
		unknown = "whether 127.0.0.1 has loaded the database is not known"
	)
	good := func(p *peer, size int) { p.send(p.safe(size4(size))) }
	undecodable := func(name, text string, change func([]byte) []byte) row {
		return row{name: name, exit: 1,
			stage:   acknowledging(func(p *peer, size int) { p.send(change(p.safe(size4(size)))) }),
			stderr:  "kprop: " + text + " while decoding final size packet from server\n",
			finding: unknown}
	}
	malformed := func(name string, data ...byte) row {
		return row{name: name, exit: 1,
			stage:   acknowledging(func(p *peer, size int) { p.send(p.safe(data)) }),
			stderr:  "kprop: Generic error (see e-text) malformed sent database size message\n",
			finding: unknown}
	}
	instead := func(name string, msg []byte, stderr, finding string) row {
		return row{name: name, exit: 1,
			stage:  acknowledging(func(p *peer, size int) { p.send(msg) }),
			stderr: stderr, finding: finding}
	}
	return []row{
		{name: "good", stage: acknowledging(good), stdout: success},
		{name: "good, host as typed", stdout: "Database propagation to LocalHost: SUCCEEDED\n",
			stage: func(s *stage) { acknowledging(good)(s); s.host = "LocalHost" }},
		{name: "good, with -d", stdout: "32768 bytes sent.\n65536 bytes sent.\n70000 bytes sent.\n" + success,
			stage: func(s *stage) {
				s.options = []string{"-d"}
				s.writeDump(make([]byte, 70000))
				acknowledging(good)(s)
			}},
		{name: "good, whole blocks, with -d", stdout: "32768 bytes sent.\n65536 bytes sent.\n" + success,
			stage: func(s *stage) {
				s.options = []string{"-d"}
				s.writeDump(make([]byte, 65536))
				acknowledging(good)(s)
			}},
		{name: "good, empty dump, with -d", stdout: success,
			stage: func(s *stage) {
				s.options = []string{"-d"}
				s.writeDump(nil)
				acknowledging(func(p *peer, _ int) { p.send(p.safe(make([]byte, 12))) })(s)
			}},
		{name: "last_prop cannot be written", stdout: success,
			stage: func(s *stage) {
				acknowledging(good)(s)
				if err := os.Mkdir(s.dump+".127.0.0.1.last_prop", 0o700); err != nil {
					s.t.Fatal(err)
				}
			},
			stderr: "kprop: Is a directory while creating 'last_prop' file, '{DUMP}.127.0.0.1.last_prop'\n"},
		{name: "no folder for last_prop", stdout: success,
			stage: func(s *stage) {
				acknowledging(func(p *peer, size int) {
					p.must(os.RemoveAll(filepath.Dir(s.dump)))
					good(p, size)
				})(s)
			},
			stderr: "kprop: No such file or directory while creating 'last_prop' file, '{DUMP}.127.0.0.1.last_prop'\n"},
		{name: "closed", exit: 1, stage: acknowledging(func(*peer, int) {}),
			stderr: noAck, finding: "journalctl -t kpropd"},
		{name: "cut off", exit: 1,
			stage: acknowledging(func(p *peer, size int) {
				msg := framed(p.safe(size4(size)))
				p.write(msg[:len(msg)-1]...)
			}),
			stderr: noAck, finding: "journalctl -t kpropd"},
		{name: "reset", exit: 1,
			stage: acknowledging(func(p *peer, size int) {
				_ = p.nc.(*net.TCPConn).SetLinger(0)
				p.nc.Close()
			}),
			stderr: "kprop: Connection reset by peer while reading response from server\n", finding: "journalctl -t kpropd"},
		{name: "another size", exit: 1,
			stage:  acknowledging(func(p *peer, size int) { p.send(p.safe(size4(17))) }),
			stderr: "~kprop: Kpropd sent database size 17, expecting \\d+\n", finding: unknown},
		malformed("size of no bytes"),
		malformed("size of 5 bytes", 0, 0, 0, 0, 5),
		malformed("small size in the long form", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5),
		undecodable("changed", "Message stream modified", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }),
		undecodable("not a KRB-SAFE", "Invalid message type", func([]byte) []byte { return []byte("garbage") }),
		{name: "out of order", exit: 1,
			stage: acknowledging(func(p *peer, size int) {
				p.seq++
				p.send(p.safe(size4(size)))
			}),
			stderr: "kprop: Message out of order while decoding final size packet from server\n", finding: unknown},
		instead("KRB-ERROR 60", krbError(60, "the load failed\x00"), "Generic remote error: the load failed\n", "journalctl"),
		instead("KRB-ERROR 60 without text", krbError(60, ""), "", "journalctl"),
		instead("KRB-ERROR 0", krbError(0, "zero\x00"), "", "journalctl"),
		instead("KRB-ERROR 41", krbError(41, "while decoding database size\x00"),
			"kprop: Message stream modified signalled from server\nError text from server: while decoding database size\n", "journalctl"),
		instead("KRB-ERROR 41 without text", krbError(41, ""), "kprop: Message stream modified signalled from server\n", "journalctl"),
		{name: "KRB-ERROR cut off", exit: 1,
			stage:  acknowledging(func(p *peer, _ int) { p.send(krbError(60, "x\x00")[:20]) }),
			stderr: "kprop: ASN.1 encoding ended unexpectedly while decoding error response from server\n",
			fault:  "it is no fault, but the text is that of MIT's decoder",
			ours:   "kprop: Generic error (see e-text) while decoding error response from server\n", finding: unknown},
	}
}
