package check

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/transport"
)

// issued is in which key a ticket is encrypted; zero: not known.
type issued struct {
	kvno  uint32
	etype enctype.ID
}

// keyOf reads it from a ticket.
func keyOf(der []byte) issued {
	var t messages.Ticket
	if t.Unmarshal(der) != nil {
		return issued{}
	}
	return issuedIn(&t)
}

func issuedIn(t *messages.Ticket) issued {
	if t.EncPart.KVNO < 0 {
		return issued{}
	}
	return issued{uint32(t.EncPart.KVNO), enctype.ID(t.EncPart.EType)}
}

// ticket makes an AS exchange as this host. The KDC's clock is believed, since
// a wrong one is a finding of its own.
func (h *host) ticket(ctx context.Context, kdcs []profile.KDC, server principal.Name) (*transport.Credentials, error) {
	cfg, err := h.profile.Gokrb5(ctx, h.realm)
	if err != nil {
		return nil, err
	}
	if cfg.LibDefaults.DefaultTktEnctypeIDs, err = h.profile.TktEnctypes(); err != nil {
		return nil, err
	}
	return transport.GetCredentials(ctx, transport.CredentialRequest{
		Client: h.own, Server: server, Keytab: h.keytab, KDCs: kdcs, Config: cfg, SyncTime: true,
	})
}

// reply is what one KDC answered.
type reply struct {
	kdc  profile.KDC
	cred *transport.Credentials
	err  error
}

// silent reports whether there was no answer.
func (r reply) silent() bool {
	return r.err != nil && (errors.Is(r.err, transport.ErrKDCUnreachable) || errors.Is(r.err, context.DeadlineExceeded))
}

// kdcPatience is shorter than the time of a check, so that all that did answer
// is told.
const kdcPatience = 4 * time.Second

// askEach asks each KDC for a ticket for this host itself, all at once.
func (h *host) askEach(ctx context.Context, kdcs []profile.KDC) []reply {
	ctx, cancel := context.WithTimeout(ctx, kdcPatience)
	defer cancel()
	replies := make([]reply, len(kdcs))
	var wg sync.WaitGroup
	for i, k := range kdcs {
		wg.Go(func() {
			cred, err := h.ticket(ctx, kdcs[i:i+1], h.own)
			replies[i] = reply{k, cred, err}
		})
	}
	wg.Wait()
	return replies
}

// askKDC checks what an AS exchange shows: which KDCs answer, whether the key
// in the keytab is the realm's, and the clock.
func (h *host) askKDC(ctx context.Context) {
	var (
		first reply
		all   []reply
	)
	h.do(ctx, nameKDC, []string{nameKeytab}, func(ctx context.Context) []Item {
		kdcs, err := h.profile.KDCs(ctx, h.realm)
		if err != nil {
			return because(err, Configuration(err))
		}
		all = h.askEach(ctx, kdcs)
		for _, r := range all {
			if r.silent() {
				continue
			}
			if h.kdcs = append(h.kdcs, r.kdc); len(h.kdcs) == 1 {
				first = r
			}
		}
		return h.answering(all)
	})
	h.do(ctx, nameKey, []string{nameKDC}, func(ctx context.Context) []Item {
		return append(h.checkKey(ctx, first), lagging(first, all)...)
	})
	h.do(ctx, nameClock, []string{nameKey}, func(context.Context) []Item { return h.checkClock(first.cred) })
}

// answering says which KDCs are up.
func (h *host) answering(replies []reply) []Item {
	var up, down []string
	var err error
	for _, r := range replies {
		if r.silent() {
			down = append(down, r.kdc.Addr())
			err = r.err
			continue
		}
		up = append(up, r.kdc.Addr())
	}
	look := "systemctl status krb5-kdc    (on that host)"
	switch {
	case len(down) == 0:
		return okItem("%s: krb5kdc answers", strings.Join(up, ", "))
	case len(up) > 0:
		return warnItem(fmt.Sprintf("%s: krb5kdc answers, but none at %s", strings.Join(up, ", "), strings.Join(down, ", ")), look)
	case !errors.Is(err, transport.ErrKDCUnreachable):
		err = fmt.Errorf("%w: %s: no answer in %v", transport.ErrKDCUnreachable, strings.Join(down, ", "), kdcPatience)
	}
	items := h.credentialItems(err)
	if h.receiver {
		// kpropd itself asks no KDC.
		items[0].Verdict, items[0].stop = Warning, true
	}
	return items
}

