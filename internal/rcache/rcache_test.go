package rcache

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
)

const (
	vectors = "../../testdata/kprop5_01"
	skew    = 5 * time.Minute
)

// recorded is what the test needs of a recorded session.
type recorded struct {
	apReq []byte
	tag   [TagLen]byte
	etype int
	cache []byte
}

func sessions(t *testing.T) map[string]recorded {
	t.Helper()
	files, err := filepath.Glob(vectors + "/*/rcache2")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d recorded caches, %v", len(files), err)
	}
	out := make(map[string]recorded)
	for _, file := range files {
		dir := filepath.Dir(file)
		var info struct {
			Decoded struct {
				Messages      [][2]int `json:"c2s_messages"`
				Tag           string   `json:"rcache_tag"`
				Authenticator struct{ EType int }
			}
		}
		if err := json.Unmarshal(read(t, dir+"/info.json"), &info); err != nil {
			t.Fatal(err)
		}
		at := info.Decoded.Messages[2]
		tag, err := hex.DecodeString(info.Decoded.Tag)
		if err != nil || len(tag) != TagLen {
			t.Fatal(dir, err)
		}
		out[filepath.Base(dir)] = recorded{
			apReq: read(t, dir+"/client-to-server.bin")[at[0]+4:][:at[1]],
			tag:   [TagLen]byte(tag),
			etype: info.Decoded.Authenticator.EType,
			cache: read(t, file),
		}
	}
	return out
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func file2(t *testing.T, path string) *Cache {
	t.Helper()
	c, err := New("file2", path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The last bytes of an AP-REQ are those of the authenticator's ciphertext.
func TestTag(t *testing.T) {
	sumLen := map[int]int{16: 20, 17: 12, 18: 12, 19: 16, 20: 24, 23: 16, 25: 16, 26: 16}
	for name, s := range sessions(t) {
		if got := Tag(s.apReq, sumLen[s.etype]); got != s.tag {
			t.Errorf("%s: tag %x, want %x", name, got, s.tag)
		}
	}
	if got := Tag([]byte{1, 2}, 12); got != [TagLen]byte{1, 2} {
		t.Errorf("short ciphertext: %x", got)
	}
	if got := Tag(nil, -1); got != [TagLen]byte{} {
		t.Errorf("no ciphertext: %x", got)
	}
}

// A cache that MIT's kpropd wrote refuses the recorded authenticator, at any
// age; and from its seed the same file comes out of Store.
func TestRecordedCaches(t *testing.T) {
	for name, s := range sessions(t) {
		path := filepath.Join(t.TempDir(), "rc")
		write(t, path, s.cache)
		if err := file2(t, path).Store(context.Background(), s.tag, time.Now().Add(1000*time.Hour), skew); !errors.Is(err, ErrReplay) {
			t.Errorf("%s: replay gives %v, want ErrReplay", name, err)
		}
		if !bytes.Equal(read(t, path), s.cache) {
			t.Errorf("%s: a refused replay changed the file", name)
		}

		at := bytes.Index(s.cache, s.tag[:])
		stamp := time.Unix(int64(binary.BigEndian.Uint32(s.cache[at+TagLen:])), 0)
		write(t, path, s.cache[:seedLen])
		if err := file2(t, path).Store(context.Background(), s.tag, stamp, skew); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(read(t, path), s.cache) {
			t.Errorf("%s: the file differs from MIT's", name)
		}
	}
}

func tagOf(n int) (tag [TagLen]byte) {
	binary.BigEndian.PutUint64(tag[:], uint64(n)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint32(tag[8:], uint32(n))
	return tag
}

// Many unexpired tags make the file grow by further tables; each is found
// again, and expired ones give their places away.
func TestGrowthAndExpiry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rc")
	write(t, path, []byte("0123456789abcdef"))
	c := file2(t, path)
	ctx := context.Background()
	now := time.Unix(1_800_000_000, 0)
	const n = 6000
	for i := range n {
		if err := c.Store(ctx, tagOf(i), now, skew); err != nil {
			t.Fatal(i, err)
		}
	}
	size := len(read(t, path))
	// Tables 0 and 1 hold 3071 records and end at byte 49152.
	if size <= 49152 || size > 1<<20 {
		t.Errorf("%d tags made a file of %d bytes", n, size)
	}
	for i := range n {
		if err := c.Store(ctx, tagOf(i), now.Add(time.Hour), skew); !errors.Is(err, ErrReplay) {
			t.Fatalf("tag %d again: %v, want ErrReplay", i, err)
		}
	}
	for i := range n {
		if err := c.Store(ctx, tagOf(n+i), now.Add(time.Hour), skew); err != nil {
			t.Fatal(i, err)
		}
	}
	if again := len(read(t, path)); again > 2*size {
		t.Errorf("after expiry the file grew from %d to %d bytes", size, again)
	}
}

func TestExpiryBorder(t *testing.T) {
	r := record{stamp: 1000}
	for _, c := range []struct {
		now, skew uint32
		want      bool
	}{{1300, 300, false}, {1301, 300, true}, {900, 300, false}, {1<<32 - 1, 1<<32 - 1, false}} {
		if got := r.usable(c.now, c.skew); got != c.want {
			t.Errorf("stamp 1000, now %d, skew %d: usable %t, want %t", c.now, c.skew, got, c.want)
		}
	}
}

func TestNew(t *testing.T) {
	env := map[string]string{}
	get := func(k string) string { return env[k] }
	name := fmt.Sprintf("krb5_%d.rcache2", os.Geteuid())
	check := func(want string) {
		t.Helper()
		c, err := New("dfl", "", get)
		if err != nil || c.Path() != filepath.Join(want, name) {
			t.Errorf("got %q, %v; want %s in %s", c.Path(), err, name, want)
		}
	}
	check("/var/tmp")
	env["TMPDIR"] = "/t"
	check("/t")
	env["KRB5RCACHEDIR"] = "/r"
	check("/r")
	for _, bad := range [][2]string{{"file2", ""}, {"file", "/x"}, {"", ""}, {"DFL", ""}} {
		if _, err := New(bad[0], bad[1], get); err == nil {
			t.Errorf("New(%q, %q) succeeded", bad[0], bad[1])
		}
	}
	none, err := New("none", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := none.Store(context.Background(), tagOf(1), time.Now(), skew); err != nil {
			t.Errorf("type none: %v", err)
		}
	}
}

func TestDefaultFileIsGuarded(t *testing.T) {
	dir := t.TempDir()
	c, err := New("dfl", "", func(string) string { return dir })
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if err := c.Store(ctx, tagOf(1), time.Now(), skew); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(c.Path())
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", st.Mode(), err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(c.Path(), 12345, -1); err != nil {
			t.Fatal(err)
		}
		if err := c.Store(ctx, tagOf(2), time.Now(), skew); !errors.Is(err, unix.EIO) {
			t.Errorf("file of another user: %v, want EIO", err)
		}
	}
	if err := os.Remove(c.Path()); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), c.Path()); err != nil {
		t.Fatal(err)
	}
	if err := c.Store(ctx, tagOf(3), time.Now(), skew); !errors.Is(err, unix.ELOOP) {
		t.Errorf("symbolic link: %v, want ELOOP", err)
	}
}

