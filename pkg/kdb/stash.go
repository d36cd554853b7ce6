package kdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/internal/keytab"
)

// MasterKey is one version of a realm's master key. Printing it shows no key
// bytes.
type MasterKey struct {
	Principal string // text of the name, normally K/M@REALM; empty in a legacy stash, which has none
	KVNO      uint32 // 0 if not Known
	Known     bool   // whether there is a kvno; false in a legacy stash
	EType     enctype.ID
	Key       *enctype.Key // nil if the enctype is not supported
}

// String is the kvno and enctype.
func (k MasterKey) String() string {
	if !k.Known {
		return fmt.Sprintf("kvno unknown, %v", k.EType)
	}
	return fmt.Sprintf("kvno %d, %v", k.KVNO, k.EType)
}

// GoString is String.
func (k MasterKey) GoString() string { return k.String() }

// Stash is the content of a stash file.
type Stash struct {
	Path   string         // empty after ParseStash
	Legacy bool           // the old raw format, with one key and no kvno
	Keys   []MasterKey    // in the order of the file; at least one
	first  map[string]int // by principal: which of Keys MIT's programs take
}

// maxStashKeys is far above what any realm has.
const maxStashKeys = 1000

// ErrStash is wrapped by every error about the form of a stash file.
var ErrStash = errors.New("malformed stash file")

// LoadStash reads a stash file under a shared lock. Files of up to
// keytab.MaxSize bytes are accepted.
func LoadStash(path string) (*Stash, error) {
	data, err := keytab.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read stash %s: %w", path, err)
	}
	s, err := ParseStash(data)
	if err != nil {
		return nil, fmt.Errorf("read stash %s: %w", path, err)
	}
	s.Path = path
	return s, nil
}

// ParseStash reads both formats of reference kdb-formats.md 3.4: a keytab, and
// what does not begin as one in the legacy format. Errors wrap ErrStash and hold
// nothing of the content.
func ParseStash(data []byte) (*Stash, error) {
	if len(data) >= 2 && data[0] == 5 && (data[1] == 1 || data[1] == 2) {
		return parseKeytabStash(data)
	}
	return parseLegacyStash(data)
}

func parseKeytabStash(data []byte) (*Stash, error) {
	kt, err := keytab.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStash, err)
	}
	if len(kt.Entries) == 0 {
		return nil, fmt.Errorf("%w: it holds no key", ErrStash)
	}
	if len(kt.Entries) > maxStashKeys {
		return nil, fmt.Errorf("%w: %d keys, at most %d are allowed", ErrStash, len(kt.Entries), maxStashKeys)
	}
	s := &Stash{first: make(map[string]int)}
	for _, e := range kt.Entries {
		k, err := stashEntry(e)
		if err != nil {
			return nil, err
		}
		s.Keys = append(s.Keys, k)
	}
	for _, p := range kt.Principals() {
		kvno := kt.Newest(p)[0].KVNO
		s.first[p.String()] = slices.IndexFunc(s.Keys, func(k MasterKey) bool {
			return k.KVNO == kvno && k.Principal == p.String()
		})
	}
	return s, nil
}

func stashEntry(e keytab.Entry) (MasterKey, error) {
	k := MasterKey{Principal: e.Principal.String(), KVNO: e.KVNO, Known: true, EType: enctype.ID(e.EType)}
	var err error
	if k.Key, err = enctype.NewKey(k.EType, e.Key); err != nil && !errors.Is(err, enctype.ErrUnknown) {
		return k, fmt.Errorf("%w: %s, %v: %w", ErrStash, k.Principal, k, err)
	}
	return k, nil
}

// parseLegacyStash accepts both byte orders, since MIT can be built to use the
// foreign one: only one can have a known enctype and a fitting length.
func parseLegacyStash(data []byte) (*Stash, error) {
	const header = 6
	if len(data) <= header {
		return nil, fmt.Errorf("%w: neither a keytab nor of the legacy format: %d bytes", ErrStash, len(data))
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		id := enctype.ID(int16(order.Uint16(data)))
		if int64(order.Uint32(data[2:])) != int64(len(data)-header) {
			continue
		}
		key, err := enctype.NewKey(id, data[header:])
		if err == nil {
			return &Stash{Legacy: true, Keys: []MasterKey{{EType: id, Key: key}}}, nil
		}
	}
	return nil, fmt.Errorf("%w: neither a keytab nor of the legacy format with a supported enctype", ErrStash)
}

// newest is the key that MIT's programs take from the stash: of the newest
// kvno the first in the file (reference kdb-formats.md 3.5).
func (s *Stash) newest(name string) (MasterKey, error) {
	if s.Legacy {
		return s.Keys[0], nil
	}
	i, ok := s.first[name]
	if !ok {
		return MasterKey{}, fmt.Errorf("the stash%s has no key for %s, it has one for %s", s.at(), name, s.Keys[0].Principal)
	}
	return s.Keys[i], nil
}

func (s *Stash) at() string {
	if s.Path == "" {
		return ""
	}
	return " " + s.Path
}
