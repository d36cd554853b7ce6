package db2

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kprop/kprop/pkg/dump"
)

// encodePrincipal writes a record as libdb2's front end does.
func encodePrincipal(p *dump.Principal) []byte {
	le := binary.LittleEndian
	b := le.AppendUint16(nil, recHead)
	for _, n := range []uint32{uint32(p.Attributes), uint32(p.MaxLife), uint32(p.MaxRenewableLife), p.Expiration, p.PWExpiration,
		p.LastSuccess, p.LastFailed, uint32(p.FailAuthCount)} {
		b = le.AppendUint32(b, n)
	}
	b = le.AppendUint16(b, uint16(len(p.TL)))
	b = le.AppendUint16(b, uint16(len(p.Keys)))
	b = le.AppendUint16(b, uint16(len(p.Name)+1))
	b = append(append(b, p.Name...), 0)
	value := func(kind int16, data []byte) {
		b = le.AppendUint16(b, uint16(kind))
		b = le.AppendUint16(b, uint16(len(data)))
		b = append(b, data...)
	}
	for _, tl := range p.TL {
		value(tl.Type, tl.Data)
	}
	for _, k := range p.Keys {
		b = le.AppendUint16(b, uint16(k.Version))
		b = le.AppendUint16(b, k.KVNO)
		for i := range int(k.Version) {
			value(k.Type[i], k.Contents[i])
		}
	}
	return b
}

// encodePolicy writes a record of version 1, 2 or 3.
func encodePolicy(p *dump.Policy, version byte) []byte {
	be := binary.BigEndian
	b := be.AppendUint32(nil, policyVersion1-1+uint32(version))
	numbers := func(all ...uint32) {
		for _, n := range all {
			b = be.AppendUint32(b, n)
		}
	}
	opaque := func(data []byte) {
		numbers(uint32(len(data)))
		b = append(b, data...)
		b = append(b, make([]byte, align4(len(data))-len(data))...)
	}
	text := func(s []byte) {
		if len(s) > 0 {
			s = append(bytes.Clone(s), 0)
		}
		opaque(s)
	}
	text(p.Name)
	numbers(p.PWMinLife, p.PWMaxLife, p.PWMinLength, p.PWMinClasses, p.PWHistoryNum, p.RefCount)
	if version >= 2 {
		numbers(p.PWMaxFail, p.FailCountInterval, p.LockoutDuration)
	}
	if version < 3 {
		return b
	}
	numbers(p.Attributes, p.MaxLife, p.MaxRenewableLife)
	text(p.AllowedKeysalts)
	numbers(uint32(len(p.TL)))
	if len(p.TL) == 0 {
		numbers(1)
		return b
	}
	numbers(0)
	for _, tl := range p.TL {
		numbers(1, uint32(tl.Type))
		opaque(tl.Data)
	}
	numbers(0)
	return b
}

func somePrincipal() *dump.Principal {
	return &dump.Principal{
		Name: []byte("a@R"), Attributes: -1, MaxLife: 2, MaxRenewableLife: 3, Expiration: 4, PWExpiration: 5, LastSuccess: 6, LastFailed: 7, FailAuthCount: 8,
		TL: []dump.TL{{Type: 1, Data: []byte("abc")}, {Type: -1, Data: []byte{}}},
		Keys: []dump.KeyData{{Version: 0, KVNO: 9, Contents: [2][]byte{}},
			{Version: 2, KVNO: 8, Type: [2]int16{18, 4}, Contents: [2][]byte{[]byte("key"), []byte("salt")}},
			{Version: 1, KVNO: 7, Type: [2]int16{17}, Contents: [2][]byte{[]byte("k"), nil}}},
	}
}

