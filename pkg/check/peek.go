package check

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/profile"
)

const peekPatience = time.Second

// peek asks a KDC for a ticket for this host as this host, and reads from the
// answer which of its keys the ticket is in. That part is not encrypted, so it
// shows the kvno even where the keytab has the wrong key; nothing else is
// believed. A KDC that demands preauthentication shows nothing.
func (h *host) peek(ctx context.Context, kdc profile.KDC) (key issued, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic in the KDC's answer: %v", r)
		}
	}()
	cfg, err := h.profile.Gokrb5(ctx, h.realm)
	if err != nil {
		return key, err
	}
	name := gokrbName(h.own)
	req, err := messages.NewASReq(h.realm, cfg, name, name)
	if err != nil {
		return key, err
	}
	wire, err := req.Marshal()
	if err != nil {
		return key, err
	}
	d := net.Dialer{Timeout: peekPatience}
	nc, err := d.DialContext(ctx, "udp", kdc.Addr())
	if err != nil {
		return key, err
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(peekPatience)); err != nil {
		return key, err
	}
	if _, err := nc.Write(wire); err != nil {
		return key, err
	}
	answer := make([]byte, 64<<10)
	n, err := nc.Read(answer)
	if err != nil {
		return key, err
	}
	var rep messages.ASRep
	if err := rep.Unmarshal(answer[:n]); err != nil {
		return key, err
	}
	return issuedIn(&rep.Ticket), nil
}

func gokrbName(n principal.Name) types.PrincipalName {
	const service = 3 // NT-SRV-HST, RFC 4120 6.2
	return types.PrincipalName{NameType: service, NameString: n.Components}
}
