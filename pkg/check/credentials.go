package check

import (
	"errors"
	"io/fs"
	"strings"
	"time"

	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/pkg/transport"
)

// during reports whether the failure was in a step, by MIT's words for it.
func during(err error, while string) bool {
	var s *transport.StepError
	return errors.As(err, &s) && strings.HasPrefix(s.While, while)
}

// credentials explains why there is no ticket.
func (p Propagation) credentials(err error) []Finding {
	if !during(err, "while getting initial credentials") {
		return nil
	}
	var (
		remote *transport.RemoteError
		own    *transport.Error
	)
	switch {
	case errors.Is(err, transport.ErrKDCUnreachable):
		return []Finding{{
			Problem: "no KDC of " + p.Realm + " answers (" + lastAttempt(err) + "): krb5kdc does not run, or krb5.conf names the wrong host",
			Remedy:  []string{"systemctl status krb5-kdc    (on the primary)", "KRB5_TRACE=/dev/stderr kinit -k -t " + p.keytabPath() + " " + p.Client},
		}}
	case errors.Is(err, transport.ErrNoKeys):
		return []Finding{p.noKeys(afterText(err, transport.ErrNoKeys.Error()+": "))}
	case errors.Is(err, keytab.ErrFormat):
		f := p.noKey(afterText(err, keytab.ErrFormat.Error()+": "))
		f.Problem = p.keytabPath() + " is not a keytab: " + f.Problem
		f.Remedy = append([]string{"mv " + p.keytabPath() + " " + p.keytabPath() + ".bad"}, f.Remedy...)
		return []Finding{f}
	case errors.Is(err, fs.ErrNotExist):
		return []Finding{p.noKey("this host has no keytab " + p.keytabPath())}
	case errors.Is(err, fs.ErrPermission):
		return []Finding{{Problem: "kprop must read the keytab " + p.keytabPath(), Remedy: []string{"run it as root"}}}
	case errors.Is(err, transport.ErrKDCSkew):
		return []Finding{p.clock("the KDC", time.Time{})}
	case errors.Is(err, transport.ErrKDCReply):
		return []Finding{{
			Problem: "the KDC answers something else than was asked (" + afterText(err, transport.ErrKDCReply.Error()+": ") + "): somebody on the way changed it",
			Remedy:  []string{"grep 'kdc *=' " + krb5Conf() + "    (are these the KDCs of " + p.Realm + "?)", "KRB5_TRACE=/dev/stderr kinit -k -t " + p.keytabPath() + " " + p.Client},
		}}
	case errors.As(err, &remote):
		return p.kdcSays(remote)
	case errors.As(err, &own) && own.Code == transport.CodeBadIntegrity:
		return []Finding{p.wrongKey()}
	}
	return nil
}

// noKeys tells a keytab without the client from one whose keys cannot be used.
func (p Propagation) noKeys(problem string) Finding {
	if !strings.Contains(problem, "enctype") {
		return p.noKey(problem)
	}
	return Finding{
		Problem: problem,
		Remedy:  []string{"klist -ke " + p.keytabPath(), "grep enctypes " + krb5Conf(), p.ktadd()},
	}
}

// noKey is the finding that this host's keytab lacks the client.
func (p Propagation) noKey(problem string) Finding {
	return Finding{
		Problem: problem,
		Remedy: []string{
			"kadmin.local -q 'addprinc -randkey " + p.Client + "'    (if the KDC does not know it)",
			p.ktadd(),
		},
	}
}

func (p Propagation) ktadd() string {
	return "kadmin.local -q 'ktadd -k " + p.keytabPath() + " " + p.Client + "'"
}

func (p Propagation) wrongKey() Finding {
	return Finding{
		Problem: "the key of " + p.Client + " in " + p.keytabPath() + " is not the one that the KDC has",
		Remedy: []string{
			"klist -k " + p.keytabPath(),
			"kadmin.local -q 'getprinc " + p.Client + "'    (compare the kvno)",
			p.ktadd(),
		},
	}
}

// kdcSays explains a KRB-ERROR of the KDC.
func (p Propagation) kdcSays(remote *transport.RemoteError) []Finding {
	switch remote.Code {
	case transport.CodeServerUnknown:
		return []Finding{{
			Problem: "the KDC has no " + p.Server + ", or it is locked: is " + p.Replica + " the name by which the replica calls itself?",
			Remedy: []string{
				"kadmin.local -q 'getprinc " + p.Server + "'",
				"kadmin.local -q 'addprinc -randkey " + p.Server + "'    (if it does not exist)",
				p.on("kadmin -q 'ktadd " + p.Server + "'"),
			},
		}}
	case transport.CodeClientUnknown:
		return []Finding{{
			Problem: "the KDC has no " + p.Client + ", the principal of this host",
			Remedy:  []string{"kadmin.local -q 'addprinc -randkey " + p.Client + "'", p.ktadd()},
		}}
	case transport.CodePreauthFailed, transport.CodeBadIntegrity:
		return []Finding{p.wrongKey()}
	case transport.CodeSkew:
		return []Finding{p.clock("the KDC", remote.Time)}
	case transport.CodeEtypeNoSupport:
		return []Finding{{
			Problem: "this host, the KDC and " + p.Server + " have no enctype in common",
			Remedy:  []string{"kadmin.local -q 'getprinc " + p.Server + "'", "grep enctypes " + krb5Conf() + "    (and kdc.conf)"},
		}}
	case transport.CodeClientRevoked, transport.CodeKeyExpired, transport.CodeClientExpired:
		return []Finding{p.locked(p.Client)}
	case transport.CodeServerRevoked, transport.CodeServerExpired:
		return []Finding{p.locked(p.Server)}
	}
	return []Finding{{
		Problem: "the KDC's log says more: it refused " + p.Client,
		Remedy:  []string{"journalctl -u krb5-kdc    (on the primary)"},
	}}
}

func (p Propagation) locked(principal string) Finding {
	return Finding{
		Problem: principal + " is locked or expired, or its key is",
		Remedy:  []string{"kadmin.local -q 'getprinc " + principal + "'"},
	}
}

// afterText is what an error says behind some words; all of it if they are
// not there.
func afterText(err error, words string) string {
	text := err.Error()
	if i := strings.LastIndex(text, words); i >= 0 {
		return text[i+len(words):]
	}
	return text
}

// lastAttempt is why the last KDC did not answer.
func lastAttempt(err error) string {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	text := lines[len(lines)-1]
	if i := strings.LastIndex(text, transport.ErrKDCUnreachable.Error()+": "); i >= 0 {
		text = text[i+len(transport.ErrKDCUnreachable.Error())+2:]
	}
	return text
}
