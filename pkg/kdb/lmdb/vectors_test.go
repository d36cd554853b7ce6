package lmdb

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/kprop/kprop/pkg/dump"
)

// vector is the path of a fixture.
func vector(name string) string {
	return filepath.Join("..", "..", "..", "testdata", "kdb-lmdb", name)
}

func contents(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fixtures are the recorded databases and the dumps that MIT made of them.
var fixtures = []struct {
	name    string
	lockout bool
	dump    string
	usage   Usage
	stat    map[string]Stat
}{
	{"loaded", true, "../kdb/dump.v7", Usage{22, 1, []FreeRecord{{2, 1}}},
		map[string]Stat{"policy": {1, 0, 1, 0, 5}, "principal": {2, 1, 7, 9, 45}}},
	{"changed", true, "changed.dump", Usage{23, 13, []FreeRecord{{62, 5}, {63, 4}, {64, 4}}},
		map[string]Stat{"policy": {1, 0, 1, 0, 6}, "principal": {2, 1, 11, 6, 71}}},
	{"compact", true, "changed.dump", Usage{22, 0, nil},
		map[string]Stat{"policy": {1, 0, 1, 0, 6}, "principal": {2, 1, 11, 6, 71}}},
	{"deep", false, "deep.dump", Usage{32, 1, []FreeRecord{{2, 1}}},
		map[string]Stat{"policy": {}, "principal": {3, 3, 25, 0, 152}}},
}

func TestVectors(t *testing.T) {
	for _, f := range fixtures {
		t.Run(f.name, func(t *testing.T) {
			opts := RealmOptions{TempDir: t.TempDir(), NoLockout: !f.lockout}
			r, err := OpenRealm(t.Context(), vector(f.name), opts)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			var out bytes.Buffer
			if err := r.Dump(&out, dump.Header{Version: dump.Version7}); err != nil {
				t.Fatal(err)
			}
			if want := contents(t, vector(f.dump)); !bytes.Equal(out.Bytes(), want) {
				t.Errorf("dump of %d bytes, not the %d of MIT", out.Len(), len(want))
			}
			usage, err := r.Main().Check()
			if err != nil {
				t.Fatal(err)
			}
			if got, want := usage, f.usage; got.Used != want.Used || got.Free != want.Free || len(got.Records) != len(want.Records) {
				t.Errorf("usage %+v, want %+v", got, want)
			}
			for i, rec := range f.usage.Records {
				if usage.Records[i] != rec {
					t.Errorf("free record %+v, want %+v", usage.Records[i], rec)
				}
			}
			for name, want := range f.stat {
				if got, err := r.Main().Stat(name); err != nil || got != want {
					t.Errorf("%s: %+v, %v, want %+v", name, got, err, want)
				}
			}
			if r.Lockout() != nil {
				if _, err := r.Lockout().Check(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
