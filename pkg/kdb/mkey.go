package kdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/kprop/kprop/internal/enctype"
	"github.com/kprop/kprop/pkg/dump"
)

// ErrDamaged is wrapped by errors about an entry that contradicts itself: a
// master key list that cannot be read, or key data that does not decrypt.
var ErrDamaged = errors.New("damaged entry")

// MasterKeyError says that a stash does not open a database.
type MasterKeyError struct {
	Stash     MasterKey // the key that was tried
	StashPath string    // may be empty
	Principal string    // K/M@REALM
	KVNO      uint32    // of its newest key
	EType     enctype.ID
}

func (e *MasterKeyError) Error() string {
	at := ""
	if e.StashPath != "" {
		at = " " + e.StashPath
	}
	return fmt.Sprintf("the stash%s (%v) does not open %s (kvno %d); take the stash of the host where the database was made, or there run: kdb5_util stash",
		at, e.Stash, e.Principal, e.KVNO)
}

// MasterKeys are all versions of a database's master key, opened. They never
// change and may be used by several goroutines at once.
type MasterKeys struct {
	Principal string      // K/M@REALM
	Keys      []MasterKey // in the order of K/M: newest first; never empty
	Findings  []Finding   // what is worth telling about stash and K/M
	active    []activation
}

// activation is an element of ACTKVNO: from that time on the version is used
// for new keys.
type activation struct {
	kvno uint32
	from uint32 // seconds since 1970
}

// OpenMasterKeys opens the K/M entry with a stash, as MIT's programs do
// (reference kdb-formats.md 3.5): the newest key of the stash opens the newest
// key of K/M, directly or, if K/M was re-keyed since, through MKEY_AUX; and that
// opens the others. The error is a *MasterKeyError when the stash does not fit,
// or wraps ErrDamaged.
func OpenMasterKeys(km *dump.Principal, stash *Stash) (*MasterKeys, error) {
	m := &MasterKeys{Principal: string(km.Name)}
	if len(km.Keys) == 0 {
		return nil, fmt.Errorf("%s has no keys: %w", m.Principal, ErrDamaged)
	}
	have, err := stash.newest(m.Principal)
	if err != nil {
		return nil, err
	}
	aux, auxErr := parseAux(km)
	newest, direct := openNewest(km, aux, have)
	if newest == nil {
		if auxErr != nil {
			return nil, fmt.Errorf("%s: %w", m.Principal, auxErr)
		}
		return nil, &MasterKeyError{have, stash.Path, m.Principal, uint32(km.Keys[0].KVNO), enctype.ID(km.Keys[0].Type[0])}
	}
	if err := m.openAll(km, newest); err != nil {
		return nil, err
	}
	if m.active, err = parseActive(km); err != nil {
		return nil, fmt.Errorf("%s: %w", m.Principal, err)
	}
	m.Findings = append(findStash(m, stash, have, direct), findEntry(m, km, aux, auxErr)...)
	return m, nil
}

// openNewest gives the newest master key, or nil; direct is false if it took
// MKEY_AUX.
func openNewest(km *dump.Principal, aux []auxNode, have MasterKey) (key *enctype.Key, direct bool) {
	if have.Key == nil {
		return nil, false
	}
	first := km.Keys[0]
	if have.EType == enctype.ID(first.Type[0]) {
		if key, err := openKeyData(have.Key, first.Type[0], first.Contents[0]); err == nil {
			return key, true
		}
	}
	for _, node := range aux {
		if key, err := openKeyData(have.Key, node.etype, node.data); err == nil {
			return key, false
		}
	}
	return nil, false
}

// openAll opens every version of K/M; all are encrypted with the newest.
func (m *MasterKeys) openAll(km *dump.Principal, newest *enctype.Key) error {
	for i, kd := range km.Keys {
		k := MasterKey{m.Principal, uint32(kd.KVNO), true, enctype.ID(kd.Type[0]), newest}
		if i > 0 {
			var err error
			k.Key, err = openKeyData(newest, kd.Type[0], kd.Contents[0])
			if err != nil && !errors.Is(err, enctype.ErrUnknown) {
				return fmt.Errorf("%s kvno %d, under kvno %d: %w", m.Principal, kd.KVNO, km.Keys[0].KVNO, err)
			}
		}
		m.Keys = append(m.Keys, k)
	}
	return nil
}

// openKeyData decrypts the stored form of a key (reference kdb-formats.md 3.1).
// Errors wrap ErrDamaged, or enctype.ErrUnknown for a key that did decrypt.
func openKeyData(with *enctype.Key, etype int16, data []byte) (*enctype.Key, error) {
	const usage = 0
	if len(data) < 2 {
		return nil, fmt.Errorf("%w: key data of %d bytes", ErrDamaged, len(data))
	}
	plain, err := with.Decrypt(nil, data[2:], usage)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	length := int(binary.LittleEndian.Uint16(data))
	if length > len(plain) {
		return nil, fmt.Errorf("%w: key data with a wrong length", ErrDamaged)
	}
	key, err := enctype.NewKey(enctype.ID(etype), plain[:length])
	if err != nil && !errors.Is(err, enctype.ErrUnknown) {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return key, err
}

// Newest is the newest master key, which encrypts K/M itself.
func (m *MasterKeys) Newest() MasterKey { return m.Keys[0] }

// Find returns the key of a version.
func (m *MasterKeys) Find(kvno uint32) (MasterKey, bool) {
	for _, k := range m.Keys {
		if k.KVNO == kvno {
			return k, true
		}
	}
	return MasterKey{}, false
}

// ActiveKVNO is the version that programs use for new keys at that time
// (reference kdb-formats.md 3.3).
func (m *MasterKeys) ActiveKVNO(at time.Time) uint32 {
	if len(m.active) == 0 {
		return m.Keys[len(m.Keys)-1].KVNO
	}
	kvno := m.active[0].kvno
	for _, a := range m.active {
		if int64(a.from) <= at.Unix() {
			kvno = a.kvno
		}
	}
	return kvno
}

// Decrypt opens one key of a principal with the master key version that its
// MKVNO names. Errors name the principal; they wrap ErrDamaged if the key does
// not decrypt, and enctype.ErrUnknown if it does but its type is not supported.
func (m *MasterKeys) Decrypt(p *dump.Principal, key dump.KeyData) (*enctype.Key, error) {
	with, err := m.protecting(p)
	if err == nil {
		var opened *enctype.Key
		if opened, err = openKeyData(with.Key, key.Type[0], key.Contents[0]); err == nil {
			return opened, nil
		}
	}
	return nil, fmt.Errorf("decrypt key of %q (kvno %d, %v): %w", p.Name, key.KVNO, enctype.ID(key.Type[0]), err)
}

func (m *MasterKeys) protecting(p *dump.Principal) (MasterKey, error) {
	kvno := m.lowest()
	if v, ok := p.MKVNO(); ok {
		kvno = uint32(v)
	}
	k, ok := m.Find(kvno)
	if !ok {
		return k, fmt.Errorf("%w: %s has no master key of kvno %d", ErrDamaged, m.Principal, kvno)
	}
	if k.Key == nil {
		return k, fmt.Errorf("master key (%v): %w", k, enctype.ErrUnknown)
	}
	return k, nil
}

func (m *MasterKeys) lowest() uint32 {
	kvno := m.Keys[0].KVNO
	for _, k := range m.Keys {
		kvno = min(kvno, k.KVNO)
	}
	return kvno
}
