package record

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// change writes to a closed record by plain bbolt.
func change(t *testing.T, path string, fn func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	must(t, err)
	must(t, db.Update(fn))
	must(t, db.Close())
}

// sample makes a closed record of some size and returns its path.
func sample(t testing.TB, attempts int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kprop.db")
	s, err := Open(path, Options{Keep: 30})
	must(t, err)
	must(t, s.PutRealm(realm, Realm{LastRun: noon}))
	for i := range attempts {
		finish(t, s, realm, "kdc"+fmt.Sprint(i%3), i)
	}
	must(t, s.Close())
	return path
}

func TestLocked(t *testing.T) {
	path := sample(t, 1)
	s := openAt(t, path, Options{})
	start := time.Now()
	_, err := Open(path, Options{})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), fmt.Sprintf("(process %d)", os.Getpid())) {
		t.Error(err)
	}
	if took := time.Since(start); took < lockWait || took > 5*lockWait {
		t.Errorf("gave up after %v", took)
	}
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(path, link))
	if _, err := Open(link, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("by another name: %v", err)
	}
	must(t, s.Close())
	openAt(t, link, Options{})
}

func TestLockedByAnotherTool(t *testing.T) {
	path := sample(t, 1)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	must(t, err)
	if _, err := Open(path, Options{}); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "fuser") {
		t.Error(err)
	}
	waiting := make(chan error)
	go func() {
		s, err := Open(path, Options{})
		if err == nil {
			err = s.Close()
		}
		waiting <- err
	}()
	must(t, db.Close())
	must(t, <-waiting)
}

func TestRefusedFiles(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("not root: the file of another user is not tried")
	}
	tests := []struct {
		name  string
		spoil func(path string) error
		is    error
		want  string
	}{
		{"text", func(path string) error { return os.WriteFile(path, []byte("# kprop.yaml\nreplicas: []\n"), 0o600) }, ErrForeign, "not a record"},
		{"one byte", func(path string) error { return os.WriteFile(path, []byte("#"), 0o600) }, ErrForeign, "not a record"},
		{"large", func(path string) error { return os.WriteFile(path, []byte(strings.Repeat("key", 9000)), 0o600) }, ErrForeign, "not a record"},
		{"another bbolt file", func(path string) error {
			return errors.Join(os.Remove(path), foreignBolt(path))
		}, ErrForeign, "of another program"},
		{"directory", func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }, ErrForeign, "no regular file"},
		{"fifo", func(path string) error { return errors.Join(os.Remove(path), unix.Mkfifo(path, 0o600)) }, ErrForeign, "no regular file"},
		{"group", func(path string) error { return os.Chmod(path, 0o660) }, ErrUnsafe, "chmod 0600 "},
		{"world", func(path string) error { return os.Chmod(path, 0o602) }, ErrUnsafe, "chmod 0600 "},
		{"directory of all", func(path string) error { return os.Chmod(filepath.Dir(path), 0o777) }, ErrUnsafe, "chmod o-w "},
		{"owner", func(path string) error {
			if os.Geteuid() != 0 {
				return os.Chmod(path, 0o666)
			}
			return os.Chown(path, 4711, -1)
		}, ErrUnsafe, "run: ch"},
	}
	for _, test := range tests {
		path := sample(t, 3)
		must(t, test.spoil(path))
		before, _ := os.ReadFile(regular(path))
		_, err := Open(path, Options{})
		if !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", test.name, err)
		}
		after, _ := os.ReadFile(regular(path))
		if string(before) != string(after) {
			t.Errorf("%s: the file was changed", test.name)
		}
		if found, _ := filepath.Glob(path + damagedMark + "*"); len(found) > 0 {
			t.Errorf("%s: moved to %s", test.name, found)
		}
	}
}

// regular returns path if reading it does not wait.
func regular(path string) string {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return os.DevNull
	}
	return path
}

func foreignBolt(path string) error {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	return errors.Join(db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("members"))
		return err
	}), db.Close())
}

