package dump_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/dump"
)

// edits are what kadmin can do to a principal P, and what a comparison must
// tell then. "modified" and "password changed" are left out of it.
func edits() []struct{ query, want string } {
	return []struct{ query, want string }{
		{"delprinc -force P", "- P"},
		{"addprinc -pw x P/new", "+ P/new"},
		{"modprinc +requires_preauth P", "~ P  attributes +requires_preauth"},
		{"modprinc -allow_tix +needchange +lockdown_keys P", "~ P  attributes +needchange +lockdown_keys -allow_tix"},
		{"modprinc -allow_svr -allow_dup_skey +ok_as_delegate P", "~ P  attributes +ok_as_delegate -allow_dup_skey -allow_svr"},
		{`modprinc -expire "2030-02-03 04:05:06 UTC" P`, "~ P  expiration never -> 2030-02-03T04:05:06Z"},
		{`modprinc -pwexpire "2031-02-03 04:05:06 UTC" P`, "~ P  password expiration never -> 2031-02-03T04:05:06Z"},
		{`modprinc -maxlife "10 hours" -maxrenewlife "7 days" P`, "~ P  max life 1d -> 10h, max renewable life 0 -> 7d"},
		{"modprinc -policy users P", "~ P  policy none -> users"},
		{"cpw -pw y P", "~ P  kvno 1 -> 2"},
		{"cpw -randkey -keepold P", "~ P  kvno 1 -> 2, old kvnos +1"},
		{"cpw -pw y -e aes128-cts-hmac-sha1-96:onlyrealm P",
			"~ P  kvno 1 -> 2, enctypes +aes128-cts-hmac-sha1-96 -aes256-cts-hmac-sha1-96, salt normal -> onlyrealm"},
		{"setstr P otp secret", "~ P  string attribute otp added"},
		{"renprinc -force P P/renamed", "- P\n+ P/renamed"},
		{"modprinc -kvno 7 P", "~ P  kvno 1 -> 7"},
		{"modprinc -maxlife 86400seconds P", ""},
		{"modpol -minlength 9 -maxlife 90days -maxfailure 3 P-policy",
			"~ policy P-policy  max password life 0 -> 90d, min password length 1 -> 9, max failures 0 -> 3"},
		{"addpol -history 2 P-new", "+ policy P-new"},
		{"delpol -force P-policy", "- policy P-policy"},
	}
}

// TestDiffKadmin compares dumps of a real realm before and after edits of
// kadmin, each of which must be told, and nothing else.
func TestDiffKadmin(t *testing.T) {
	realm := krbtest.New(t, krbtest.Options{})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))

	all := edits()
	realm.Kadmin("addpol users")
	for i := range all {
		realm.AddPrincipal(fmt.Sprintf("p%02d", i), "x")
	}
	for i := range all {
		if strings.Contains(all[i].query, "P-policy") {
			realm.Kadmin(fmt.Sprintf("addpol p%02d-policy", i))
		}
	}
	before := dumped(t, realm)

	var want []string
	for _, i := range rng.Perm(len(all)) {
		if rng.IntN(4) == 0 {
			continue
		}
		name := fmt.Sprintf("p%02d", i)
		realm.Kadmin(strings.ReplaceAll(all[i].query, "P", name))
		if all[i].want == "" {
			continue
		}
		for _, line := range strings.Split(all[i].want, "\n") {
			want = append(want, named(line, name, realm.Name))
		}
	}
	after := dumped(t, realm)

	got, rep := diffFields(t, before, after)
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%+v\n%s", rep, d)
	}
}

// named puts the names into what is expected: that of a principal has a realm.
func named(line, name, realm string) string {
	head, rest, more := strings.Cut(line, "  ")
	head = strings.ReplaceAll(head, "P", name)
	if !strings.Contains(head, "policy ") {
		head += "@" + realm
	}
	if more {
		return head + "  " + rest
	}
	return head
}

// diffFields compares without the times that each edit sets.
func diffFields(t *testing.T, a, b []byte) (lines []string, rep *dump.DiffReport) {
	t.Helper()
	rep, err := dump.Diff(readerAt(a), readerAt(b), dump.DiffOptions{}, func(c *dump.Change) error {
		c.Fields = slices.DeleteFunc(c.Fields, func(f dump.FieldChange) bool {
			return f.Field == "modified" || f.Field == "password_changed"
		})
		if c.Kind != dump.Changed || len(c.Fields) > 0 {
			lines = append(lines, c.String())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines, rep
}

func readerAt(b []byte) *strings.Reader { return strings.NewReader(string(b)) }

func dumped(t *testing.T, realm *krbtest.Realm) []byte {
	t.Helper()
	b, err := os.ReadFile(realm.Dump())
	if err != nil {
		t.Fatal(err)
	}
	return b
}
