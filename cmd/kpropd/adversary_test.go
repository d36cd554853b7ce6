package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/transport"
)

// attacked is a guard whose kpropd is attacked, and which holds it to four
// things each time: the database stays, the sender is told a reason, the log
// has one line with the same reason, and the next good propagation works.
type attacked struct{ *guard }

func newAttacked(t *testing.T, args ...string) *attacked {
	t.Helper()
	return &attacked{newGuardOf(t, startRealm(t), append(args, "-D")...)}
}

// refuses wants all of that of an attack, which gives what its sender is told.
// Of a reason "A: B" the two parts may stand apart there.
func (a *attacked) refuses(t *testing.T, reason string, attack func(t *testing.T) (told string)) {
	t.Helper()
	before := len(a.d.Output())
	told := attack(t)
	// kprop prints the text of a code and that of the step on two lines.
	for word := range strings.SplitSeq(reason, ": ") {
		if !strings.Contains(told, word) {
			t.Errorf("the sender is told %q, want in it %q", told, word)
		}
	}
	reason = strings.ReplaceAll(reason, ": ", " ")
	a.unchanged(t)
	eventually(t, "the log has a line about it", func() bool { return len(complaints(t, a.d.Output()[before:])) > 0 })
	a.next(t)
	lines := complaints(t, a.d.Output()[before:])
	if len(lines) != 1 || !strings.Contains(lines[0], reason) {
		t.Errorf("the log has %q, want one line with %q", lines, reason)
	}
}

// accepts wants a propagation to be let in.
func (a *attacked) accepts(t *testing.T, send func(t *testing.T) error) {
	t.Helper()
	a.r.Kadmin("change_password -randkey alice")
	a.r.Dump()
	if err := send(t); err != nil {
		t.Errorf("it is refused: %v", err)
	}
	a.good = []byte(content(t, a.r.Primary.DumpFile))
	a.unchanged(t)
}

// next is the next good propagation.
func (a *attacked) next(t *testing.T) {
	t.Helper()
	changeAndSend(t, a.r, "", a.d, "127.0.0.1")
	a.good = []byte(content(t, a.r.Primary.DumpFile))
}

// complaints are the warnings and errors in a log, each on one line. Its end
// may be half a line.
func complaints(t *testing.T, log string) (list []string) {
	t.Helper()
	for line := range strings.Lines(log) {
		var entry struct{ Level, Msg, Error, Reason string }
		if !strings.HasSuffix(line, "\n") || !strings.HasPrefix(line, "{") {
			continue
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if entry.Level == "warn" || entry.Level == "error" {
			list = append(list, strings.Join([]string{entry.Msg, entry.Error, entry.Reason}, "; "))
		}
	}
	return list
}

// tapped lets a kprop propagate data through an enemy.
func (a *attacked) tapped(tap wiretap, kprop string, data []byte) func(t *testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		setDump(t, a.r, data)
		proxy, done := tap.start(t, a.d.Port)
		stdout, stderr, exit := a.r.Kprop(kprop, a.r.KpropArgs(proxy, "127.0.0.1")...)
		done()
		if exit != 1 || stdout != "" {
			t.Errorf("exit status %d, stdout %q; want 1 and nothing", exit, stdout)
		}
		return stderr
	}
}

// TestManInTheMiddle: nobody without a key can change what kprop sends, in any
// way.
func TestManInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, p := range kprops() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			a := newAttacked(t, "--max-shrink=100%")
			former := a.wire(t, p.path)
			data := largeDump(t, a.r, 300, 1)
			blocks := (len(data) + transport.BlockSize - 1) / transport.BlockSize
			if blocks < 4 || len(former.sent) < theFirstBlock+2 {
				t.Fatalf("%d blocks, formerly %d messages", blocks, len(former.sent))
			}
			for _, m := range tampering(former, theFirstBlock+blocks-1) {
				t.Run(m.name, func(t *testing.T) {
					a.refuses(t, m.reason, a.tapped(m.tap, p.path, data))
				})
			}
		})
	}
}

