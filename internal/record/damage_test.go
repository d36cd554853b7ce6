package record

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/kprop/kprop/internal/status"
)

// try opens a record with the content data and uses all of it. It reports
// whether the content was accepted, and otherwise looks that it is still there.
// Nothing may end the test's process.
func try(t *testing.T, dir string, data []byte) (accepted bool) {
	t.Helper()
	path := filepath.Join(dir, "kprop.db")
	must(t, os.WriteFile(path, data, 0o600))
	s, err := Open(path, Options{Keep: 5})
	if err != nil {
		if !errors.Is(err, ErrForeign) && !errors.Is(err, ErrNewer) {
			t.Errorf("neither opened nor moved aside: %v", err)
		}
		if now, err := os.ReadFile(path); err != nil || !slices.Equal(now, data) {
			t.Errorf("a refused file was changed, %v", err)
		}
		return false
	}
	use(t, s)
	must(t, s.db.View(func(tx *bbolt.Tx) error {
		var errs []error
		for err := range tx.Check() {
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}))
	must(t, s.Close())
	if s.Damaged() == "" {
		return true
	}
	if moved, err := os.ReadFile(s.Damaged()); err != nil || !slices.Equal(moved, data) {
		t.Errorf("what was moved aside is not what was there: %v", err)
	}
	must(t, os.Remove(s.Damaged()))
	return false
}

// use reads all and writes to all.
func use(t *testing.T, s *Store) {
	t.Helper()
	h, err := s.History("", "", 1000)
	must(t, err)
	for _, a := range h[:min(3, len(h))] {
		_, err := s.Recent(a.Realm, a.Replica, 30)
		must(t, err)
	}
	_, err = s.Realm(realm)
	must(t, err)
	must(t, s.update(func(tx *bbolt.Tx) error { // one commit for all, since hundreds of files are tried
		for _, name := range []string{"kdc0", "kdc1", "kdc2", "kdc9"} {
			if _, err := s.finish(tx, []byte(realm+separator+name), Replica{Last: &status.Attempt{Replica: name}}); err != nil {
				return err
			}
		}
		return nil
	}))
	must(t, s.Forget(realm, []string{"kdc1"}, false))
	must(t, s.ForgetRealms(nil))
}

func TestTruncated(t *testing.T) {
	data, err := os.ReadFile(sample(t, 90))
	must(t, err)
	dir := t.TempDir()
	lengths := []int{1, 7, 8, 9, 15, 16, 19, 20, 79, 80, 81, 100, 4095, 4096, 4097, 4175, 4176, 4177, 8191}
	for n := 2 * pageSize; n < len(data); n += pageSize {
		lengths = append(lengths, n, n+2000)
	}
	var accepted []int
	for _, n := range lengths {
		if try(t, dir, data[:n]) {
			accepted = append(accepted, n)
		}
	}
	_, used := inUse(t, data)
	for _, n := range accepted {
		if n < used {
			t.Errorf("with %d bytes of %d in use it was accepted", n, used)
		}
	}
	if !try(t, dir, data) {
		t.Error("the whole file was not accepted")
	}
	t.Logf("%d bytes, %d in use, %d lengths", len(data), used, len(lengths))
}

func inUse(t *testing.T, data []byte) (meta, int) {
	t.Helper()
	m, err := newestMeta(data[:2*pageSize])
	must(t, err)
	return m, int(m.pages) * pageSize
}

func TestOverwritten(t *testing.T) {
	data, err := os.ReadFile(sample(t, 90))
	must(t, err)
	_, used := inUse(t, data)
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(7, 7))
	accepted := 0
	const tries = 250
	for i := range tries {
		bad := slices.Clone(data)
		at := random.IntN(used)
		if i%2 == 0 { // at the start of a page, where the structure is
			at = at/pageSize*pageSize + random.IntN(200)
		}
		for range 1 + random.IntN(8) {
			bad[min(at, len(bad)-1)] = [...]byte{0, 1, 0x7F, 0xFF, byte(random.Uint32())}[random.IntN(5)]
			at++
		}
		if try(t, dir, bad) {
			accepted++
		}
	}
	if accepted == 0 || accepted == tries {
		t.Errorf("%d of %d were accepted", accepted, tries)
	}
	t.Logf("%d of %d were accepted", accepted, tries)
}

