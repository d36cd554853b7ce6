package check

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/pkg/transport"
)

// identityPatience bounds the checks after a failure.
const identityPatience = 6 * time.Second

// AboutIdentity reports whether a propagation failed for lack of a key by which
// this host proves who it is, so that Identity may say more than Explain.
func AboutIdentity(err error) bool {
	if !during(err, "while getting initial credentials") || errors.Is(err, transport.ErrKDCUnreachable) {
		return false
	}
	var remote *transport.RemoteError
	if errors.As(err, &remote) {
		return remote.Code == transport.CodePreauthFailed || remote.Code == transport.CodeClientUnknown
	}
	var own *transport.Error
	if errors.As(err, &own) {
		return own.Code == transport.CodeBadIntegrity
	}
	return errors.Is(err, transport.ErrNoKeys) || errors.Is(err, keytab.ErrFormat) || errors.Is(err, fs.ErrNotExist)
}

// Identity runs the checks of this host's name, keytab and key against the KDC,
// as kprop check does for a realm and a keytab, and gives what the first says
// that fails; none if all is well. It takes a few seconds at most.
func Identity(ctx context.Context, realm, keytab string) []Finding {
	ctx, cancel := context.WithTimeout(ctx, identityPatience)
	defer cancel()
	h := &host{series: new(series), wantRealm: realm, keytabOpt: keytab}
	h.do(ctx, nameKrb5Conf, nil, h.checkKrb5Conf)
	h.do(ctx, nameRealm, []string{nameKrb5Conf}, h.checkRealm)
	h.do(ctx, nameHost, []string{nameKrb5Conf}, h.checkName)
	h.identity(ctx)
	var found []Finding
	name := ""
	for _, i := range h.items {
		if i.Verdict == Fail && (name == "" || i.Name == name) {
			name = i.Name
			found = append(found, Finding{Problem: i.Text, Remedy: i.Remedy})
		}
	}
	return found
}