// wire gives what was said in the course of a good propagation.
func (a *attacked) wire(t *testing.T, kprop string) *wire {
	t.Helper()
	a.good = largeDump(t, a.r, 200, 2)
	setDump(t, a.r, a.good)
	proxy, done := wiretap{}.start(t, a.d.Port)
	mustSucceed(t, a.r, kprop, proxy, "127.0.0.1")
	w := done()
	a.unchanged(t)
	a.next(t)
	return w
}

type manipulation struct {
	name   string
	tap    wiretap
	reason string // what both sides say
}

// tampering is what can be done to the client's messages, of which last is the
// number of the last. Former has those of an earlier propagation.
func tampering(former *wire, last int) []manipulation {
	// change sends what do makes of each message.
	change := func(do func(w *wire, n int, msg []byte) [][]byte) wiretap {
		return wiretap{fromClient: func(w *wire, n int, msg []byte) {
			w.toServer(do(w, n, msg)...)
			if n == last {
				w.endToServer() // or kpropd waits for what is missing
			}
		}}
	}
	// instead sends others in place of the n-th.
	instead := func(n int, others func(w *wire, msg []byte) [][]byte) wiretap {
		return change(func(w *wire, i int, msg []byte) [][]byte {
			if i == n {
				return others(w, msg)
			}
			return [][]byte{msg}
		})
	}
	// from sends the former ones from the n-th on, as far as they go.
	from := func(n int) wiretap {
		return change(func(_ *wire, i int, msg []byte) [][]byte {
			if i >= n && i < len(former.sent) {
				msg = former.sent[i]
			}
			return [][]byte{msg}
		})
	}
	patched := func(n int, old, new string) wiretap {
		return instead(n, func(_ *wire, msg []byte) [][]byte {
			return [][]byte{bytes.Replace(msg, []byte(old), []byte(new), 1)}
		})
	}
	const (
		atFirst  = "Decrypt integrity check failed: while decoding database block starting at offset 0"
		atSecond = "Decrypt integrity check failed: while decoding database block starting at offset 32768"
	)
	var held []byte
	return []manipulation{
		{"two blocks change places", change(func(_ *wire, n int, msg []byte) [][]byte {
			switch n {
			case theFirstBlock:
				held = msg
				return nil
			case theFirstBlock + 1:
				return [][]byte{msg, held}
			}
			return [][]byte{msg}
		}), atFirst},
		{"a block comes twice", instead(theFirstBlock, func(_ *wire, msg []byte) [][]byte { return [][]byte{msg, msg} }), atSecond},
		{"a block is left out", instead(theFirstBlock+1, func(*wire, []byte) [][]byte { return nil }), atSecond},
		{"the last block is left out", instead(last, func(*wire, []byte) [][]byte { return nil }), "Software caused connection abort while reading database block starting at offset "},
		{"an earlier request", from(theRequest), "Request is a replay"},
		{"an earlier conversation behind the request", from(theSize), "Message stream modified: while decoding database size"},
		{"earlier blocks behind the size", from(theFirstBlock), atFirst},
		{"the reply is reflected as the size", instead(theSize, func(w *wire, _ []byte) [][]byte { return [][]byte{w.reply(theReply)} }),
			"Invalid message type: while decoding database size"},
		{"the request is reflected as the size", instead(theSize, func(w *wire, _ []byte) [][]byte { return [][]byte{w.sent[theRequest]} }),
			"Invalid message type: while decoding database size"},
		{"the answer to an earlier size is reflected as the size", instead(theSize, func(*wire, []byte) [][]byte { return [][]byte{former.answered[theAnswer]} }),
			"Message stream modified: while decoding database size"},
		{"the size comes twice", instead(theSize, func(_ *wire, msg []byte) [][]byte { return [][]byte{msg, msg} }),
			"Invalid message type: while decoding database block starting at offset 0"},
		{"no size", instead(theSize, func(*wire, []byte) [][]byte { return nil }), "Invalid message type: while decoding database size"},
		{"a weaker checksum of the size", patched(theSize, "\xa0\x03\x02\x01\x10", "\xa0\x03\x02\x01\x07"),
			"Inappropriate type of checksum in message: while decoding database size"},
		{"a weaker enctype of a block", patched(theFirstBlock, "\xa0\x03\x02\x01\x12", "\xa0\x03\x02\x01\x17"),
			"while decoding database block starting at offset 0"},
	}
}

