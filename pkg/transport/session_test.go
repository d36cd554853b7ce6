package transport

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/internal/rcache"
)

const sessions = "../../testdata/kprop5_01"

type hexBytes []byte

func (h *hexBytes) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	var err error
	*h, err = hex.DecodeString(s)
	return err
}

// zulu is a KerberosTime.
type zulu struct{ time.Time }

func (z *zulu) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil || s == "" {
		return err
	}
	var err error
	z.Time, err = time.Parse(kerberosTime, s)
	return err
}

// named is a principal in text form.
type named struct{ principal.Name }

func (n *named) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil || s == "" {
		return err
	}
	var err error
	n.Name, err = principal.Parse(s, "")
	return err
}

type recordedAddress struct {
	Type int32
	Hex  hexBytes
}

func (a recordedAddress) address() address { return address{a.Type, a.Hex} }

type recordedSafe struct {
	UserData  hexBytes `json:"user_data"`
	Seq       uint32
	SAddress  recordedAddress `json:"s_address"`
	Cksumtype int32
	Checksum  hexBytes
}

// decoded is what info.json says about the messages of a session.
type decoded struct {
	C2S     [][2]int `json:"c2s_messages"` // offset of the length word, message length
	S2C     [][2]int `json:"s2c_messages"`
	Version string   `json:"sendauth_version"`
	App     string   `json:"appl_version"`
	Byte    byte     `json:"response_byte"`
	APReq   *struct {
		Options hexBytes `json:"ap_options"`
		Realm   string   `json:"ticket_realm"`
		SName   string   `json:"ticket_sname"`
		EType   int32    `json:"ticket_etype"`
		KVNO    uint32   `json:"ticket_kvno"`
	} `json:"ap_req"`
	Ticket struct {
		Flags     hexBytes
		EType     int32    `json:"session_etype"`
		Key       hexBytes `json:"session_key"`
		CRealm    string
		CName     string
		AuthTime  zulu
		StartTime *zulu
		EndTime   zulu
	}
	Authenticator struct {
		EType  int32
		CRealm string
		CName  string
		CUsec  int64
		CTime  zulu
		Seq    uint32
		Plain  hexBytes `json:"plaintext_hex"`
	}
	Tag   hexBytes `json:"rcache_tag"`
	APRep *struct {
		EType int32
		CTime zulu
		CUsec int64
		Seq   uint32
		Plain hexBytes `json:"plaintext_hex"`
	} `json:"ap_rep"`
	Size   *recordedSafe `json:"size_safe"`
	Ack    *recordedSafe `json:"ack_safe"`
	Blocks []struct {
		Offset, Length int
		EType          int32
		CipherLen      int `json:"ciphertext_len"`
		Trailing       int `json:"plaintext_trailing_bytes"`
		DataLen        int `json:"user_data_len"`
		Seq            uint32
		SAddress       recordedAddress `json:"s_address"`
	} `json:"priv_blocks"`
	Error *struct {
		STime zulu
		SUsec int64
		Code  Code `json:"error_code"`
		Realm string
		SName string
		Text  string `json:"e_text"`
	} `json:"krb_error"`
}

// session is one recorded session.
type session struct {
	dir      string
	sent     []byte   // by kprop
	answered []byte   // by kpropd
	c2s, s2c [][]byte // messages
	dump     []byte
	info     struct {
		Case         string
		Server       named  `json:"server_principal"`
		TicketServer *named `json:"ticket_server_principal"`
		DumpSize     uint64 `json:"dump_size"`
		Decoded      decoded
	}
}

func sessionDirs(t testing.TB) []string {
	t.Helper()
	infos, err := filepath.Glob(sessions + "/*/info.json")
	if err != nil || len(infos) < 20 {
		t.Fatalf("%d recorded sessions in %s (%v), want 20", len(infos), sessions, err)
	}
	for i := range infos {
		infos[i] = filepath.Dir(infos[i])
	}
	return infos
}

// loadSessions gives all recorded sessions.
func loadSessions(t testing.TB) []*session {
	t.Helper()
	var all []*session
	for _, dir := range sessionDirs(t) {
		all = append(all, loadSession(t, dir))
	}
	return all
}

func loadSession(t testing.TB, dir string) *session {
	t.Helper()
	s := &session{dir: dir}
	if err := json.Unmarshal(s.file(t, "info.json"), &s.info); err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	s.dump = s.file(t, "dump")
	s.sent = s.file(t, "client-to-server.bin")
	s.answered = s.file(t, "server-to-client.bin")
	s.c2s = cutMessages(t, s.sent)
	s.s2c = cutMessages(t, s.answered[1:])
	return s
}

func (s *session) name() string { return filepath.Base(s.dir) }

func (s *session) file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// cutMessages cuts a byte stream with the package's own reader.
func cutMessages(t testing.TB, stream []byte) (all [][]byte) {
	t.Helper()
	f := newFramed(newMemConn(stream), time.Minute)
	for {
		m, err := f.readMessage(nil, MaxBlock)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
}

// authenticated reports whether an AP-REQ was sent.
func (s *session) authenticated() bool { return s.info.Decoded.APReq != nil }

func (s *session) key(t testing.TB) *enctype.Key {
	t.Helper()
	d := &s.info.Decoded.Ticket
	k, err := enctype.NewKey(enctype.ID(d.EType), d.Key)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// time is when the client made its authenticator.
func (s *session) time() time.Time {
	a := &s.info.Decoded.Authenticator
	return a.CTime.Add(time.Duration(a.CUsec) * time.Microsecond)
}

func (s *session) keytab(t testing.TB) *keytab.Keytab {
	t.Helper()
	kt, err := keytab.Load("FILE:" + filepath.Join(s.dir, "keytab"))
	if err != nil {
		t.Fatal(err)
	}
	return kt
}

// acceptor is a kpropd of ours in the place and at the time of the recorded
// one.
func (s *session) acceptor(t testing.TB, replays *rcache.Cache) *Acceptor {
	t.Helper()
	kt, now := s.keytab(t), s.time()
	return &Acceptor{
		Application: KpropVersion,
		Principals:  []principal.Name{s.info.Server.Name},
		Keytab:      func() (*keytab.Keytab, error) { return kt, nil },
		Replays:     replays,
		Now:         func() time.Time { return now },
	}
}

func newReplays(t testing.TB, path string) *rcache.Cache {
	t.Helper()
	c, err := rcache.New("file2", path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// samePlain compares DER with a decrypted text, which for des3 may end in
// padding.
func samePlain(id enctype.ID, der, plain []byte) bool {
	if id == enctype.DES3 && len(plain) >= len(der) && len(plain)-len(der) < 8 {
		return bytes.HasPrefix(plain, der) && strings.Trim(string(plain[len(der):]), "\x00") == ""
	}
	return bytes.Equal(der, plain)
}

// memConn is a connection that gives fixed bytes and keeps what is written.
type memConn struct {
	in     *bytes.Reader
	out    bytes.Buffer
	closed atomic.Bool
}

func newMemConn(b []byte) *memConn { return &memConn{in: bytes.NewReader(b)} }

func (c *memConn) Read(p []byte) (int, error) {
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	return c.in.Read(p)
}

func (c *memConn) Write(p []byte) (int, error) {
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	return c.out.Write(p)
}

func (c *memConn) Close() error                     { c.closed.Store(true); return nil }
func (c *memConn) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 754} }
func (c *memConn) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 40000} }
func (c *memConn) SetDeadline(time.Time) error      { return nil }
func (c *memConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memConn) SetWriteDeadline(time.Time) error { return nil }