func TestContent(t *testing.T) {
	meta := func(tx *bbolt.Tx) *bbolt.Bucket { return tx.Bucket([]byte(metaBucket)) }
	history := func(tx *bbolt.Tx) *bbolt.Bucket { return tx.Bucket([]byte(historyBucket)) }
	tests := []struct {
		name   string
		change func(tx *bbolt.Tx) error
		is     error // nil: moved aside
	}{
		{"newer", func(tx *bbolt.Tx) error { return meta(tx).Put([]byte(schemaKey), []byte("2")) }, ErrNewer},
		{"newer without our buckets", func(tx *bbolt.Tx) error {
			return errors.Join(meta(tx).Put([]byte(schemaKey), []byte("12")), tx.DeleteBucket([]byte(replicaBucket)))
		}, ErrNewer},
		{"no version", func(tx *bbolt.Tx) error { return meta(tx).Delete([]byte(schemaKey)) }, nil},
		{"version is no number", func(tx *bbolt.Tx) error { return meta(tx).Put([]byte(schemaKey), []byte("x")) }, nil},
		{"no history", func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(historyBucket)) }, nil},
		{"a value in the history", func(tx *bbolt.Tx) error { return history(tx).Put([]byte("k"), []byte("v")) }, nil},
		{"a bucket among the states", func(tx *bbolt.Tx) error {
			_, err := tx.Bucket([]byte(replicaBucket)).CreateBucket([]byte("k"))
			return err
		}, nil},
		{"a wrong ID", func(tx *bbolt.Tx) error {
			return history(tx).Bucket([]byte(realm+separator+"kdc0")).Put([]byte("k"), []byte("v"))
		}, nil},
		{"an ID out of range", func(tx *bbolt.Tx) error {
			return history(tx).Bucket([]byte(realm+separator+"kdc0")).Put(idKey(1<<60), []byte("{}"))
		}, nil},
		{"a counter out of range", func(tx *bbolt.Tx) error { return meta(tx).SetSequence(1 << 60) }, nil},
	}
	for _, test := range tests {
		path := sample(t, 3)
		change(t, path, test.change)
		s, err := Open(path, Options{})
		if test.is != nil {
			if !errors.Is(err, test.is) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if err != nil || s.Damaged() == "" {
			t.Errorf("%s: %v", test.name, err)
		}
		if err == nil {
			must(t, s.Close())
		}
	}
}

func TestCounterBehindTheHistory(t *testing.T) {
	path := sample(t, 9)
	change(t, path, func(tx *bbolt.Tx) error { return tx.Bucket([]byte(historyBucket)).SetSequence(2) })
	s := openAt(t, path, Options{})
	if got := finish(t, s, realm, "kdc0", 0); got != 10 || s.Damaged() != "" {
		t.Errorf("the IDs go on with %d, damaged %q", got, s.Damaged())
	}
}

func TestDamagedFilesAreKept(t *testing.T) {
	path := sample(t, 3)
	now := noon
	var moved []string
	for i := range 6 {
		if i != 1 { // twice in the same second
			now = now.Add(time.Minute)
		}
		content := strings.Repeat("\x00", 100+i)
		must(t, os.WriteFile(path, []byte(content), 0o600))
		s, err := Open(path, Options{Now: func() time.Time { return now }})
		must(t, err)
		moved = append(moved, s.Damaged())
		finish(t, s, realm, "kdc2", 0)
		must(t, s.Close())
		if got, err := os.ReadFile(s.Damaged()); err != nil || string(got) != content {
			t.Errorf("%v: %s does not hold what was moved", err, s.Damaged())
		}
	}
	if moved[0] != path+".damaged-20260301T120100Z" || moved[1] != moved[0]+"-02" {
		t.Errorf("moved to %q", moved)
	}
	found, err := filepath.Glob(path + ".damaged-*")
	must(t, err)
	if !slices.Equal(found, moved[3:]) {
		t.Errorf("%q are left of %q", found, moved)
	}
	now = noon.Add(-24 * time.Hour)
	must(t, os.WriteFile(path, make([]byte, 30000), 0o600))
	s := openAt(t, path, Options{Now: func() time.Time { return now }})
	if _, err := os.Stat(s.Damaged()); err != nil {
		t.Errorf("with the clock set back: %v", err)
	}
}