// TestMetaOutOfRange has pages that say nonsense under a valid checksum.
func TestMetaOutOfRange(t *testing.T) {
	data, err := os.ReadFile(sample(t, 30))
	must(t, err)
	m, _ := inUse(t, data)
	tests := []struct {
		name  string
		at    int
		value uint64
	}{
		{"root 0", 16, 0}, {"root 1", 16, 1}, {"root far", 16, 1 << 60}, {"root past the end", 16, m.pages}, {"root is the free list", 16, m.freelist},
		{"free list 0", 32, 0}, {"free list is the root", 32, m.root}, {"free list far", 32, 1 << 50}, {"free list past the end", 32, m.pages},
		{"no pages", 40, 0}, {"few pages", 40, 4}, {"one page less", 40, m.pages - 1}, {"many pages", 40, m.pages + 1<<40}, {"all bits", 40, ^uint64(0)},
		{"transaction", 48, ^uint64(0)},
	}
	dir := t.TempDir()
	for _, test := range tests {
		bad := slices.Clone(data)
		patchMeta(bad, func(p []byte) { binary.NativeEndian.PutUint64(p[test.at:], test.value) })
		if try(t, dir, bad) {
			t.Errorf("%s: accepted", test.name)
		}
	}
	for _, size := range []uint32{0, 1, 1024, 65536, 1 << 31} {
		bad := slices.Clone(data)
		patchMeta(bad, func(p []byte) { binary.NativeEndian.PutUint32(p[8:], size) })
		if try(t, dir, bad) {
			t.Errorf("page size %d: accepted", size)
		}
	}
	// bbolt writes a list of free pages only if told; without one it searches.
	bad := slices.Clone(data)
	patchMeta(bad, func(p []byte) { binary.NativeEndian.PutUint64(p[32:], ^uint64(0)) })
	if !try(t, dir, bad) {
		t.Error("a file without a list of free pages was not accepted")
	}
}

// patchMeta changes both meta pages and gives them valid checksums.
func patchMeta(data []byte, patch func(m []byte)) {
	for i := range 2 {
		m := data[i*pageSize+pageHeader:][:metaLen]
		patch(m)
		sum := fnv.New64a()
		sum.Write(m[:metaLen-8])
		binary.NativeEndian.PutUint64(m[metaLen-8:], sum.Sum64())
	}
}

func TestOneTornMetaIsNoDamage(t *testing.T) {
	data, err := os.ReadFile(sample(t, 30))
	must(t, err)
	for i := range 2 {
		bad := slices.Clone(data)
		clear(bad[i*pageSize+pageHeader+20:][:300])
		if !try(t, t.TempDir(), bad) {
			t.Errorf("without meta page %d the file was not accepted", i)
		}
	}
}

// TestDamageInUse cuts the file while it is mapped: what cannot be read gives
// an error, not the end of the process, and the next start moves it aside.
func TestDamageInUse(t *testing.T) {
	path := sample(t, 90)
	s, err := Open(path, Options{})
	must(t, err)
	must(t, os.Truncate(path, 2*pageSize))
	if _, err = s.History("", "", 1000); !errors.Is(err, ErrBroken) {
		t.Errorf("history: %v", err)
	}
	if err := s.Finish(realm, "kdc1", Replica{}, &status.Attempt{}); !errors.Is(err, ErrBroken) {
		t.Errorf("finish: %v", err)
	}
	if _, err := s.Replica(realm, "kdc1"); !errors.Is(err, ErrBroken) {
		t.Errorf("replica: %v", err)
	}
	must(t, s.Close())
	s = openAt(t, path, Options{})
	if s.Damaged() == "" {
		t.Error("not moved aside")
	}
	finish(t, s, realm, "kdc1", 0)
}

func TestDamageInUseSeenByAWrite(t *testing.T) {
	path := sample(t, 90)
	s, err := Open(path, Options{})
	must(t, err)
	must(t, os.Truncate(path, 2*pageSize))
	for range 3 {
		if err := s.PutRealm(realm, Realm{}); !errors.Is(err, ErrBroken) {
			t.Errorf("%v", err)
		}
	}
	must(t, s.Close())
	if s := openAt(t, path, Options{}); s.Damaged() == "" {
		t.Error("not moved aside")
	}
}

// TestLostWrites has the disk say that it lost what it had taken: nothing more
// may be written, since it might refer to that.
func TestLostWrites(t *testing.T) {
	full := &os.PathError{Op: "write", Path: "kprop.db", Err: syscall.ENOSPC}
	tests := []struct {
		err    error
		broken bool
	}{
		{full, false},
		{errors.New("file resize error"), false},
		{&os.PathError{Op: "write", Path: "kprop.db", Err: syscall.EIO}, true},
		{syscall.EIO, true},
		{syscall.ENOSPC, true},
	}
	for _, test := range tests {
		s := openNew(t, Options{})
		finish(t, s, realm, "kdc2", 0)
		if err := s.update(func(*bbolt.Tx) error { return test.err }); err == nil || !strings.Contains(err.Error(), test.err.Error()) {
			t.Errorf("%v: %v", test.err, err)
		}
		err := s.Finish(realm, "kdc2", Replica{}, &status.Attempt{})
		if errors.Is(err, ErrBroken) != test.broken {
			t.Errorf("after %v: %v", test.err, err)
		}
		if h, err := s.History("", "", 0); err != nil || len(h) == 0 {
			t.Errorf("reading after %v: %v", test.err, err)
		}
	}
}
