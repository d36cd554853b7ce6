package dump

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
)

// Types of tl_data that only a comparison looks into.
const (
	tlStringAttrs     = 11
	tlAliasTarget     = 12
	tlLastAdminUnlock = 0x700
)

// compareTL compares the tl_data by type: their order is of no meaning, but
// among values of one type, of which the first counts.
func (d *differ) compareTL(a, b []TL) {
	if slices.EqualFunc(a, b, func(x, y TL) bool { return x.Type == y.Type && bytes.Equal(x.Data, y.Data) }) {
		return
	}
	for _, t := range tlTypes(a, b) {
		x, y := valuesOf(a, t), valuesOf(b, t)
		if _, differ := became(x, y); !differ {
			continue
		}
		before := len(d.fields)
		if first, second := firstOf(x), firstOf(y); !bytes.Equal(first, second) {
			d.known(t, first, second)
		}
		if len(d.fields) == before {
			d.opaque(t, x, y)
		}
	}
}

// tlTypes lists the types in two lists: those that are known in the order of
// their interest, then the others.
func tlTypes(a, b []TL) []int16 {
	var found []int16
	for _, list := range [2][]TL{a, b} {
		for i := range list {
			if t := list[i].Type; !slices.Contains(found, t) {
				found = append(found, t)
			}
		}
	}
	slices.SortFunc(found, func(x, y int16) int { return tlOrder(x) - tlOrder(y) })
	return found
}

// tlOrder is the place of a type; the time of modification, which differs
// mostly when anything does, is last.
func tlOrder(t int16) int {
	switch t {
	case TLKadmData:
		return -4 << 16
	case tlStringAttrs:
		return -3 << 16
	case TLMKVNO:
		return -2 << 16
	case TLLastPwdChange:
		return 2 << 16
	case TLModPrinc:
		return 3 << 16
	}
	return int(t)
}

func valuesOf(list []TL, t int16) (values [][]byte) {
	for i := range list {
		if list[i].Type == t {
			values = append(values, list[i].Data)
		}
	}
	return values
}

func firstOf(values [][]byte) []byte {
	if len(values) == 0 {
		return nil
	}
	return values[0]
}

// known compares two values of a type that is understood. It adds nothing where
// it has nothing to say.
func (d *differ) known(t int16, a, b []byte) {
	switch t {
	case TLKadmData:
		d.kadm(a, b)
	case tlStringAttrs:
		d.stringAttrs(a, b)
	case TLMKVNO:
		d.text("mkvno", mkvnoText(a), mkvnoText(b))
	case tlAliasTarget:
		d.text("alias_target", cString(a), cString(b))
	case tlLastAdminUnlock:
		d.text("unlocked", tlTime(a), tlTime(b))
	case TLLastPwdChange:
		d.text("password_changed", tlTime(a), tlTime(b))
	case TLModPrinc:
		d.text("modified", modText(a), modText(b))
	}
}

// tlName names the field of a type whose values are not shown.
func tlName(t int16) string {
	switch t {
	case TLKadmData:
		return "kadm_data"
	case TLActKVNO:
		return "active_master_keys"
	case TLMKeyAux:
		return "master_key_aux"
	}
	return "tl_data"
}

func mkvnoText(v []byte) string {
	if len(v) != 2 {
		return ""
	}
	return strconv.Itoa(int(le.Uint16(v)))
}

func cString(v []byte) string {
	v, _, _ = bytes.Cut(v, []byte{0})
	return string(v)
}

func tlTime(v []byte) string {
	if len(v) != 4 {
		return ""
	}
	return timeText(le.Uint32(v))
}

func modText(v []byte) string {
	if len(v) < 5 {
		return ""
	}
	return timeText(le.Uint32(v)) + " by " + cString(v[4:])
}

// kadm compares two KADM_DATA, which were found well formed.
func (d *differ) kadm(a, b []byte) {
	x, y := splitKadm(a), splitKadm(b)
	d.text("policy", string(x.policy), string(y.policy))
	switch {
	case x.entries != y.entries:
		d.number("password_history", int64(x.entries), int64(y.entries))
	case x.entries > 0 && !bytes.Equal(x.history, y.history):
		d.add(FieldChange{Field: "password_history", Kind: Changed})
	}
}

// kadmParts are the parts of a KADM_DATA (reference kdb-formats.md 2.3).
type kadmParts struct {
	policy  []byte
	entries uint32
	history []byte // all behind the policy
}

func splitKadm(v []byte) (k kadmParts) {
	if k.policy, _ = kadmPolicy(v); len(v) < 8 {
		return k
	}
	k.history = v[min(len(v), 8+(int(binary.BigEndian.Uint32(v[4:]))+3)&^3):]
	if len(k.history) >= 16 {
		k.entries = binary.BigEndian.Uint32(k.history[12:])
	}
	return k
}

// stringAttrs compares two lists of string attributes by name.
func (d *differ) stringAttrs(a, b []byte) {
	x, y := splitStrings(a), splitStrings(b)
	for _, name := range sortedNames(x, y) {
		old, was := x[name]
		now, is := y[name]
		f := FieldChange{Field: "string_attribute", Key: name}
		switch {
		case !was:
			f.Kind = Added
		case !is:
			f.Kind = Removed
		case old == now:
			continue
		default:
			f.Kind = Changed
		}
		if d.opts.Values {
			f.Old, f.New = old, now
		}
		d.add(f)
	}
}

// splitStrings reads "name NUL value NUL ..."; as in MIT, a tail without a NUL
// ends the list, and the first of several with one name counts.
func splitStrings(v []byte) map[string]string {
	list := make(map[string]string)
	for {
		name, rest, ok := bytes.Cut(v, []byte{0})
		value, next, ok2 := bytes.Cut(rest, []byte{0})
		if !ok || !ok2 {
			return list
		}
		if _, twice := list[string(name)]; !twice {
			list[string(name)] = string(value)
		}
		v = next
	}
}

// sortedNames lists the keys of both maps.
func sortedNames[V any](a, b map[string]V) []string {
	all := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(all)
	return slices.Compact(all)
}
