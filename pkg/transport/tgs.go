package transport

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kprop/kprop/internal/ccache"
	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/profile"
)

const (
	tagTGSReq = 12
	tagTGSRep = 13
	paTGSReq  = 1

	// RFC 4120 7.5.1
	usageTGSReqChecksum      = 6
	usageTGSReqAuthenticator = 7
	usageTGSRep              = 8 // with the session key of the ticket-granting ticket
)

// Errors of CacheCredentials besides those of ccache.Load, a RemoteError of the
// KDC and ErrKDCUnreachable.
var (
	// ErrNoCache says that there is no credential cache. MIT's text.
	ErrNoCache = errors.New("No credentials cache found")
	// ErrNoTGT says that the cache has no ticket-granting ticket that could be
	// used. MIT's text.
	ErrNoTGT = errors.New("Matching credential not found")
	// ErrTGTExpired says that it has one that is over. MIT's text.
	ErrTGTExpired = errors.New("Ticket expired")
)

// CacheCredentials gets a ticket for server as the client of the credential
// cache of that name: one that is in the cache, or one from the KDC of the
// server's realm by a ticket-granting ticket, if need be by way of the KDC of
// the client's realm. The cache is only read.
func CacheCredentials(ctx context.Context, p *profile.Profile, cacheName string, server principal.Name) (*Credentials, error) {
	cache, err := ccache.Load(cacheName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w (get a ticket with kinit)", ErrNoCache, err)
	}
	if err != nil {
		return nil, err
	}
	x := tgsExchange{p: p, cache: cache, now: time.Now()}
	if syncTime(p) {
		x.offset = cache.Offset
	}
	return x.get(ctx, server)
}

// tgsExchange gets tickets by other tickets (RFC 4120 3.3).
type tgsExchange struct {
	p      *profile.Profile
	cache  *ccache.Cache
	now    time.Time
	offset time.Duration // of the KDC's clock
}

func (x *tgsExchange) get(ctx context.Context, server principal.Name) (*Credentials, error) {
	if cred, err := x.cached(server); err == nil {
		return cred, nil
	}
	home := x.cache.Client.Realm
	tgt, err := x.cached(principal.New(home, "krbtgt", home))
	if server.Realm != home {
		cross := principal.New(home, "krbtgt", server.Realm)
		other, otherErr := x.cached(cross)
		if otherErr != nil && err == nil {
			other, otherErr = x.ask(ctx, tgt, cross)
		}
		tgt, err = other, otherErr
	}
	if err != nil {
		return nil, err
	}
	return x.ask(ctx, tgt, server)
}

// leastLife is what a ticket must be valid for still, to be used.
const leastLife = time.Minute

// cached gives a ticket of the cache.
func (x *tgsExchange) cached(server principal.Name) (*Credentials, error) {
	c, ok := x.cache.Find(server)
	if !ok {
		return nil, fmt.Errorf("%w: %s has no ticket of %v for %v (get one with kinit)", ErrNoTGT, x.cache.Name, x.cache.Client, server)
	}
	if left := c.EndTime.Sub(x.now.Add(x.offset)); left < leastLife {
		return nil, fmt.Errorf("%w: that of %v for %v in %s ended %v (get a new one with kinit)", ErrTGTExpired, x.cache.Client, server,
			x.cache.Name, c.EndTime.UTC().Format(time.RFC3339))
	}
	key, err := enctype.NewKey(enctype.ID(c.EType), c.Key)
	if err != nil {
		return nil, fmt.Errorf("the ticket for %v in %s: %w", server, x.cache.Name, err)
	}
	if _, ok := parseTicket(c.Ticket); !ok {
		return nil, fmt.Errorf("%w: the ticket for %v in %s is malformed", ccache.ErrFormat, server, x.cache.Name)
	}
	return &Credentials{Client: c.Client, Server: server, Ticket: c.Ticket, Key: key, EndTime: c.EndTime, Offset: x.offset}, nil
}

