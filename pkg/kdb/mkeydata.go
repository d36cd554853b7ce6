package kdb

import (
	"encoding/binary"
	"fmt"

	"github.com/kprop/kprop/pkg/dump"
)

// auxNode is an element of MKEY_AUX: the newest master key, encrypted with an
// older one.
type auxNode struct {
	under  uint32 // kvno of the older key
	newest uint32
	etype  int16 // of the newest
	data   []byte
}

const listVersion = 1

// parseActive reads ACTKVNO (reference kdb-formats.md 3.3). Without one the
// list is empty.
func parseActive(km *dump.Principal) ([]activation, error) {
	const elem = 6
	data, ok := km.Find(dump.TLActKVNO)
	if !ok {
		return nil, nil
	}
	if len(data) < 2+elem || binary.LittleEndian.Uint16(data) != listVersion {
		return nil, fmt.Errorf("%w: its list of active versions has a wrong form", ErrDamaged)
	}
	var list []activation
	for d := data[2:]; len(d) >= elem; d = d[elem:] {
		list = append(list, activation{
			kvno: uint32(binary.LittleEndian.Uint16(d)),
			from: binary.LittleEndian.Uint32(d[2:]),
		})
	}
	return list, nil
}

// parseAux reads MKEY_AUX (reference kdb-formats.md 3.3). Without one the list
// is empty; with an error it holds what could be read.
func parseAux(km *dump.Principal) ([]auxNode, error) {
	const head = 8
	wrong := fmt.Errorf("%w: its list of auxiliary keys has a wrong form", ErrDamaged)
	data, ok := km.Find(dump.TLMKeyAux)
	if !ok {
		return nil, nil
	}
	if len(data) < 2+head || binary.LittleEndian.Uint16(data) != listVersion {
		return nil, wrong
	}
	var list []auxNode
	for d := data[2:]; len(d) > 0; {
		if len(d) < head || int(binary.LittleEndian.Uint16(d[6:])) > len(d)-head {
			return list, wrong
		}
		end := head + int(binary.LittleEndian.Uint16(d[6:]))
		list = append(list, auxNode{
			under:  uint32(binary.LittleEndian.Uint16(d)),
			newest: uint32(binary.LittleEndian.Uint16(d[2:])),
			etype:  int16(binary.LittleEndian.Uint16(d[4:])),
			data:   d[head:end],
		})
		d = d[end:]
	}
	return list, nil
}
