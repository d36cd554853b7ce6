package krbtest

import (
	"encoding/binary"
	"strconv"

	"github.com/kprop/kprop/internal/principal"
	"github.com/kprop/kprop/pkg/dump"
)

type genKind uint8

const (
	genUser genKind = iota
	genAdmin
	genService
)

// genName is a principal to be made.
type genName struct {
	text string
	kind genKind
}

// names makes up distinct names: each has its number in the first or second
// component, and the pattern around the number tells the kinds apart.
func (g *generator) names() []genName {
	given := []string{"anna", "jo", "maximilian", "li", "fatima", "oluwaseun", "kim", "bartholomew", "zoë", "ed"}
	family := []string{"ng", "fischer", "smith", "garcía", "o'neill", "wolfeschlegelsteinhausen", "ito", "kowalska"}
	service := []string{"host", "host", "host", "HTTP", "HTTP", "nfs", "ldap", "cifs", "imap", "postgres"}
	zone := []string{".example.com", ".dc1.example.com", ".cloud.eu-west.example.com", ".lab.example.org"}
	at := principal.New(g.o.Realm, "").String()

	names := make([]genName, 0, g.o.Principals)
	for i := range g.o.Principals {
		n := strconv.Itoa(i)
		var name genName
		switch roll := g.rng.IntN(100); {
		case roll < 55:
			name = genName{pick(g, given) + "." + pick(g, family) + n, genUser}
		case roll < 66:
			name = genName{pick(g, given)[:2] + n, genUser}
		case roll < 69:
			name = genName{pick(g, family) + n + "/admin", genAdmin}
		case roll < 72:
			name = genName{"app/" + pick(g, given) + "/worker-" + n + pick(g, zone), genService}
		default:
			name = genName{pick(g, service) + "/node-" + n + pick(g, zone), genService}
		}
		name.text += at
		names = append(names, name)
	}
	return names
}

func pick[T any](g *generator, of []T) T { return of[g.rng.IntN(len(of))] }

// genKeys is how often which sets of keys occur, in percent; several versions
// of a key have the kvnos behind each other.
var genKeys = []struct {
	percent  int
	enctypes []int16
	versions int
}{
	{51, []int16{18, 17}, 1},
	{36, []int16{18}, 1},
	{5, []int16{20, 19}, 1},
	{3, []int16{18, 17, 23}, 1},
	{2, []int16{20, 19, 18, 17}, 1},
	{2, []int16{18, 17}, 2},
	{1, []int16{18, 17}, 3},
}

// genTime is when the made-up realm came to be, in seconds since 1970.
const genTime = 1_600_000_000

// principal makes a record, which is overwritten by the next call.
func (g *generator) principal(n genName) *dump.Principal {
	g.arena = g.arena[:0]
	p := &g.p
	*p = dump.Principal{Name: []byte(n.text), MaxLife: 86400, MaxRenewableLife: 604800, TL: p.TL[:0], Keys: p.Keys[:0]}
	changed := uint32(genTime + g.rng.IntN(150_000_000))
	switch n.kind {
	case genUser:
		p.Attributes = 0x80 // REQUIRES_PRE_AUTH
		if g.rng.IntN(4) == 0 {
			p.PWExpiration = changed + 180*86400
		}
		if g.rng.IntN(3) == 0 {
			p.LastSuccess = changed + uint32(g.rng.IntN(1_000_000))
		}
		if g.rng.IntN(50) == 0 {
			p.LastFailed, p.FailAuthCount = changed+1000, int32(1+g.rng.IntN(4))
		}
	case genAdmin:
		p.MaxLife, p.Attributes = 10800, 0x81
	case genService:
		if g.rng.IntN(20) == 0 {
			p.Attributes = 0x100000 // OK_AS_DELEGATE
		}
	}
	g.tlData(p, n.kind, changed)
	g.keys(p, n.kind)
	return p
}

// tlData adds values in the order in which kadmin's programs leave them.
func (g *generator) tlData(p *dump.Principal, kind genKind, changed uint32) {
	if kind == genUser && g.rng.IntN(25) == 0 {
		p.TL = append(p.TL, dump.TL{Type: 11, Data: g.value([]byte("session_enctypes\x00aes256-cts\x00mail\x00someone@example.com\x00"))})
	}
	policy := ""
	if kind == genUser && g.o.Policies > 0 && g.rng.IntN(2) == 0 {
		policy = policyName(g.rng.IntN(g.o.Policies))
	}
	p.TL = append(p.TL,
		dump.TL{Type: dump.TLKadmData, Data: g.kadmData(policy)},
		dump.TL{Type: dump.TLModPrinc, Data: g.modPrinc(changed, "root/admin@"+g.o.Realm)},
		dump.TL{Type: dump.TLMKVNO, Data: g.value([]byte{1, 0})},
		dump.TL{Type: dump.TLLastPwdChange, Data: g.value(binary.LittleEndian.AppendUint32(nil, changed))})
}