func TestStoreRefuses(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, fifo, filepath.Join(dir, "no/such/dir")} {
		if err := file2(t, path).Store(context.Background(), tagOf(1), time.Now(), skew); err == nil {
			t.Errorf("Store in %s succeeded", path)
		}
	}
	c := file2(t, filepath.Join(dir, "rc"))
	for _, s := range []int64{0, -1, 1 << 32} {
		if err := c.Store(context.Background(), tagOf(1), time.Unix(s, 0), skew); err == nil {
			t.Errorf("the time %d was stored", s)
		}
	}
}

func TestStoreWaitsForLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rc")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := osutil.Lock(f, osutil.Exclusive); err != nil {
		t.Fatal(err)
	}
	c := file2(t, path)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := c.Store(ctx, tagOf(1), time.Now(), skew); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("locked file: %v, want the context's error", err)
	}
	done := make(chan error)
	go func() { done <- c.Store(context.Background(), tagOf(1), time.Now(), skew) }()
	if err := osutil.TryLock(f, osutil.Unlock); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

const racers, raceTags = 4, 300

// race stores the same tags as all other racers and returns how many it was
// the first to store.
func race(c *Cache, now time.Time) (won int, err error) {
	for i := range raceTags {
		switch err := c.Store(context.Background(), tagOf(i), now, skew); {
		case err == nil:
			won++
		case !errors.Is(err, ErrReplay):
			return won, err
		}
	}
	return won, nil
}

