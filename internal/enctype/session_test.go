package enctype

import (
	"bytes"
	"encoding/asn1"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

const sessions = "../../testdata/kprop5_01"

// session is the part of a recorded session's info.json that tells keys and
// expected values.
type session struct {
	TicketServer string `json:"ticket_server_principal"`
	Decoded      struct {
		Keytab []struct {
			Principal string
			Etype     ID
			Key       hexBytes
		}
		Ticket        struct{ Session_Key hexBytes }
		Authenticator struct {
			Plaintext_Hex hexBytes
		}
		AP_Rep struct {
			Plaintext_Hex hexBytes
		}
		Priv_Blocks []struct {
			IV_In, IV_Out json.RawMessage // null for RC4
		}
	}
}

func TestRecordedSessions(t *testing.T) {
	infos, err := filepath.Glob(sessions + "/*/info.json")
	if err != nil || len(infos) == 0 {
		t.Fatalf("no recorded sessions in %s (%v)", sessions, err)
	}
	seen, blocks := make(map[ID]bool), 0
	for _, info := range infos {
		dir := filepath.Dir(info)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			r := &replay{t: t, dir: dir}
			r.load()
			if len(r.c2s) < 3 {
				return // ended before the AP-REQ
			}
			r.apReq(r.c2s[2])
			seen[r.key.ID()] = true
			if len(r.s2c) < 2 {
				return // rejected
			}
			r.apRep(r.s2c[1])
			r.safe(r.c2s[3])
			blocks += r.priv(r.c2s[4:])
			if len(r.s2c) > 2 {
				r.safe(r.s2c[2])
			}
		})
	}
	if len(seen) != len(All()) || blocks < 30 {
		t.Errorf("sessions cover %d encryption types and %d blocks, want all %d types", len(seen), blocks, len(All()))
	}
}

type replay struct {
	t        *testing.T
	dir      string
	info     session
	c2s, s2c [][]byte
	dump     []byte
	key      *Key // of the session
}

func (r *replay) file(name string) []byte {
	r.t.Helper()
	b, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

func (r *replay) load() {
	if err := json.Unmarshal(r.file("info.json"), &r.info); err != nil {
		r.t.Fatal(err)
	}
	r.dump = r.file("dump")
	r.c2s = r.messages(r.file("client-to-server.bin"))
	r.s2c = r.messages(r.file("server-to-client.bin")[1:])
}

func (r *replay) messages(b []byte) (all [][]byte) {
	for len(b) > 0 {
		n := binary.BigEndian.Uint32(b)
		all = append(all, b[4:4+n])
		b = b[4+n:]
	}
	return all
}

// contents strips one tag and length.
func (r *replay) contents(der []byte) []byte {
	r.t.Helper()
	var v asn1.RawValue
	if _, err := asn1.Unmarshal(der, &v); err != nil {
		r.t.Fatal(err)
	}
	return v.Bytes
}

// field finds the element with an explicit context tag among the contents of a
// SEQUENCE and gives what the tag wraps.
func (r *replay) field(seq []byte, tag int) []byte {
	r.t.Helper()
	for len(seq) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(seq, &v)
		if err != nil {
			r.t.Fatal(err)
		}
		if v.Class == asn1.ClassContextSpecific && v.Tag == tag {
			return v.Bytes
		}
		seq = rest
	}
	r.t.Fatalf("no field [%d]", tag)
	return nil
}

// application gives the fields of a message with an application tag.
func (r *replay) application(der []byte) []byte { return r.contents(r.contents(der)) }

// cipher gives the bytes of an EncryptedData.
func (r *replay) cipher(der []byte) []byte {
	return r.contents(r.field(r.contents(der), 2))
}

func (r *replay) decrypt(k *Key, ciphertext []byte, usage uint32) []byte {
	r.t.Helper()
	plain, err := k.Decrypt(nil, ciphertext, usage)
	if err != nil {
		r.t.Fatalf("usage %d: %v", usage, err)
	}
	return plain
}