// value copies data to where it stays until the record is written.
func (g *generator) value(data []byte) []byte {
	at := len(g.arena)
	g.arena = append(g.arena, data...)
	return g.arena[at:len(g.arena):len(g.arena)]
}

func (g *generator) modPrinc(when uint32, who string) []byte {
	at := len(g.arena)
	g.arena = binary.LittleEndian.AppendUint32(g.arena, when)
	g.arena = append(g.arena, who...)
	g.arena = append(g.arena, 0)
	return g.arena[at:len(g.arena):len(g.arena)]
}

// kadmData encodes a KADM_DATA without history (reference kdb-formats.md 2.3).
func (g *generator) kadmData(policy string) []byte {
	be, at := binary.BigEndian, len(g.arena)
	b := be.AppendUint32(g.arena, 0x12345c01)
	aux := uint32(0)
	if policy == "" {
		b = be.AppendUint32(b, 0)
	} else {
		aux = 0x800
		b = be.AppendUint32(b, uint32(len(policy)+1))
		b = append(b, policy...)
		for b = append(b, 0); (len(b)-at)%4 != 0; {
			b = append(b, 0)
		}
	}
	for _, v := range [4]uint32{aux, 0, 2, 0} {
		b = be.AppendUint32(b, v)
	}
	g.arena = b
	return b[at:len(b):len(b)]
}

func (g *generator) keys(p *dump.Principal, kind genKind) {
	roll, set := g.rng.IntN(100), 0
	for ; roll >= genKeys[set].percent; set++ {
		roll -= genKeys[set].percent
	}
	newest := uint16(genKeys[set].versions + g.rng.IntN(4))
	for v := range genKeys[set].versions {
		for _, e := range genKeys[set].enctypes {
			k := dump.KeyData{Version: 1, KVNO: newest - uint16(v), Type: [2]int16{e}}
			k.Contents[0] = g.key(e)
			if kind == genUser && set == 1 && v == 0 { // as renprinc leaves them
				k.Version, k.Type[1] = 2, 4
				k.Contents[1] = g.value([]byte(p.Name[:min(len(p.Name), 12)]))
			}
			p.Keys = append(p.Keys, k)
		}
	}
}

// key makes the size and random bytes as long as the ciphertext of a key under
// an AES-256 master key: 16 bytes confounder and 12 bytes checksum more.
func (g *generator) key(enctype int16) []byte {
	size := 16
	if enctype == 18 || enctype == 20 {
		size = 32
	}
	at, end := len(g.arena), len(g.arena)+2+size+28
	for len(g.arena) < end {
		g.arena = binary.LittleEndian.AppendUint64(g.arena, g.r.Uint64())
	}
	g.arena = g.arena[:end]
	binary.LittleEndian.PutUint16(g.arena[at:], uint16(size))
	return g.arena[at:end:end]
}

// ownBase makes up the entries that "kdb5_util create" makes for the realm's
// own use, in dump order.
func (g *generator) ownBase() []*dump.Principal {
	created := func() []byte { return g.modPrinc(genTime, "db_creation@"+g.o.Realm) }
	km := &dump.Principal{Name: []byte(principal.New(g.o.Realm, "K", "M").String()),
		Attributes: 0x800040, MaxLife: 86400,
		TL: []dump.TL{{Type: dump.TLMKVNO, Data: []byte{1, 0}}, {Type: dump.TLActKVNO, Data: []byte{1, 0, 1, 0, 0, 0, 0, 0}},
			{Type: dump.TLModPrinc, Data: created()}},
		Keys: []dump.KeyData{{Version: 1, KVNO: 1, Type: [2]int16{18}, Contents: [2][]byte{g.key(18)}}}}
	tgt := &dump.Principal{Name: []byte(principal.New(g.o.Realm, "krbtgt", g.o.Realm).String()),
		Attributes: 0x800000, MaxLife: 86400,
		TL: []dump.TL{{Type: dump.TLModPrinc, Data: created()}},
		Keys: []dump.KeyData{{Version: 1, KVNO: 1, Type: [2]int16{18}, Contents: [2][]byte{g.key(18)}},
			{Version: 1, KVNO: 1, Type: [2]int16{17}, Contents: [2][]byte{g.key(17)}}}}
	return []*dump.Principal{km.Clone(), tgt.Clone()}
}