// checkKey compares the keytab with what the KDC has.
func (h *host) checkKey(ctx context.Context, r reply) []Item {
	if r.err != nil {
		items := h.credentialItems(r.err)
		if wrongKey(r.err) {
			items[0].Text = h.versions(ctx, r.kdc, items[0].Text)
		}
		return items
	}
	h.issued = keyOf(r.cred.Ticket)
	if h.issued == (issued{}) {
		return okItem("%s takes the key of %v for right", r.kdc.Addr(), h.own)
	}
	_, err := h.keytab.Find(h.own, h.issued.kvno, int32(h.issued.etype))
	if err == nil {
		return okItem("%v has kvno %d, %v in the KDC and in the keytab", h.own, h.issued.kvno, h.issued.etype)
	}
	return h.lacksIssued(err)
}

// lagging warns of KDCs that do not know the key that the first one takes: a
// replica without the last propagation.
func lagging(first reply, all []reply) (items []Item) {
	if first.err != nil {
		return nil
	}
	want := keyOf(first.cred.Ticket)
	for _, r := range all {
		switch {
		case r.silent():
		case r.err != nil:
			items = append(items, warnItem(fmt.Sprintf("the KDC %s does not take the key that %s takes: %s",
				r.kdc.Addr(), first.kdc.Addr(), transport.Message(r.err)), "propagate to it, then check again")...)
		case keyOf(r.cred.Ticket) != want:
			items = append(items, warnItem(fmt.Sprintf("the KDC %s issues tickets in kvno %d, %s in kvno %d",
				r.kdc.Addr(), keyOf(r.cred.Ticket).kvno, first.kdc.Addr(), want.kvno), "propagate to it, then check again")...)
		}
	}
	return items
}

// wrongKey reports whether the keytab's key did not open the KDC's answer, or
// the KDC the request.
func wrongKey(err error) bool {
	var own *transport.Error
	if errors.As(err, &own) {
		return own.Code == transport.CodeBadIntegrity
	}
	var remote *transport.RemoteError
	return errors.As(err, &remote) && remote.Code == transport.CodePreauthFailed
}

// versions adds to a text which kvno keytab and KDC have.
func (h *host) versions(ctx context.Context, kdc profile.KDC, text string) string {
	have := h.keytab.Newest(h.own)[0].KVNO
	key, err := h.peek(ctx, kdc)
	switch {
	case err != nil || key.kvno == 0:
		return fmt.Sprintf("%s; the keytab has kvno %d", text, have)
	case key.kvno == have:
		return fmt.Sprintf("%s, though both have kvno %d: the realm or the principal was made anew", text, have)
	}
	return fmt.Sprintf("%s: the keytab has kvno %d, the KDC kvno %d", text, have, key.kvno)
}

// lacksIssued is about a keytab that has a good key, but not the one for which
// the KDC issues tickets.
func (h *host) lacksIssued(err error) []Item {
	path := h.propagation().keytabPath()
	text := fmt.Sprintf("the KDC issues tickets for %v in kvno %d, %v, which %s does not have", h.own, h.issued.kvno, h.issued.etype, path)
	var none *keytab.NotFoundError
	if errors.As(err, &none) {
		var have []string
		for _, v := range none.Have {
			have = append(have, fmt.Sprintf("kvno %d, %v", v.KVNO, enctype.ID(v.EType)))
		}
		text += " (it has " + strings.Join(have, "; ") + ")"
	}
	remedy := []string{"klist -ke " + path, "kadmin -q 'ktadd -k " + path + " " + h.own.String() + "'"}
	if h.receiver {
		return failItem(text, remedy...)
	}
	return warnItem(text, remedy...)
}

// checkClock compares this host's clock with the KDC's.
func (h *host) checkClock(cred *transport.Credentials) []Item {
	off, skew := cred.Offset.Round(time.Second), h.profile.ClockSkew()
	if off == 0 {
		return okItem("agrees with the KDC's to some seconds")
	}
	word := "behind"
	if off < 0 {
		word = "ahead of"
	}
	text := fmt.Sprintf("this host's clock is %v %s the KDC's", off.Abs(), word)
	mend := Propagation{}.clock("", time.Time{}).Remedy
	if off.Abs() > skew {
		return failItem(fmt.Sprintf("%s, clockskew allows %v", text, skew), mend...)
	}
	return warnItem(text, mend...)
}
