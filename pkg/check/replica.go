package check

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/transport"
)

const authenticating = "while authenticating to server"

// rejected explains the refusal of the AP-REQ.
func (p Propagation) rejected(err error) []Finding {
	var remote *transport.RemoteError
	if !errors.Is(err, transport.ErrRejected) || !errors.As(err, &remote) {
		return nil
	}
	switch remote.Code {
	case transport.CodeSkew, transport.CodeTicketNotYetValid, transport.CodeTicketExpired:
		return []Finding{p.clock(p.Replica, remote.Time)}
	case transport.CodeNoKey:
		return []Finding{p.replicaKeytab("the keytab on " + p.Replica + " is missing, cannot be read, or lacks the host principal of that host's own name")}
	case transport.CodeBadKeyVersion:
		return []Finding{p.replicaKeytab("the keytab on " + p.Replica + " does not have " + p.ticketKey() + ": the key was changed and not put into it")}
	case transport.CodeBadIntegrity:
		return []Finding{p.replicaKeytab("the keytab on " + p.Replica + " has another key than the KDC for " + p.ticketKey())}
	case transport.CodeNotUs:
		return []Finding{p.replicaKeytab("the host that answered as " + p.Replica + p.tried() + " has no key for " + p.ticketKey() + ": it calls itself by another name, or its keytab is not the KDC's")}
	case transport.CodeRepeat:
		return []Finding{{Problem: p.Replica + " has seen this request before: a program between the hosts repeats connections", Remedy: []string{"propagate again"}}}
	case transport.CodeNone, transport.CodeGeneric:
		if remote.Text == "" {
			return p.guide()
		}
	}
	return []Finding{{Problem: "the log of " + p.Replica + " may say more", Remedy: []string{p.on("journalctl -t kpropd")}}}
}

// guide is what the installation guide lists for a refusal without a reason.
func (p Propagation) guide() []Finding {
	return []Finding{
		p.clock(p.Replica, time.Time{}),
		p.replicaKeytab("the keytab on " + p.Replica + " must have " + p.ticketKey()),
		Stash(p.Replica),
	}
}

// ticketKey names the key that opens the ticket.
func (p Propagation) ticketKey() string {
	if p.TicketKVNO == 0 {
		return p.Server
	}
	return fmt.Sprintf("%s, kvno %d", p.Server, p.TicketKVNO)
}

func (p Propagation) replicaKeytab(problem string) Finding {
	return Finding{
		Problem: problem,
		Remedy: []string{
			p.on("hostname -f; klist -k"),
			p.on("kadmin -q 'ktadd " + p.Server + "'"),
		},
	}
}

// unproven explains an AP-REP that the replica could not have made.
func (p Propagation) unproven(err error) []Finding {
	var own *transport.Error
	if !during(err, authenticating) || !errors.As(err, &own) {
		return nil
	}
	return []Finding{{
		Problem: "what answers on port " + p.Port + " of " + p.Replica + p.tried() + " did not prove that it is " + p.Server + ": it is no kpropd, or somebody stands between",
		Remedy:  []string{p.on("ss -ltnp 'sport = :" + p.Port + "'")},
	}}
}

// remote explains a refusal after the authentication, as our kpropd words it.
func (p Propagation) remote(err error) []Finding {
	var remote *transport.RemoteError
	if !errors.As(err, &remote) {
		return nil
	}
	text := remote.Text
	switch {
	case strings.Contains(text, "the stash "):
		_, path, _ := strings.Cut(text, "the stash ")
		path, _, _ = strings.Cut(path, " on this host")
		return []Finding{stashAt(p.Replica, safePath(path))}
	case strings.Contains(text, "is not on this host: install krb5-kdc"):
		return []Finding{{Problem: "kpropd on " + p.Replica + " needs MIT's kdb5_util to load the database", Remedy: []string{p.on("apt-get install krb5-kdc    (Red Hat: dnf install krb5-server)")}}}
	case strings.Contains(text, "deleted the LMDB database"):
		return []Finding{{
			Problem: "krb5kdc on " + p.Replica + " has lost the files that it had open; why the load failed stands in the message above",
			Remedy:  []string{p.on("systemctl restart krb5-kdc    (Red Hat: krb5kdc)"), p.on("kpropd check")},
		}}
	case strings.Contains(text, "into the LMDB database"):
		return []Finding{{
			Problem: "the LMDB database of " + p.Replica + " cannot take this one; the message above names the setting",
			Remedy:  []string{p.on("kpropd check    (after the change, before the next propagation)")},
		}}
	case strings.Contains(text, "No space left"), strings.HasSuffix(text, "make room there"):
		return []Finding{{Problem: "the disk of " + p.Replica + " is full", Remedy: []string{p.on("df -h")}}}
	case strings.Contains(text, dump.ErrWrongRealm.Error()):
		return []Finding{{
			Problem: p.Dump + " is not of the realm that kpropd on " + p.Replica + " serves",
			Remedy:  []string{p.verify() + "    (which realm it is of)", p.on("grep default_realm /etc/krb5.conf    (or kpropd -r)")},
		}}
	case strings.Contains(text, "the engine "):
		return []Finding{{
			Problem: "kpropd on " + p.Replica + " is told to take one engine and no other (engine in kpropd.yaml, --engine), and that cannot; the message above says why",
			Remedy:  []string{p.on("kpropd check    (with the options of kpropd)"), p.on("journalctl -t kpropd")},
		}}
	case strings.HasPrefix(text, "the propagation was refused"):
		return []Finding{{
			Problem: "look at the database on this host first: " + p.Replica + " takes none that lost that much, or is older, unless told to",
			Remedy: []string{
				p.verify(),
				p.on("kpropd history    (what it holds)"),
				p.on("kpropd accept ...    (only if it is meant: the command stands in the message above)"),
			},
		}}
	case strings.HasPrefix(text, "the dump was refused") && p.FromDB:
		return []Finding{{
			Problem: "the dump of " + p.Dump + " was good here, and is not for " + p.Replica + ": the message above says why",
			Remedy:  []string{p.verify(), "kprop dbcheck -r " + p.Realm},
		}}
	case strings.HasPrefix(text, "the dump was refused"):
		return []Finding{{
			Problem: p.Dump + " is damaged or not the whole database: make a new one, then propagate again",
			Remedy:  []string{"kdb5_util dump " + p.Dump},
		}}
	case strings.Contains(text, "is not allowed"):
		return []Finding{{Problem: "the access list on " + p.Replica + " must have a line for this host", Remedy: []string{p.allow(safePath(aclPath(text)))}}}
	}
	return []Finding{{Problem: "the log of " + p.Replica + " may say more", Remedy: []string{p.on("journalctl -t kpropd")}}}
}