func (r *replay) apReq(msg []byte) {
	fields := r.application(msg)
	ticket := r.cipher(r.field(r.application(r.field(fields, 3)), 3))
	for _, e := range r.info.Decoded.Keytab {
		if e.Principal != r.info.TicketServer {
			continue
		}
		part := r.application(r.decrypt(mustKey(r.t, e.Etype, e.Key), ticket, 2))
		key := r.contents(r.field(part, 1))
		id := ID(new64(r.contents(r.field(key, 0))))
		r.key = mustKey(r.t, id, r.contents(r.field(key, 1)))
	}
	if r.key == nil || !bytes.Equal(r.key.Bytes(), r.info.Decoded.Ticket.Session_Key) {
		r.t.Fatal("session key differs from the recorded one")
	}
	got := r.decrypt(r.key, r.cipher(r.field(fields, 4)), 11)
	r.same("authenticator", got, r.info.Decoded.Authenticator.Plaintext_Hex)
}

func (r *replay) apRep(msg []byte) {
	got := r.decrypt(r.key, r.cipher(r.field(r.application(msg), 2)), 12)
	r.same("AP-REP", got, r.info.Decoded.AP_Rep.Plaintext_Hex)
}

func (r *replay) same(what string, got, want []byte) {
	r.t.Helper()
	if len(want) == 0 || !samePlain(r.key.ID(), got, want) {
		r.t.Errorf("%s = %x, want %x", what, got, want)
	}
}

// safe verifies a KRB-SAFE over the message with a blank checksum, as MIT does.
func (r *replay) safe(msg []byte) {
	fields := r.application(msg)
	cksum := r.contents(r.field(fields, 3))
	ctype := int32(new64(r.contents(r.field(cksum, 0))))
	sum := r.contents(r.field(cksum, 1))

	blank := append([]byte("\xa0\x03\x02\x01\x05\xa1\x03\x02\x01\x14"), tlv(0xa2, r.field(fields, 2))...)
	blank = append(blank, "\xa3\x0b\x30\x09\xa0\x03\x02\x01\x00\xa1\x02\x04\x00"...)
	blank = tlv(0x74, tlv(0x30, blank))

	if ctype != r.key.ID().ChecksumType() {
		r.t.Errorf("checksum type %d, want %d", ctype, r.key.ID().ChecksumType())
	}
	if err := r.key.VerifyChecksum(ctype, sum, blank, 15); err != nil {
		r.t.Errorf("KRB-SAFE: %v", err)
	}
	if got := r.key.Checksum(nil, blank, 15); !bytes.Equal(got, sum) {
		r.t.Errorf("KRB-SAFE checksum = %x, want %x", got, sum)
	}
}

// priv decrypts the data blocks, compares them with the dump and with the
// recorded states, and encrypts them again to the same bytes.
func (r *replay) priv(msgs [][]byte) int {
	var data []byte
	open, seal := r.key.NewStream(13), r.key.NewStream(13)
	for i, msg := range msgs {
		want := r.cipher(r.field(r.application(msg), 3))
		confounder, plain := openForTest(r.t, open, want)
		r.state(i, open)
		data = append(data, r.contents(r.field(r.application(plain), 0))...)

		seal.random.preset(confounder)
		got, err := seal.Seal(nil, plain)
		if err != nil || !bytes.Equal(got, want) {
			r.t.Errorf("block %d: sealed bytes differ from the recorded ones (%v)", i, err)
		}
	}
	if !bytes.Equal(data, r.dump) {
		r.t.Errorf("%d bytes of data differ from the dump of %d bytes", len(data), len(r.dump))
	}
	return len(msgs)
}

func (r *replay) state(block int, s *Stream) {
	var want hexBytes
	raw := r.info.Decoded.Priv_Blocks[block].IV_Out
	if s.u.p.mode == modeRC4 {
		return
	}
	if err := json.Unmarshal(raw, &want); err != nil || len(want) == 0 {
		r.t.Fatalf("iv_out %s: %v", raw, err)
	}
	if got := s.chain.iv.iv[:len(want)]; !bytes.Equal(got, want) {
		r.t.Errorf("block %d: state after = %x, want %x", block, got, want)
	}
}

// new64 is the value of an INTEGER's contents.
func new64(b []byte) (n int64) {
	for i, c := range b {
		if i == 0 {
			n = int64(int8(c))
		} else {
			n = n<<8 | int64(c)
		}
	}
	return n
}

func tlv(tag byte, contents []byte) []byte {
	head := []byte{tag, byte(len(contents))}
	if len(contents) > 127 {
		head = []byte{tag, 0x82, byte(len(contents) >> 8), byte(len(contents))}
	}
	return append(head, contents...)
}
