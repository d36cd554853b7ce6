package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/profile"
)

const (
	tagASRep        = 11
	tagEncASRepPart = 25
	tagEncTGSPart   = 26 // some KDCs use it for AS replies as well

	paEncTimestamp = 2
	paETypeInfo2   = 19
	paFXCookie     = 133

	maxClockOffset = 5 * time.Second // below that the clocks agree
)

// CredentialRequest asks for a ticket for Server by one AS exchange as Client,
// without a ticket-granting ticket, as kprop does (17.3).
type CredentialRequest struct {
	Client, Server principal.Name
	Keytab         *keytab.Keytab
	KDCs           []profile.KDC  // tried in this order
	Config         *config.Config // enctypes, lifetime and options of the request
	// SyncTime takes the KDC's clock where this host's differs (kdc_timesync);
	// otherwise a difference above Config's clock skew is an error.
	SyncTime bool
}

// Errors of GetCredentials besides a RemoteError of the KDC and
// ErrKDCUnreachable.
var (
	// ErrNoKeys says that the keytab has no key of the client that can be
	// used. MIT's text.
	ErrNoKeys = errors.New("Key table entry not found")
	// ErrKDCReply says that the reply of the KDC does not belong to the request.
	ErrKDCReply = errors.New("KDC reply did not match expectations")
	// ErrKDCSkew says that the KDC's clock is too far from this host's.
	ErrKDCSkew = errors.New("Clock skew too great in KDC reply")
)