func TestDecodePrincipal(t *testing.T) {
	key := []byte("a@R\x00")
	good := encodePrincipal(somePrincipal())
	p := dump.Principal{TL: make([]dump.TL, 7), Keys: make([]dump.KeyData, 7), EData: []byte("old")}
	if err := DecodePrincipal(&p, key, good); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(somePrincipal(), &p); diff != "" {
		t.Error(diff)
	}
	for n := range good {
		if err := DecodePrincipal(&p, key, good[:n]); err == nil {
			t.Errorf("%d of %d bytes are enough", n, len(good))
		}
	}
	change := func(at int, v ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], v)
		return b
	}
	nameAt := recHead + 2
	for _, c := range []struct {
		key, data []byte
		want      string
	}{
		{[]byte("b@R\x00"), good, `record "b@R", byte 87: the record is that of "a@R", not of its key`},
		{[]byte("a@R"), good, "not of its key"},
		{nil, good, "not of its key"},
		{key, append(bytes.Clone(good), 1, 2), "2 bytes follow the end of the record"},
		{key, change(recLength, 40), "the fixed part is said to have 40 bytes, not 38"},
		{key, change(recTLCount, 0, 0x80), "it is said to have 32768 values and 3 keys"},
		{key, change(recKeyCount, 0xff, 0xff), "2 values and 65535 keys"},
		{key, change(recHead, 0, 0), "the name is said to have 0 bytes"},
		{key, change(recHead, 4, 0x80), "the name is said to have 32772 bytes"},
		{key, change(nameAt+1, 0), "the name is not ended by its only NUL"},
		{key, change(nameAt+3, 'x'), "the name is not ended by its only NUL"},
		{key, change(nameAt+4+2, 0xff), "tl_data ends behind the record's 87 bytes"},
		{key, change(nameAt+4+11, 3), "a key has the version 3, not 0, 1 or 2"},
		{key, change(nameAt+4+11, 0xff, 0xff), "a key has the version -1, not 0, 1 or 2"},
	} {
		err := DecodePrincipal(&p, c.key, c.data)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "salt") {
			t.Errorf("%v: bytes of the record", err)
		}
	}
}

func TestDecodePolicy(t *testing.T) {
	key := []byte("pol\x00")
	full := dump.Policy{
		Name: []byte("pol"), Fields: dump.PolicyFields11, PWMinLife: 1, PWMaxLife: 2, PWMinLength: 3, PWMinClasses: 4, PWHistoryNum: 5,
		RefCount: 6, PWMaxFail: 7, FailCountInterval: 8, LockoutDuration: 9, Attributes: 10, MaxLife: 11, MaxRenewableLife: 12,
		AllowedKeysalts: []byte("aes256-cts"), TL: []dump.TL{{Type: -3, Data: []byte("x")}, {Type: 9, Data: []byte("four")}},
	}
	for version := byte(1); version <= 3; version++ {
		want := *full.Clone()
		if version < 3 {
			want.Attributes, want.MaxLife, want.MaxRenewableLife, want.AllowedKeysalts, want.TL = 0, 0, 0, nil, nil
		}
		if version < 2 {
			want.PWMaxFail, want.FailCountInterval, want.LockoutDuration = 0, 0, 0
		}
		good := encodePolicy(&full, version)
		var p dump.Policy
		if err := DecodePolicy(&p, key, good); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, p, cmp.Transformer("text", func(b []byte) string { return string(b) })); diff != "" {
			t.Errorf("version %d: %s", version, diff)
		}
		for n := range good {
			if err := DecodePolicy(&p, key, good[:n]); err == nil {
				t.Errorf("version %d: %d of %d bytes are enough", version, n, len(good))
			}
		}
	}
	good := encodePolicy(&full, 3)
	change := func(at int, v ...byte) []byte {
		b := bytes.Clone(good)
		if at < 0 {
			at += len(b)
		}
		copy(b[at:], v)
		return b
	}
	for _, c := range []struct {
		key, data []byte
		want      string
	}{
		{[]byte("pal\x00"), good, `the record is that of "pol", not of its key`},
		{key, append(bytes.Clone(good), 0), "1 bytes follow"},
		{key, change(3, 4), "the version 0x12345d04 is unknown"},
		{key, change(4, 0, 0, 0, 0), "there is no name"},
		{key, change(4, 0xff, 0xff, 0xff, 0xff), "the name ends behind"},
		{key, change(9, 0), "the name is not ended by its only NUL"},
		{key, change(-28, 1), "tl_data ends behind"},
		{key, change(-37, 9), "is neither true nor false"},
		{key, change(-32, 1), "tl_data has the type 33554429"},
		{key, change(-23, 1), "what fills it up is not zero"},
		{key, change(-41, 3), "there are 2 tl_data instead of 3"},
	} {
		var p dump.Policy
		if err := DecodePolicy(&p, c.key, c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}