// verify is the command that looks into what was sent.
func (p Propagation) verify() string {
	if p.FromDB {
		return "kprop dump -r " + p.Realm + " - | kprop verify -"
	}
	return "kprop verify " + p.Dump
}

// aclPath finds the path of the access list in our kpropd's words: "the access
// list PATH cannot be read", or "(PATH)" at the end.
func aclPath(text string) string {
	if _, rest, ok := strings.Cut(text, "the access list "); ok {
		if path, _, ok := strings.Cut(rest, " cannot be read"); ok {
			return path
		}
	}
	if i := strings.LastIndex(text, " ("); i >= 0 && strings.HasSuffix(text, ")") {
		return text[i+2 : len(text)-1]
	}
	return ""
}

// safePath drops a path that could be more than that in a command line: the
// text is the peer's, anybody on the way can have written it, and somebody
// will paste the command.
func safePath(path string) string {
	const safe = "/._-,+:=@%abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	if !strings.HasPrefix(path, "/") || strings.Trim(path, safe) != "" {
		return ""
	}
	return path
}

func (p Propagation) allow(path string) string {
	if path == "" {
		return p.on("echo '" + p.Client + "' >> /etc/krb5kdc/kpropd.acl    (or the file that kpropd -a names)")
	}
	return p.on("echo '" + p.Client + "' >> " + path)
}

// standstill explains a conversation in which nothing moved any more.
func (p Propagation) standstill(err error) []Finding {
	if !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.Canceled) {
		return nil
	}
	if during(err, authenticating) {
		return []Finding{{
			Problem: "kpropd on " + p.Replica + " does not answer: MIT's serves one connection after the other and may be loading for somebody else",
			Remedy:  []string{p.on("ss -tnp 'sport = :" + p.Port + "'"), "propagate again when that is over"},
		}}
	}
	return []Finding{{
		Problem: p.Replica + " stands still: another propagation is under way there, or kpropd hangs",
		Remedy:  []string{p.on("journalctl -t kpropd"), p.on("systemctl restart kpropd")},
	}}
}

// closed explains a connection that ended without a word, as MIT's kpropd ends
// it for several reasons.
func (p Propagation) closed(err error) []Finding {
	var s *transport.StepError
	if !errors.As(err, &s) {
		return nil
	}
	switch transport.Message(err) {
	case "Software caused connection abort", "Broken pipe", "Connection reset by peer":
	default:
		return nil
	}
	log := p.on("journalctl -t kpropd    (or its syslog) says which")
	if s.While == authenticating {
		return []Finding{{
			Problem: p.Replica + " closed the connection during the authentication: inetd could not start kpropd, or what listens on port " + p.Port + " is something else",
			Remedy:  []string{log, p.on("ss -ltnp 'sport = :" + p.Port + "'")},
		}}
	}
	causes := "its access list lacks this host, it cannot write its file or another propagation had it locked, or kdb5_util load failed"
	if !during(err, "while reading response") {
		causes = "its access list lacks this host, or it cannot write its file or another propagation had it locked"
	}
	return []Finding{{
		Problem: p.Replica + " closed the connection without a reason (MIT's kpropd gives none): " + causes,
		Remedy:  []string{log, p.allow("")},
	}}
}

// answer explains an acknowledgement that is none.
func (p Propagation) answer(err error) []Finding {
	var wrong *transport.WrongAckError
	if !errors.As(err, &wrong) && !during(err, "while decoding") && !during(err, "malformed sent database size") {
		return nil
	}
	return []Finding{{
		Problem: "whether " + p.Replica + " has loaded the database is not known: its answer was not kpropd's, or was changed on the way",
		Remedy:  []string{"propagate again", p.on("journalctl -t kpropd")},
	}}
}