// GetCredentials makes the AS exchange. The KDC's clock is believed only for
// the time claimed to the KDC itself until its authenticated reply is there.
func GetCredentials(ctx context.Context, r CredentialRequest) (*Credentials, error) {
	x := asExchange{CredentialRequest: r}
	if err := x.prepare(); err != nil {
		return nil, err
	}
	reply, err := x.ask(ctx)
	var remote *kdcError
	if errors.As(err, &remote) && remote.Code == CodePreauthRequired {
		if err = x.addTimestamp(remote); err == nil {
			reply, err = x.ask(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	return x.open(reply)
}

type asExchange struct {
	CredentialRequest
	req messages.ASReq
}

// prepare fills the request. The enctypes that the keytab has come first.
func (x *asExchange) prepare() error {
	var err error
	x.req, err = messages.NewASReq(x.Client.Realm, x.Config, gokrbName(x.Client), gokrbName(x.Server))
	if err != nil {
		return fmt.Errorf("make AS request: %w", err)
	}
	have := x.Keytab.Newest(x.Client)
	if len(have) == 0 {
		return fmt.Errorf("%w: %s has no key of %v", ErrNoKeys, x.Keytab.Name, x.Client)
	}
	held := func(id int32) bool {
		return slices.ContainsFunc(have, func(e keytab.Entry) bool { return e.EType == id })
	}
	etypes := slices.Clone(x.req.ReqBody.EType)
	slices.SortStableFunc(etypes, func(a, b int32) int {
		switch ha, hb := held(a), held(b); {
		case ha == hb:
			return 0
		case ha:
			return -1
		}
		return 1
	})
	if len(etypes) == 0 || !held(etypes[0]) {
		return fmt.Errorf("%w: none of the enctypes that %s has of %v is permitted", ErrNoKeys, x.Keytab.Name, x.Client)
	}
	x.req.ReqBody.EType = etypes
	return nil
}

func gokrbName(n principal.Name) types.PrincipalName {
	typ := int32(nameTypePrincipal)
	if len(n.Components) == 2 && n.Components[0] == "host" {
		typ = nameTypeSrvHost
	}
	return types.PrincipalName{NameType: typ, NameString: n.Components}
}

// kdcError is a KRB-ERROR of a KDC, with what preauthentication needs of it.
type kdcError struct {
	*RemoteError
	serverTime time.Time
	data       []byte
}

func (e *kdcError) Unwrap() error { return e.RemoteError }

// ask sends the request.
func (x *asExchange) ask(ctx context.Context) ([]byte, error) {
	req, err := x.req.Marshal()
	if err != nil {
		return nil, fmt.Errorf("encode AS request: %w", err)
	}
	return askTicket(ctx, x.KDCs, req, x.Config.LibDefaults.UDPPreferenceLimit)
}

// askTicket sends a request for a ticket. A KDC whose answer is too long for
// UDP is asked again by TCP. The error may be a *kdcError.
func askTicket(ctx context.Context, kdcs []profile.KDC, req []byte, udpLimit int) ([]byte, error) {
	reply, err := askKDCs(ctx, kdcs, req, udpLimit)
	if err == nil {
		err = kdcErrorOf(reply)
	}
	var remote *kdcError
	if errors.As(err, &remote) && remote.Code == CodeResponseTooBig {
		if reply, err = askKDCs(ctx, kdcs, req, -1); err == nil {
			err = kdcErrorOf(reply)
		}
	}
	return reply, err
}

func kdcErrorOf(reply []byte) error {
	if !isApp(reply, tagError) {
		return nil
	}
	remote, full, bad := parseError(reply)
	if bad != nil {
		return bad
	}
	return &kdcError{RemoteError: remote, serverTime: full.serverTime, data: full.data}
}

// addTimestamp adds an encrypted timestamp, with a key of the first enctype
// that the KDC offers and the keytab has (RFC 4120 5.2.7).
func (x *asExchange) addTimestamp(e *kdcError) error {
	offers := cryptobyte.String(e.data)
	var list cryptobyte.String
	if !offers.ReadASN1(&list, casn1.SEQUENCE) {
		return malformed("the KDC's METHOD-DATA")
	}
	etypes := x.req.ReqBody.EType
	for !list.Empty() {
		typ, value, ok := readPAData(&list)
		if !ok {
			return malformed("the KDC's METHOD-DATA")
		}
		switch typ {
		case paETypeInfo2:
			if etypes, ok = parseETypeInfo2(value); !ok {
				return malformed("the KDC's ETYPE-INFO2")
			}
		case paFXCookie:
			x.addPA(paFXCookie, value)
		}
	}
	now := time.Now()
	if x.SyncTime {
		now = e.serverTime
	}
	for _, id := range etypes {
		if !slices.Contains(x.req.ReqBody.EType, id) {
			continue
		}
		if key, _, err := x.key(enctype.ID(id), 0); err == nil {
			return x.encryptTimestamp(key, now)
		}
	}
	return fmt.Errorf("%w: the KDC wants a key of %v of another enctype than %s has", ErrNoKeys, x.Client, x.Keytab.Name)
}

func (x *asExchange) addPA(typ int32, value []byte) {
	x.req.PAData = append(x.req.PAData, types.PAData{PADataType: typ, PADataValue: value})
}

func (x *asExchange) encryptTimestamp(key *enctype.Key, now time.Time) error {
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addTime(b, 0, now)
		addInt(b, 1, micros(now))
	})
	plain, err := b.Bytes()
	if err != nil {
		return err
	}
	cipher, err := key.Encrypt(nil, plain, usageASReqTimestamp)
	if err != nil {
		return fmt.Errorf("encrypt timestamp: %w", err)
	}
	var e cryptobyte.Builder
	addEncryptedBare(&e, int32(key.ID()), cipher)
	value, err := e.Bytes()
	x.addPA(paEncTimestamp, value)
	return err
}

// key gives the client's newest key of an enctype; a kvno other than 0 is
// preferred if the keytab has it.
func (x *asExchange) key(id enctype.ID, kvno uint32) (*enctype.Key, uint32, error) {
	var best *keytab.Entry
	for _, e := range x.Keytab.Newest(x.Client) {
		if e.EType == int32(id) {
			best = &e
			break
		}
	}
	if kvno != 0 {
		if e, err := x.Keytab.Find(x.Client, kvno, int32(id)); err == nil {
			best = &e
		}
	}
	if best == nil {
		return nil, 0, fmt.Errorf("%w: %s has no %v key of %v", ErrNoKeys, x.Keytab.Name, id, x.Client)
	}
	key, err := enctype.NewKey(id, best.Key)
	return key, best.KVNO, err
}

func readPAData(list *cryptobyte.String) (typ int32, value []byte, ok bool) {
	var seq cryptobyte.String
	if !list.ReadASN1(&seq, casn1.SEQUENCE) {
		return 0, nil, false
	}
	i, ok1 := readInt(&seq, 1)
	value, ok2 := readOctets(&seq, 2)
	return int32(i), value, ok1 && ok2
}

func parseETypeInfo2(der []byte) ([]int32, bool) {
	s := cryptobyte.String(der)
	var list cryptobyte.String
	if !s.ReadASN1(&list, casn1.SEQUENCE) {
		return nil, false
	}
	var ids []int32
	for !list.Empty() {
		var entry cryptobyte.String
		if !list.ReadASN1(&entry, casn1.SEQUENCE) {
			return nil, false
		}
		id, ok := readInt(&entry, 0)
		if !ok {
			return nil, false
		}
		ids = append(ids, int32(id))
	}
	return ids, true
}

// kdcRep is what is needed of an AS-REP or TGS-REP (RFC 4120 5.4.2).
type kdcRep struct {
	client principal.Name
	ticket []byte         // DER as received
	server principal.Name // that the ticket names; nothing protects it
	enc    encrypted
}

func parseKDCRep(msg []byte, tag uint8) (*kdcRep, *Error) {
	seq, bad := openMessage(msg, tag)
	if bad != nil {
		return nil, bad
	}
	var r kdcRep
	_, _, ok0 := optional(&seq, 2)
	realm, ok1 := readString(&seq, 3)
	comps, ok2 := readComponents(&seq, 4)
	tkt, ok3 := field(&seq, 5)
	var ok4 bool
	r.enc, ok4 = readEncrypted(&seq, 6)
	if !ok0 || !ok1 || !ok2 || !ok3 || !ok4 {
		return nil, malformed("the KDC's reply")
	}
	t, ok := parseTicket(tkt)
	if !ok {
		return nil, malformed("the ticket of the KDC's reply")
	}
	r.server = principal.Name{Realm: t.realm, Components: t.server}
	r.client = principal.Name{Realm: realm, Components: comps}
	r.ticket = bytes.Clone(tkt)
	return &r, nil
}

// encKDCRepPart is the part of a reply that only the client can read.
type encKDCRepPart struct {
	key      *enctype.Key
	nonce    int64
	authTime time.Time
	endTime  time.Time
	server   principal.Name
}

func parseEncKDCRepPart(der []byte) (*encKDCRepPart, *Error) {
	seq, ok := sequence(der, tagEncASRepPart)
	if !ok {
		seq, ok = sequence(der, tagEncTGSPart)
	}
	if !ok {
		return nil, malformed("the decrypted reply of the KDC")
	}
	var p encKDCRepPart
	key, bad := readKey(&seq, 0)
	if bad != nil {
		return nil, bad
	}
	p.key = key
	_, ok1 := field(&seq, 1)
	var ok2 bool
	p.nonce, ok2 = readInt(&seq, 2)
	_, _, ok3 := optional(&seq, 3)
	_, ok4 := field(&seq, 4)
	var ok5, ok7 bool
	p.authTime, ok5 = readTime(&seq, 5)
	_, _, ok6 := optional(&seq, 6)
	p.endTime, ok7 = readTime(&seq, 7)
	_, _, ok8 := optional(&seq, 8)
	realm, ok9 := readString(&seq, 9)
	comps, ok10 := readComponents(&seq, 10)
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7 && ok8 && ok9 && ok10) {
		return nil, malformed("the decrypted reply of the KDC")
	}
	p.server = principal.Name{Realm: realm, Components: comps}
	return &p, nil
}

