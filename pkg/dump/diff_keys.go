package dump

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// compareKeys compares the keys by version. The newest is what a KDC gives
// tickets with; of the older ones it tells only which there are and whether
// they changed.
func (d *differ) compareKeys(a, b *Principal) {
	if slices.EqualFunc(a.Keys, b.Keys, sameWhole) {
		return
	}
	oldKeys, newKeys := newest(a.Keys), newest(b.Keys)
	d.text("kvno", kvnoText(oldKeys), kvnoText(newKeys))
	d.compareEnctypes(oldKeys, newKeys)
	d.compareSalts(oldKeys, newKeys)
	d.compareOlder(a.Keys, b.Keys, oldKeys, newKeys)
}

func sameWhole(a, b KeyData) bool {
	return a.Version == b.Version && a.Type == b.Type && sameKey(&a, &b) && bytes.Equal(a.Contents[1], b.Contents[1])
}

// newest gives the keys of the highest version.
func newest(keys []KeyData) []KeyData {
	most := uint16(0)
	for i := range keys {
		most = max(most, keys[i].KVNO)
	}
	return ofKVNO(keys, most)
}

// ofKVNO gives the keys of a version, in stored order. As MIT writes them they
// lie side by side.
func ofKVNO(keys []KeyData, kvno uint16) []KeyData {
	is := func(k KeyData) bool { return k.KVNO == kvno }
	from := slices.IndexFunc(keys, is)
	if from < 0 {
		return nil
	}
	to := from
	for to < len(keys) && keys[to].KVNO == kvno {
		to++
	}
	if !slices.ContainsFunc(keys[to:], is) {
		return keys[from:to]
	}
	var found []KeyData
	for _, k := range keys {
		if k.KVNO == kvno {
			found = append(found, k)
		}
	}
	return found
}

func kvnoText(keys []KeyData) string {
	if len(keys) == 0 {
		return ""
	}
	return strconv.Itoa(int(keys[0].KVNO))
}

// compareEnctypes looks for other enctypes, another order of them, and, for
// the same enctypes at the same kvno, other keys.
func (d *differ) compareEnctypes(a, b []KeyData) {
	if !sameEnctypes(a, b) {
		x, y := enctypeNames(a), enctypeNames(b)
		plus, minus := without(y, x), without(x, y)
		if len(plus)+len(minus) > 0 {
			d.add(FieldChange{Field: "enctypes", Plus: plus, Minus: minus})
		} else {
			d.text("enctypes", strings.Join(x, ","), strings.Join(y, ","))
		}
		return
	}
	if kvnoText(a) == kvnoText(b) && !sameKeys(a, b) {
		d.add(FieldChange{Field: "keys", Kind: Changed})
	}
}

func sameEnctypes(a, b []KeyData) bool {
	return slices.EqualFunc(a, b, func(x, y KeyData) bool { return x.Type[0] == y.Type[0] })
}

func enctypeNames(keys []KeyData) []string {
	var names []string
	for i := range keys {
		names = append(names, enctypeName(keys[i].Type[0]))
	}
	return names
}

// without takes one b away from a for each that is in it.
func without(a, b []string) []string {
	rest := slices.Clone(b)
	var left []string
	for _, s := range a {
		if i := slices.Index(rest, s); i >= 0 {
			rest = slices.Delete(rest, i, i+1)
		} else {
			left = append(left, s)
		}
	}
	return left
}

// compareSalts names the kinds of salt; if these are the same, it tells whether
// their contents are.
func (d *differ) compareSalts(a, b []KeyData) {
	if len(a) == 0 || len(b) == 0 {
		return
	}
	same := func(x, y KeyData) bool {
		return x.Version == y.Version && x.Type[1] == y.Type[1] && bytes.Equal(x.Contents[1], y.Contents[1])
	}
	if slices.EqualFunc(a, b, same) {
		return
	}
	x, y := saltNames(a), saltNames(b)
	if x != y {
		d.text("salt", x, y)
		return
	}
	if sameEnctypes(a, b) {
		d.add(FieldChange{Field: "salt", Kind: Changed})
	}
}

// saltNames lists the different kinds of salt.
func saltNames(keys []KeyData) string {
	var names []string
	for i := range keys {
		if name := saltName(&keys[i]); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// compareOlder compares the versions of keys that are the newest in neither.
func (d *differ) compareOlder(a, b, newestA, newestB []KeyData) {
	if len(a) == len(newestA) && len(b) == len(newestB) {
		return
	}
	x, y := kvnos(a, newestA), kvnos(b, newestB)
	if plus, minus := without(y, x), without(x, y); len(plus)+len(minus) > 0 {
		d.add(FieldChange{Field: "old_kvnos", Plus: plus, Minus: minus})
	}
	for _, text := range append(x, without(y, x)...) {
		n, _ := strconv.ParseUint(text, 10, 16)
		was, is := ofKVNO(a, uint16(n)), ofKVNO(b, uint16(n))
		if len(was) > 0 && len(is) > 0 && (!sameEnctypes(was, is) || !sameKeys(was, is)) {
			d.add(FieldChange{Field: "old_keys", Key: text, Kind: Changed})
		}
	}
}

// kvnos lists the versions below the newest, as text, highest first.
func kvnos(keys, newest []KeyData) []string {
	var found []string
	for i := range keys {
		if keys[i].KVNO == newest[0].KVNO {
			continue
		}
		if text := strconv.Itoa(int(keys[i].KVNO)); !slices.Contains(found, text) {
			found = append(found, text)
		}
	}
	return found
}