func TestGoroutinesShareACache(t *testing.T) {
	c := file2(t, filepath.Join(t.TempDir(), "rc"))
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		total int
	)
	for range racers {
		wg.Go(func() {
			won, err := race(c, time.Now())
			mu.Lock()
			defer mu.Unlock()
			if total += won; err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if total != raceTags {
		t.Errorf("%d tags were accepted %d times", raceTags, total)
	}
}

// childEnv names the cache for a copy of this test program that only races.
const childEnv = "RCACHE_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		c, err := New("file2", path, nil)
		if err == nil {
			var won int
			won, err = race(c, time.Now())
			fmt.Println(won)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestProcessesShareACache(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rc")
	outs := make([]strings.Builder, racers)
	cmds := make([]*exec.Cmd, racers)
	for i := range cmds {
		cmds[i] = exec.Command(os.Args[0])
		cmds[i].Env = append(os.Environ(), childEnv+"="+path)
		cmds[i].Stdout = &outs[i]
		cmds[i].Stderr = os.Stderr
		if err := cmds[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	total := 0
	for i, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		var won int
		if _, err := fmt.Sscan(outs[i].String(), &won); err != nil {
			t.Error(err)
		}
		total += won
	}
	if total != raceTags {
		t.Errorf("%d tags were accepted %d times", raceTags, total)
	}
}

// memFile is a file in memory.
type memFile struct{ data []byte }

func (m *memFile) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(m.data)) {
		return 0, io.EOF
	}
	n := copy(p, m.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (m *memFile) WriteAt(p []byte, off int64) (int, error) {
	if end := off + int64(len(p)); end > int64(len(m.data)) {
		m.data = append(m.data, make([]byte, end-int64(len(m.data)))...)
	}
	return copy(m.data[off:], p), nil
}

// On any content Store writes at most one record (and the seed), the tag is
// then refused, and the file does not outgrow the table after its own end.
func FuzzStore(f *testing.F) {
	f.Add([]byte{}, byte(0), uint32(0), []byte("abcdefghijkl"), uint32(1000))
	f.Add([]byte("seed"), byte(0xff), uint32(20000), []byte("abcdefghijkl"), uint32(1000))
	f.Add([]byte{}, byte(1), uint32(100), bytes.Repeat([]byte{1}, 12), uint32(1<<31))
	f.Fuzz(func(t *testing.T, head []byte, fill byte, n uint32, tagBytes []byte, now uint32) {
		if len(head) > 1<<12 || now == 0 {
			return
		}
		content := append(bytes.Clone(head), bytes.Repeat([]byte{fill}, int(n%(1<<18)))...)
		var tag [TagLen]byte
		copy(tag[:], tagBytes)
		m := &memFile{data: bytes.Clone(content)}
		err := store(m, tag, now, 300)
		if err != nil && !errors.Is(err, ErrReplay) {
			t.Fatal(err)
		}
		if limit := 4*len(content) + 1<<16; len(m.data) > limit {
			t.Fatalf("%d bytes became %d", len(content), len(m.data))
		}
		if err := store(m, tag, now, 300); !errors.Is(err, ErrReplay) {
			t.Fatalf("the second time: %v", err)
		}
	})
}