// open decrypts and checks the reply (RFC 4120 3.1.5).
func (x *asExchange) open(reply []byte) (*Credentials, error) {
	r, bad := parseKDCRep(reply, tagASRep)
	if bad != nil {
		return nil, bad
	}
	// The request is not protected: somebody on the way may have struck the
	// better enctypes out.
	if err := x.askedFor("the reply", r.enc.etype); err != nil {
		return nil, err
	}
	key, kvno, err := x.key(enctype.ID(r.enc.etype), r.enc.kvno)
	if err != nil {
		return nil, err
	}
	plain, bad := decrypt(key, r.enc, usageASRep)
	if bad != nil {
		bad.Detail = fmt.Sprintf("the key of %v with kvno %d in %s is not the KDC's, which has kvno %d",
			x.Client, kvno, x.Keytab.Name, r.enc.kvno)
		return nil, bad
	}
	p, bad := parseEncKDCRepPart(plain)
	if bad != nil {
		return nil, bad
	}
	if p.nonce != int64(x.req.ReqBody.Nonce) || !r.client.Equal(x.Client) || !p.server.Equal(x.Server) || !r.server.Equal(x.Server) {
		return nil, fmt.Errorf("%w: %s", ErrKDCReply, cleanText(fmt.Sprintf("it is for client %v, server %v, with a ticket for %v", r.client, p.server, r.server)))
	}
	if err := x.askedFor("the session key", int32(p.key.ID())); err != nil {
		return nil, err
	}
	cred := &Credentials{Client: x.Client, Server: x.Server, Ticket: r.ticket, Key: p.key, EndTime: p.endTime}
	if off := time.Until(p.authTime); off.Abs() > maxClockOffset {
		if !x.SyncTime && off.Abs() > x.Config.LibDefaults.Clockskew {
			return nil, fmt.Errorf("%w: the KDC's clock is %v ahead of this host's", ErrKDCSkew, off.Round(time.Second))
		}
		if x.SyncTime {
			cred.Offset = off
		}
	}
	return cred, nil
}

// askedFor refuses what is of an enctype that the request does not list.
func (x *asExchange) askedFor(what string, id int32) error {
	if slices.Contains(x.req.ReqBody.EType, id) {
		return nil
	}
	return fmt.Errorf("%w: %s is of the enctype %v, which was not asked for", ErrKDCReply, what, enctype.ID(id))
}
