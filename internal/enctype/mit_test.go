package enctype

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
)

// hexBytes is a byte string in hexadecimal in a JSON file; null gives nil.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	*h = b
	return err
}

// mitCase is what libk5crypto computed for one encryption type; see
// testdata/mit.py.
type mitCase struct {
	Enctype     ID                             `json:"enctype"`
	Key         hexBytes                       `json:"key"`
	RandomToKey []struct{ Seed, Key hexBytes } `json:"random_to_key"`
	Stateless   []struct {
		Usage         uint32
		Plain, Cipher hexBytes
	}
	Chain     []struct{ Plain, Cipher, State hexBytes }
	Checksums []struct {
		Type      int32
		Usage     uint32
		Data, Sum hexBytes
	}
	PRF         []struct{ In, Out, Plus hexBytes }
	StringToKey []struct {
		Password, Salt string
		Params, Key    hexBytes
	} `json:"string_to_key"`
}

func mitCases(t *testing.T) []mitCase {
	t.Helper()
	b, err := os.ReadFile("testdata/mit.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []mitCase
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) != len(All()) {
		t.Fatalf("%d cases, want one for each of %d types", len(cases), len(All()))
	}
	return cases
}

func mustKey(t testing.TB, id ID, b []byte) *Key {
	t.Helper()
	k, err := NewKey(id, b)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// samePlain allows the zero padding of DES3.
func samePlain(id ID, got, want []byte) bool {
	if id == DES3 && len(got)-len(want) < 8 && len(got) >= len(want) {
		return bytes.Equal(bytes.TrimRight(got[len(want):], "\x00"), nil) && bytes.Equal(got[:len(want)], want)
	}
	return bytes.Equal(got, want)
}

func TestMITStateless(t *testing.T) {
	for _, c := range mitCases(t) {
		k := mustKey(t, c.Enctype, c.Key)
		for _, m := range c.Stateless {
			if n := c.Enctype.CiphertextLen(len(m.Plain)); n != len(m.Cipher) {
				t.Errorf("%v: CiphertextLen(%d) = %d, want %d", c.Enctype, len(m.Plain), n, len(m.Cipher))
			}
			got, err := k.Decrypt(nil, m.Cipher, m.Usage)
			if err != nil || !samePlain(c.Enctype, got, m.Plain) {
				t.Errorf("%v usage %d: Decrypt = %x, %v, want %x", c.Enctype, m.Usage, got, err, m.Plain)
			}
		}
	}
}

func TestMITChain(t *testing.T) {
	for _, c := range mitCases(t) {
		k := mustKey(t, c.Enctype, c.Key)
		open, seal := k.NewStream(13), k.NewStream(13)
		for i, m := range c.Chain {
			t.Run(fmt.Sprintf("%v/%d", c.Enctype, i), func(t *testing.T) {
				if got := open.chain.iv.iv[:len(m.State)]; !bytes.Equal(got, m.State) {
					t.Errorf("state before = %x, want %x", got, m.State)
				}
				confounder, got := openForTest(t, open, m.Cipher)
				if !samePlain(c.Enctype, got, m.Plain) {
					t.Errorf("plaintext = %x, want %x", got, m.Plain)
				}
				seal.random.preset(confounder)
				sealed, err := seal.Seal(nil, m.Plain)
				if err != nil || !bytes.Equal(sealed, m.Cipher) {
					t.Errorf("Seal = %x, %v, want %x", sealed, err, m.Cipher)
				}
			})
		}
	}
}

// openForTest is Open, but also gives the confounder.
func openForTest(t *testing.T, s *Stream, ciphertext []byte) (confounder, plain []byte) {
	t.Helper()
	buf := bytes.Clone(ciphertext)
	iv, err := s.Next(buf)
	if err != nil {
		t.Fatal(err)
	}
	plain, err = s.OpenAt(iv, buf)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := s.u.p.split(buf)
	return body[:s.u.p.confounder], plain
}

// preset makes the next confounder known.
func (c *confounders) preset(confounder []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = bytes.Clone(confounder)
}

func TestMITChecksums(t *testing.T) {
	for _, c := range mitCases(t) {
		k := mustKey(t, c.Enctype, c.Key)
		for _, m := range c.Checksums {
			name := fmt.Sprintf("%v, type %d, usage %d", c.Enctype, m.Type, m.Usage)
			err := k.VerifyChecksum(m.Type, m.Sum, m.Data, m.Usage)
			if m.Sum == nil {
				if !errors.Is(err, ErrChecksumType) || errors.Is(err, ErrUnkeyed) {
					t.Errorf("%s: VerifyChecksum = %v, want ErrChecksumType", name, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: VerifyChecksum = %v", name, err)
			}
			m.Sum[len(m.Sum)-1] ^= 1
			if err := k.VerifyChecksum(m.Type, m.Sum, m.Data, m.Usage); !errors.Is(err, ErrChecksum) {
				t.Errorf("%s: VerifyChecksum of a changed sum = %v, want ErrChecksum", name, err)
			}
			m.Sum[len(m.Sum)-1] ^= 1
			if m.Type == c.Enctype.ChecksumType() {
				if got := k.Checksum(nil, m.Data, m.Usage); !bytes.Equal(got, m.Sum) {
					t.Errorf("%s: Checksum = %x, want %x", name, got, m.Sum)
				}
			}
		}
	}
}

func TestMITPRF(t *testing.T) {
	for _, c := range mitCases(t) {
		k := mustKey(t, c.Enctype, c.Key)
		for _, m := range c.PRF {
			if got := k.PRF(m.In); !bytes.Equal(got, m.Out) {
				t.Errorf("%v: PRF(%x) = %x, want %x", c.Enctype, []byte(m.In), got, []byte(m.Out))
			}
			got, err := k.PRFPlus(m.In, len(m.Plus))
			if err != nil || !bytes.Equal(got, m.Plus) {
				t.Errorf("%v: PRFPlus(%x) = %x, %v, want %x", c.Enctype, []byte(m.In), got, err, []byte(m.Plus))
			}
		}
	}
}

func TestMITKeys(t *testing.T) {
	for _, c := range mitCases(t) {
		for _, m := range c.RandomToKey {
			if got := c.Enctype.profile().randomToKey(m.Seed); !bytes.Equal(got, m.Key) {
				t.Errorf("%v: randomToKey(%x) = %x, want %x", c.Enctype, []byte(m.Seed), got, []byte(m.Key))
			}
		}
		for _, m := range c.StringToKey {
			k, err := StringToKey(c.Enctype, m.Password, m.Salt, m.Params)
			switch {
			case m.Key == nil && !errors.Is(err, ErrParams):
				t.Errorf("%v: StringToKey with parameters %x: %v, want ErrParams", c.Enctype, []byte(m.Params), err)
			case m.Key != nil && err != nil:
				t.Errorf("%v: StringToKey(%q, %q, %x): %v", c.Enctype, m.Password, m.Salt, []byte(m.Params), err)
			case m.Key != nil && !bytes.Equal(k.Bytes(), m.Key):
				t.Errorf("%v: StringToKey(%q, %q, %x) = %x, want %x", c.Enctype, m.Password, m.Salt, []byte(m.Params), k.Bytes(), []byte(m.Key))
			}
		}
	}
}