// TestForeignTickets: who comes with another ticket than kprop's is let in as
// far as the reference says (kprop-protocol.md 4.3), and no further.
func TestForeignTickets(t *testing.T) {
	t.Parallel()
	a := newAttacked(t)
	const other = "OTHER.TEST"
	own := must(principal.Parse(a.host, ""))(t)
	elsewhere := principal.New(other, own.Components...)
	web := principal.New(a.r.Name, "HTTP", own.Components[1])
	const (
		four = 4 * time.Minute
		six  = 6 * time.Minute
	)
	for _, c := range []struct {
		name   string
		with   forged
		reason string // none: it is let in
	}{
		{"as good as a real one", forged{}, ""},
		{"client of the same name in another realm", forged{client: elsewhere, flags: flagTransitChecked}, elsewhere.String()},
		{"the same, over a third realm", forged{client: elsewhere, transited: "THIRD.TEST", flags: flagTransitChecked}, elsewhere.String()},
		{"the same, and the KDC did not check the way", forged{client: elsewhere, transited: "THIRD.TEST"}, "Illegal cross-realm ticket"},
		{"ticket of another realm, authenticator of ours", forged{client: elsewhere, claim: &own, flags: flagTransitChecked}, "Ticket/authenticator don't match"},
		{"ticket of another host, authenticator of ours", forged{client: principal.New(a.r.Name, "host", "other.test"), claim: &own}, "Ticket/authenticator don't match"},
		{"client of the realm that is not the primary", forged{client: web}, web.String()},
		{"another service with the host's key", forged{server: web}, ""},
		{"expired 4 minutes ago", forged{start: -time.Hour, end: -four}, ""},
		{"expired 6 minutes ago", forged{start: -time.Hour, end: -six}, "Ticket expired"},
		{"valid in 4 minutes", forged{start: four}, ""},
		{"valid in 6 minutes", forged{start: six}, "Ticket not yet valid"},
		{"clock 4 minutes ahead", forged{clock: four}, ""},
		{"clock 4 minutes behind", forged{clock: -four}, ""},
		{"clock 6 minutes ahead", forged{clock: six}, "Clock skew too great"},
		{"clock 6 minutes behind", forged{clock: -six}, "Clock skew too great"},
		{"invalid until it is validated", forged{flags: flagInvalid}, "Ticket has invalid flag set"},
		{"session key of a weaker enctype", forged{session: enctype.RC4}, "Encryption type arcfour-hmac not permitted"},
		{"session key of an enctype that is not listed", forged{session: enctype.AES128SHA1}, "Encryption type aes128-cts-hmac-sha1-96 not permitted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cred := a.forge(t, c.with)
			data := func() []byte { return []byte(content(t, a.r.Primary.DumpFile)) }
			if c.reason == "" {
				a.accepts(t, func(t *testing.T) error { return send(t, a.d.Port, cred, data()) })
				return
			}
			// What it would bring differs from what is there.
			a.r.Kadmin("change_password -randkey alice")
			a.r.Dump()
			a.refuses(t, c.reason, func(t *testing.T) string { return toldBy(t, send(t, a.d.Port, cred, data())) })
		})
	}
}

// toldBy is what a sender hears that must not be let in.
func toldBy(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		t.Fatal("it is let in")
	}
	return transport.Message(err) + "; " + err.Error()
}

// TestTicketForAnotherService: a real ticket, for a service of the same host
// whose key is in the keytab beside that of host/.
func TestTicketForAnotherService(t *testing.T) {
	t.Parallel()
	a := newAttacked(t)
	own := must(principal.Parse(a.host, ""))(t)
	web := "HTTP/" + own.Components[1] + "@" + a.r.Name
	a.r.Kadmin("addprinc -randkey " + web)
	ok(t, a.r.Primary.WriteKeytab(a.r.Replica.Keytab, web))
	cred := a.ticket(t, web)
	a.r.Kadmin("change_password -randkey alice")
	a.r.Dump()
	a.refuses(t, "The ticket isn't for us", func(t *testing.T) string {
		return toldBy(t, send(t, a.d.Port, cred, []byte(content(t, a.r.Primary.DumpFile))))
	})
	// The same way with a ticket for host/ is let in.
	a.accepts(t, func(t *testing.T) error {
		return send(t, a.d.Port, a.ticket(t, a.host), []byte(content(t, a.r.Primary.DumpFile)))
	})
}