// ask gets a ticket from the KDC of the realm for which the other one is.
func (x *tgsExchange) ask(ctx context.Context, tgt *Credentials, server principal.Name) (*Credentials, error) {
	realm := tgt.Server.Components[1]
	kdcs, err := x.p.KDCs(ctx, realm)
	if err != nil {
		return nil, err
	}
	etypes, err := x.p.PermittedEnctypes()
	if err != nil {
		return nil, err
	}
	cfg, err := x.p.Gokrb5(ctx, realm)
	if err != nil {
		return nil, err
	}
	var random [4]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, err
	}
	r := tgsRequest{tgt: tgt, server: server, etypes: etypes, nonce: int64(binary.BigEndian.Uint32(random[:]) & 0x7fffffff)}
	r.time = time.Now().Add(x.offset).UTC().Truncate(time.Microsecond)
	req, err := r.marshal()
	if err != nil {
		return nil, fmt.Errorf("encode TGS request: %w", err)
	}
	reply, err := askTicket(ctx, kdcs, req, cfg.LibDefaults.UDPPreferenceLimit)
	if err != nil {
		return nil, fmt.Errorf("ask for a ticket for %v: %w", server, err)
	}
	return r.open(reply, x.offset)
}

// tgsRequest is a TGS-REQ (RFC 4120 5.4.1).
type tgsRequest struct {
	tgt    *Credentials
	server principal.Name
	etypes []int32
	nonce  int64
	time   time.Time
}

// body is the KDC-REQ-BODY. No option is set, and the ticket may live as long
// as the one by which it is asked for.
func (r *tgsRequest) body() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(ctxTag(0), func(b *cryptobyte.Builder) { b.AddASN1BitString(make([]byte, 4)) })
		addString(b, 2, r.server.Realm)
		addName(b, 3, r.server)
		addTime(b, 5, r.tgt.EndTime)
		addInt(b, 7, r.nonce)
		b.AddASN1(ctxTag(8), func(b *cryptobyte.Builder) {
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, id := range r.etypes {
					b.AddASN1Int64(int64(id))
				}
			})
		})
	})
	return b.Bytes()
}

// apReq proves to the KDC who asks, and for what.
func (r *tgsRequest) apReq(body []byte) ([]byte, error) {
	key := r.tgt.Key
	auth := authenticator{client: r.tgt.Client, time: r.time}
	auth.sumType, auth.sum = key.ID().ChecksumType(), key.Checksum(nil, body, usageTGSReqChecksum)
	plain, err := auth.marshal()
	if err != nil {
		return nil, err
	}
	cipher, err := key.Encrypt(nil, plain, usageTGSReqAuthenticator)
	if err != nil {
		return nil, err
	}
	return marshalAPReq(0, r.tgt.Ticket, key.ID(), cipher)
}

func (r *tgsRequest) marshal() ([]byte, error) {
	body, err := r.body()
	if err != nil {
		return nil, err
	}
	ap, err := r.apReq(body)
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(appTag(tagTGSReq), func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addInt(b, 1, 5)
			addInt(b, 2, tagTGSReq)
			b.AddASN1(ctxTag(3), func(b *cryptobyte.Builder) {
				b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
						addInt(b, 1, paTGSReq)
						b.AddASN1(ctxTag(2), func(b *cryptobyte.Builder) { b.AddASN1OctetString(ap) })
					})
				})
			})
			b.AddASN1(ctxTag(4), func(b *cryptobyte.Builder) { b.AddBytes(body) })
		})
	})
	return b.Bytes()
}

// open decrypts and checks the reply (RFC 4120 3.3.4).
func (r *tgsRequest) open(reply []byte, offset time.Duration) (*Credentials, error) {
	rep, bad := parseKDCRep(reply, tagTGSRep)
	if bad != nil {
		return nil, bad
	}
	plain, bad := decrypt(r.tgt.Key, rep.enc, usageTGSRep)
	if bad != nil {
		return nil, bad
	}
	p, bad := parseEncKDCRepPart(plain)
	if bad != nil {
		return nil, bad
	}
	if p.nonce != r.nonce || !rep.client.Equal(r.tgt.Client) || !p.server.Equal(r.server) || !rep.server.Equal(r.server) {
		return nil, fmt.Errorf("%w: %s", ErrKDCReply, cleanText(fmt.Sprintf("it is for client %v, server %v, with a ticket for %v", rep.client, p.server, rep.server)))
	}
	// The request's list of enctypes is protected, but not what the KDC does.
	if !slices.Contains(r.etypes, int32(p.key.ID())) {
		return nil, fmt.Errorf("%w: the session key is of the enctype %v, which was not asked for", ErrKDCReply, p.key.ID())
	}
	return &Credentials{Client: r.tgt.Client, Server: r.server, Ticket: rep.ticket, Key: p.key, EndTime: p.endTime, Offset: offset}, nil
}
