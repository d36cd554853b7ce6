package dump

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// String gives the change in one line, as "~ carol@R  kvno 3 -> 4, attributes
// +requires_preauth". Names in it are as they stand in the dump: what does not
// print is for the caller to mask.
func (c *Change) String() string {
	var b strings.Builder
	b.Grow(len(c.Name) + 64*len(c.Fields) + 16)
	switch c.Kind {
	case Added:
		b.WriteString("+ ")
	case Removed:
		b.WriteString("- ")
	default:
		b.WriteString("~ ")
	}
	if c.Policy {
		b.WriteString("policy ")
	}
	b.WriteString(c.Name)
	for i := range c.Fields {
		if i == 0 {
			b.WriteString("  ")
		} else {
			b.WriteString(", ")
		}
		c.Fields[i].write(&b)
	}
	return b.String()
}

// String gives the difference in a few words, as "policy users -> admins".
func (f *FieldChange) String() string {
	var b strings.Builder
	f.write(&b)
	return b.String()
}

func (f *FieldChange) write(b *strings.Builder) {
	say := func(words ...string) {
		for _, w := range words {
			b.WriteString(w)
		}
	}
	if f.Field == "tl_data" {
		say(f.Field)
	} else {
		say(strings.ReplaceAll(f.Field, "_", " "))
	}
	if f.Key != "" {
		say(" ", f.Key)
	}
	switch {
	case len(f.Plus)+len(f.Minus) > 0:
		for _, s := range f.Plus {
			say(" +", s)
		}
		for _, s := range f.Minus {
			say(" -", s)
		}
	case f.Old == "" && f.New == "":
		say(" ", string(f.Kind))
	case f.Field == "modified":
		say(" ", orNothing(f.New))
	default:
		say(" ", orNothing(f.Old), " -> ", orNothing(f.New))
	}
}

func orNothing(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// flagName gives the name of an attribute bit as kadmin's modprinc takes it,
// and whether the bit forbids what the name says (reference kdb-formats.md 2.1).
func flagName(bit uint32) (name string, forbids bool) {
	names := [32]string{
		0: "allow_postdated", 1: "allow_forwardable", 2: "allow_tgs_req", 3: "allow_renewable",
		4: "allow_proxiable", 5: "allow_dup_skey", 6: "allow_tix", 7: "requires_preauth",
		8: "requires_hwauth", 9: "needchange", 12: "allow_svr", 13: "password_changing_service",
		14: "support_desmd5", 15: "new_princ", 20: "ok_as_delegate", 21: "ok_to_auth_as_delegate",
		22: "no_auth_data_required", 23: "lockdown_keys",
	}
	if name = names[bits.TrailingZeros32(bit)]; name == "" {
		return fmt.Sprintf("0x%08x", bit), false
	}
	return name, strings.HasPrefix(name, "allow_")
}

// enctypeName gives MIT's name of an enctype, or its number.
func enctypeName(id int16) string {
	switch id {
	case 1:
		return "des-cbc-crc"
	case 2:
		return "des-cbc-md4"
	case 3:
		return "des-cbc-md5"
	case 16:
		return "des3-cbc-sha1"
	case 17:
		return "aes128-cts-hmac-sha1-96"
	case 18:
		return "aes256-cts-hmac-sha1-96"
	case 19:
		return "aes128-cts-hmac-sha256-128"
	case 20:
		return "aes256-cts-hmac-sha384-192"
	case 23:
		return "arcfour-hmac"
	case 24:
		return "arcfour-hmac-exp"
	case 25:
		return "camellia128-cts-cmac"
	case 26:
		return "camellia256-cts-cmac"
	}
	return "enctype-" + strconv.Itoa(int(id))
}

// saltName gives kadmin's name of a key's kind of salt.
func saltName(k *KeyData) string {
	if k.Version < 2 {
		return "normal"
	}
	names := []string{"normal", "v4", "norealm", "onlyrealm", "special", "afs3", "certhash"}
	if n := int(k.Type[1]); n >= 0 && n < len(names) {
		return names[n]
	}
	return "salt-" + strconv.Itoa(int(k.Type[1]))
}

func timeText(t uint32) string {
	if t == 0 {
		return "never"
	}
	return time.Unix(int64(t), 0).UTC().Format(time.RFC3339)
}

// durationText gives seconds as kadmin takes them: "1d2h3m4s", and "0".
func durationText(seconds int64) string {
	if seconds <= 0 {
		return strconv.FormatInt(seconds, 10)
	}
	text := ""
	for _, u := range []struct {
		size int64
		unit string
	}{{86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}} {
		if n := seconds / u.size; n > 0 {
			text += strconv.FormatInt(n, 10) + u.unit
		}
		seconds %= u.size
	}
	return text
}
