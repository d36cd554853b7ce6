//go:build klmdb

// Run with: .ci/klmdb DIR && KPROP_KLMDB=DIR go test -tags klmdb -run OfMIT ./pkg/kdb/lmdb ./cmd/kpropd
package lmdb_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb/lmdb"
)

// klmdbEnv names a directory with MIT's klmdb.so, which Debian does not build:
// .ci/klmdb does, from Debian's source.
const klmdbEnv = "KPROP_KLMDB"

// mitRealm is a database that MIT's kdb5_util loads into.
type mitRealm struct {
	dir, d  string
	env     []string
	mapSize int
}

func newMIT(t *testing.T, mapSize int) *mitRealm {
	t.Helper()
	dir := t.TempDir()
	r := &mitRealm{dir: dir, d: filepath.Join(dir, "principal"), mapSize: mapSize}
	for name, text := range map[string]string{
		"krb5.conf": "[libdefaults]\n\tdefault_realm = R\n",
		"kdc.conf": fmt.Sprintf("[realms]\n\tR = {\n\t\tdatabase_name = %s\n\t}\n[dbmodules]\n\tdb_module_dir = %s\n\tR = {\n\t\tdb_library = klmdb\n\t\tmapsize = %d\n\t}\n",
			r.d, os.Getenv(klmdbEnv), mapSize),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.env = append(os.Environ(), "LC_ALL=C", "KRB5_CONFIG="+dir+"/krb5.conf", "KRB5_KDC_PROFILE="+dir+"/kdc.conf")
	return r
}

func (r *mitRealm) load(t *testing.T, text []byte) error {
	t.Helper()
	path := filepath.Join(r.dir, "dump")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := krbtest.LookPath("kdb5_util")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "load", path)
	cmd.Env = r.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return err
}

// someDump has n principals, a few of them with values that are far too large for
// a page, shuffled if that is asked for.
func someDump(t *testing.T, n int, r *rand.Rand, large, shuffled bool) []byte {
	t.Helper()
	var made, out bytes.Buffer
	if _, err := krbtest.GenDump(&made, krbtest.GenOptions{Principals: n, Policies: 3, Seed: r.Int64(), Realm: "R"}); err != nil {
		t.Fatal(err)
	}
	in, err := dump.NewReader(&made)
	if err != nil {
		t.Fatal(err)
	}
	w, err := dump.NewWriter(&out, in.Header())
	if err != nil {
		t.Fatal(err)
	}
	for {
		rec, err := in.Next()
		if err != nil {
			break
		}
		if p, is := rec.(*dump.Principal); is && large && r.IntN(20) == 0 {
			p.TL = append(p.TL, dump.TL{Type: 0x7f01, Data: make([]byte, r.IntN(20000))})
		}
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(out.String(), "\n"), "\n")
	lines[len(lines)-1] += "\n"
	if body := lines[1:]; shuffled {
		r.Shuffle(len(body), func(i, j int) { body[i], body[j] = body[j], body[i] })
	}
	return []byte(strings.Join(lines, ""))
}

// TestCheckLoadOfMIT: what CheckLoad lets pass, MIT's kdb5_util can load. One load
// after the other goes into the same database, near to what fits.
func TestCheckLoadOfMIT(t *testing.T) {
	if os.Getenv(klmdbEnv) == "" {
		t.Fatalf("%s names no directory with klmdb.so; make one with .ci/klmdb", klmdbEnv)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	loaded, refused, needless := 0, 0, 0
	for range 12 {
		m := newMIT(t, 1+r.IntN(2))
		large, shuffled := r.IntN(3) == 0, r.IntN(3) == 0
		for range 8 {
			n := 100 + r.IntN(2000*m.mapSize)
			if large {
				n /= 4
			}
			text := someDump(t, n, r, large, shuffled)
			size, err := lmdb.PageSize(m.d)
			if err != nil {
				t.Fatal(err)
			}
			needs, err := lmdb.Size(bytes.NewReader(text), size)
			if err != nil {
				t.Fatal(err)
			}
			v, err := lmdb.CheckLoad(t.Context(), m.d, needs, lmdb.LoadOptions{MapSize: m.mapSize})
			var would *lmdb.LoadError
			if err != nil && !errors.As(err, &would) {
				t.Fatal(err)
			}
			if would != nil {
				refused++
				if err := lmdb.Keep(t.Context(), m.d); err != nil {
					t.Fatal(err)
				}
				if m.load(t, text) == nil {
					needless++
				}
				_, err := lmdb.Recover(t.Context(), m.d)
				if err := errors.Join(err, lmdb.Forget(m.d)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if err := m.load(t, text); err != nil {
				t.Fatalf("%d principals, large %v, shuffled %v, mapsize %d: %v\n%+v", n, large, shuffled, m.mapSize, err, v)
			}
			loaded++
			if got, err := lmdb.PageSize(m.d); err != nil || got == 0 {
				t.Fatalf("%d, %v", got, err)
			}
			if err := lmdb.View(t.Context(), m.d, func(r *lmdb.Realm) error {
				if last := r.Main().Info().LastPage; last >= v.Main.NeedPages {
					t.Errorf("the file has %d pages, %d were foretold at most", last+1, v.Main.NeedPages)
				}
				_, err := r.Main().Check()
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d loads; %d refused, of which %d would have done", loaded, refused, needless)
	if loaded == 0 || refused == needless {
		t.Error("nothing was near the limit")
	}
}
