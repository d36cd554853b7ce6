package profile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrNoEnctypes says that an encryption type list of the configuration leaves
// no type that is known (MIT: "No supported encryption types").
var ErrNoEnctypes = errors.New("no supported encryption types")

// enctype is an encryption type of MIT 1.20: its number (RFC 3961 and
// successors), its names, the canonical one first, its family, and whether it
// is left out unless allow_weak_crypto is set.
type enctype struct {
	id     int32
	names  []string
	family string
	weak   bool
}

// enctypes lists the types in MIT's order of preference, so that it serves as
// the list DEFAULT and the families, too.
func enctypes() []enctype {
	return []enctype{
		{18, []string{"aes256-cts-hmac-sha1-96", "aes256-cts", "aes256-sha1"}, "aes", false},
		{17, []string{"aes128-cts-hmac-sha1-96", "aes128-cts", "aes128-sha1"}, "aes", false},
		{20, []string{"aes256-cts-hmac-sha384-192", "aes256-sha2"}, "aes", false},
		{19, []string{"aes128-cts-hmac-sha256-128", "aes128-sha2"}, "aes", false},
		{16, []string{"des3-cbc-sha1", "des3-hmac-sha1", "des3-cbc-sha1-kd"}, "des3", false},
		{23, []string{"arcfour-hmac", "rc4-hmac", "arcfour-hmac-md5"}, "rc4", false},
		{25, []string{"camellia128-cts-cmac", "camellia128-cts"}, "camellia", false},
		{26, []string{"camellia256-cts-cmac", "camellia256-cts"}, "camellia", false},
		{6, []string{"des3-cbc-raw"}, "", true},
		{24, []string{"arcfour-hmac-exp", "rc4-hmac-exp", "arcfour-hmac-md5-exp"}, "", true},
	}
}

// defaultList is the DEFAULT of an encryption type list.
const defaultList = "DEFAULT"

// ParseEnctypes reads an encryption type list as krb5int_parse_enctype_list
// does: words separated by blanks and commas, each a type, a family (aes,
// camellia, rc4, des3) or DEFAULT, with - in front taken away from what stands
// before, else added to it. Case does not matter, and unknown words do
// nothing. Weak types are left out unless allowWeak. The result may be empty.
func ParseEnctypes(s string, allowWeak bool) []int32 {
	var list []int32
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" \t\r\n,", r) }) {
		remove := word[0] == '-'
		if word[0] == '-' || word[0] == '+' {
			word = word[1:]
		}
		for _, e := range enctypesOf(word) {
			switch known := slices.Index(list, e.id); {
			case e.weak && !allowWeak:
			case remove && known >= 0:
				list = slices.Delete(list, known, known+1)
			case !remove && known < 0:
				list = append(list, e.id)
			}
		}
	}
	return list
}

// enctypesOf returns the types that a word of a list stands for.
func enctypesOf(word string) []enctype {
	var found []enctype
	for _, e := range enctypes() {
		if e.family != "" && (strings.EqualFold(word, defaultList) || strings.EqualFold(word, e.family)) {
			found = append(found, e)
			continue
		}
		if slices.ContainsFunc(e.names, func(n string) bool { return strings.EqualFold(n, word) }) {
			found = append(found, e)
		}
	}
	// This family is listed strongest first, unlike the default list.
	if strings.EqualFold(word, "camellia") {
		slices.Reverse(found)
	}
	return found
}

// EnctypeName returns MIT's canonical name of an encryption type, or
// "etype N" for one that this package does not know.
func EnctypeName(id int32) string {
	for _, e := range enctypes() {
		if e.id == id {
			return e.names[0]
		}
	}
	return fmt.Sprintf("etype %d", id)
}

// PermittedEnctypes returns the encryption types of [libdefaults]
// permitted_enctypes, in order of preference. The switches allow_rc4 and
// allow_des3 do not change it: in Debian's 1.20.1 they tell the KDC which
// session keys it may issue.
func (p *Profile) PermittedEnctypes() ([]int32, error) {
	return p.enctypeList("permitted_enctypes", defaultList)
}

// TktEnctypes returns the encryption types that a client asks the KDC for in
// an AS request: [libdefaults] default_tkt_enctypes, else PermittedEnctypes.
func (p *Profile) TktEnctypes() ([]int32, error) {
	if _, ok := p.Value("libdefaults", "default_tkt_enctypes"); ok {
		return p.enctypeList("default_tkt_enctypes", "")
	}
	return p.PermittedEnctypes()
}

func (p *Profile) enctypeList(tag, def string) ([]int32, error) {
	path := []string{"libdefaults", tag}
	parse := func(s string) ([]int32, error) {
		list := ParseEnctypes(s, p.AllowWeakCrypto())
		if len(list) == 0 {
			return nil, ErrNoEnctypes
		}
		return list, nil
	}
	list, err := first(p, ParseEnctypes(def, p.AllowWeakCrypto()), path, parse)
	if err != nil {
		return nil, err
	}
	return list, nil
}

// AllowWeakCrypto returns [libdefaults] allow_weak_crypto, false by default.
func (p *Profile) AllowWeakCrypto() bool { return p.allow("allow_weak_crypto") }

// AllowDES3 returns [libdefaults] allow_des3, false by default: may the KDC
// issue des3-cbc-sha1 session keys.
func (p *Profile) AllowDES3() bool { return p.allow("allow_des3") }

// AllowRC4 returns [libdefaults] allow_rc4, false by default: may the KDC
// issue arcfour-hmac session keys.
func (p *Profile) AllowRC4() bool { return p.allow("allow_rc4") }

// allow returns a switch; Load has refused unreadable ones.
func (p *Profile) allow(tag string) bool {
	v, _ := p.Bool(false, "libdefaults", tag)
	return v
}