// ticket gets a ticket for a service from the realm's KDC, as the primary.
func (a *attacked) ticket(t *testing.T, service string) *transport.Credentials {
	t.Helper()
	n := a.r.Primary
	return ticketOf(t, n, content(t, n.Krb5Conf), n.Keytab, a.host, service)
}

// TestCrossRealm: a real cross-realm ticket of a host with the primary's name,
// in a realm that ours trusts.
func TestCrossRealm(t *testing.T) {
	t.Parallel()
	a := newAttacked(t)
	other := newRealm(t, krbtest.Options{Realm: "OTHER.TEST"})
	const trust = "krbtgt/KPROP.TEST@OTHER.TEST"
	for _, r := range []*krbtest.Realm{a.r, other} {
		r.Kadmin("addprinc -pw shared " + trust)
	}
	other.StartKDC(t)
	visitor := strings.Replace(a.host, a.r.Name, other.Name, 1)
	n := other.Primary
	conf := strings.Replace(content(t, n.Krb5Conf), "[realms]", "[realms]\n\t"+a.r.Name+" = {\n\t\tkdc = "+a.r.Primary.KDCAddr()+"\n\t}", 1)
	cred := ticketOf(t, n, conf, n.Keytab, visitor, a.host)
	if cred.Client.String() != visitor {
		t.Fatalf("a ticket of %v", cred.Client)
	}
	a.r.Kadmin("change_password -randkey alice")
	a.r.Dump()
	a.refuses(t, "it has no line for this principal", func(t *testing.T) string {
		return toldBy(t, send(t, a.d.Port, cred, []byte(content(t, a.r.Primary.DumpFile))))
	})
}

// TestClockOfThePrimary: kprop takes the time of its KDC, so it is that KDC's
// clock, on the primary, which is a few minutes off.
func TestClockOfThePrimary(t *testing.T) {
	t.Parallel()
	krbtest.Require(t, "faketime")
	for _, c := range []struct{ offset, reason string }{
		{"+4m", ""},
		{"-4m", ""},
		{"+6m", "Ticket not yet valid"},
		{"-6m", "Clock skew too great"},
	} {
		t.Run(c.offset, func(t *testing.T) {
			t.Parallel()
			a := newAttacked(t)
			r := a.r
			r.Primary.StopKDC()
			kdc := must(r.Primary.StartFaked(c.offset, r.KDCPort, "krb5kdc", "-n", "-r", r.Name))(t)
			for _, p := range kprops() {
				if c.reason == "" {
					a.accepts(t, func(t *testing.T) error { mustSucceed(t, r, p.path, a.d, "127.0.0.1"); return nil })
					continue
				}
				r.Kadmin("change_password -randkey alice")
				r.Dump()
				before := len(a.d.Output())
				_, stderr, exit := r.Kprop(p.path, r.KpropArgs(a.d, "127.0.0.1")...)
				if exit != 1 || !strings.Contains(stderr, c.reason) {
					t.Errorf("%s: exit status %d, stderr %q; want %q", p.name, exit, stderr, c.reason)
				}
				a.unchanged(t)
				eventually(t, "the log has a line about it", func() bool { return len(complaints(t, a.d.Output()[before:])) > 0 })
			}
			// The clock is put right.
			lines := complaints(t, a.d.Output())
			if c.reason != "" && (len(lines) != 2 || !strings.Contains(lines[0], c.reason) || !strings.Contains(lines[1], c.reason)) {
				t.Errorf("the log has %q, want two lines with %q", lines, c.reason)
			}
			kdc.Stop()
			must(r.Primary.StartKDC())(t)
			a.next(t)
		})
	}
}
