package dump_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/dump"
)

// TestDiffMasterKeyFields: K/M is told of once, with its lists.
func TestDiffMasterKeyFields(t *testing.T) {
	old := fixture(t, "dump.v7")
	now := edited(t, "K/M@KDB.TEST", func(p *dump.Principal) {
		p.Keys = p.Keys[:1]
		for i := range p.TL {
			switch p.TL[i].Type {
			case dump.TLMKeyAux, dump.TLActKVNO:
				p.TL[i].Data[2] ^= 4
			}
		}
	}, nilPolicy)
	lines, rep := diff(t, old, now, dump.DiffOptions{})
	want := []string{"~ K/M@KDB.TEST  old kvnos -1, active master keys changed, master key aux changed"}
	if d := cmp.Diff(want, lines); d != "" || !rep.MasterKey {
		t.Error(d)
	}
	other := bytes.ReplaceAll(old, []byte("K/M@KDB.TEST"), []byte("K/N@KDB.TEST"))
	if _, rep := diff(t, old, other, dump.DiffOptions{}); !rep.MasterKey || rep.A.Lacks != nil || rep.B.Lacks == nil {
		t.Errorf("%+v", rep)
	}
}

// TestDiffNames compares the names of enctypes and salts with those that
// kdb5_util tabdump gives.
func TestDiffNames(t *testing.T) {
	named := make(map[string][]string)
	for _, line := range strings.Split(string(fixture(t, "tab.keyinfo")), "\n") {
		if f := strings.Split(line, "\t"); len(f) > 5 {
			named[f[0]] = append(named[f[0]], f[3], f[4])
		}
	}
	old := fixture(t, "dump.v7")
	for _, name := range []string{"host/allenc.kdb.test@KDB.TEST", "mia@KDB.TEST", "renamed@KDB.TEST"} {
		var enctypes, salts []string
		for i := 0; i < len(named[name]); i += 2 {
			enctypes = append(enctypes, "-"+named[name][i])
			if s := named[name][i+1]; !slices.Contains(salts, s) {
				salts = append(salts, s)
			}
		}
		lines, _ := diff(t, old, edited(t, name, func(p *dump.Principal) { p.Keys = nil }, nilPolicy), dump.DiffOptions{})
		if want := "enctypes " + strings.Join(enctypes, " "); len(enctypes) == 0 || !strings.HasSuffix(lines[0], want) {
			t.Errorf("%s, want %s", lines, want)
		}
		now := edited(t, name, func(p *dump.Principal) {
			for i := range p.Keys {
				p.Keys[i].Version, p.Keys[i].Type[1] = 2, 99
			}
		}, nilPolicy)
		lines, _ = diff(t, old, now, dump.DiffOptions{})
		if want := "salt " + strings.Join(salts, ",") + " -> salt-99"; !strings.HasSuffix(lines[0], want) {
			t.Errorf("%s, want %s", lines, want)
		}
	}
}

// TestDiffStops: an error of the caller ends it at once, wherever the other
// goroutines are.
func TestDiffStops(t *testing.T) {
	var a bytes.Buffer
	if _, err := krbtest.GenDump(&a, krbtest.GenOptions{Principals: 20_000}); err != nil {
		t.Fatal(err)
	}
	none := strings.NewReader(header7)
	for _, after := range []int{0, 1500, 19_999} {
		enough, n := errors.New("enough"), 0
		_, err := dump.Diff(bytes.NewReader(a.Bytes()), none, dump.DiffOptions{}, func(*dump.Change) error {
			if n++; n > after {
				return enough
			}
			return nil
		})
		if err != enough || n != after+1 {
			t.Errorf("after %d: %d, %v", after, n, err)
		}
	}
}
