// Package transport is an authenticated, encrypted conversation between two
// hosts, and MIT's database propagation protocol kprop5_01 on it.
//
// The conversation is opened by the exchange that MIT calls sendauth and
// recvauth: version strings, AP-REQ, AP-REP. GetCredentials and Initiate are
// the client's half, Acceptor.Accept is the server's. Both give a Conn, whose
// SendDatabase and ReceiveDatabase move an io.Reader of known size and an
// answer. For krdist, RequestStream and ReadRequest make a Stream of it, on
// which both sides talk. The package knows nothing of databases or files.
//
// Everything here follows reference kprop-protocol.md; the numbers in comments
// are its chapters. It differs from MIT's programs only where they are at fault
// (chapter 19): lengths are bounded before memory is taken, every read and
// write has a deadline, the acceptor puts a fresh subkey into its AP-REP, so
// that a recorded conversation is worthless, and the peer is told the reason
// of a refusal.
package transport

import "time"

// KpropVersion is the application version string of kprop and kpropd, without
// the NUL which ends it on the wire.
const KpropVersion = "kprop5_01"

const sendauthVersion = "KRB5_SENDAUTH_V1.0"

// Bounds on the length word of a message, in bytes.
const (
	// MaxUnauthenticated bounds every message before the peer is
	// authenticated, and the answers that a sender reads.
	MaxUnauthenticated = 64 << 10
	// MaxBlock bounds a message with database data. MIT sends 32 KiB blocks;
	// its kpropd takes larger ones.
	MaxBlock = 1 << 20
)

// BlockSize is how much of the database one KRB-PRIV carries, as in MIT's
// kprop, in bytes.
const BlockSize = 32768

// Defaults of Timeouts.
const (
	DefaultHandshakeTimeout = 10 * time.Second
	// DefaultInitiateTimeout is the client's limit on the handshake. It is
	// longer, since MIT's kpropd serves one connection after the other.
	DefaultInitiateTimeout = 2 * time.Minute
	DefaultIdleTimeout     = 60 * time.Second
	// DefaultAnswerTimeout is longer than kpropd gives a load.
	DefaultAnswerTimeout = 70 * time.Minute
)

// Timeouts bounds how long a conversation may stand still. Zero values mean the
// defaults. There is no limit on the whole while bytes flow.
type Timeouts struct {
	Handshake time.Duration // the whole of the authentication
	Idle      time.Duration // one read or write that makes no progress
	Answer    time.Duration // the sender's wait while the receiver loads
}

func (t Timeouts) handshake() time.Duration { return orDefault(t.Handshake, DefaultHandshakeTimeout) }
func (t Timeouts) idle() time.Duration      { return orDefault(t.Idle, DefaultIdleTimeout) }
func (t Timeouts) answer() time.Duration    { return orDefault(t.Answer, DefaultAnswerTimeout) }

func orDefault(d, def time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return def
}

// Key usages (RFC 4120 7.5.1).
const (
	usageASReqTimestamp = 1
	usageTicket         = 2
	usageASRep          = 3
	usageAuthenticator  = 11
	usageAPRep          = 12
	usagePriv           = 13
	usageSafe           = 15
)
