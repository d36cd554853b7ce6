package record

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/kprop/kprop/internal/status"
)

// TestConcurrent has many use one store at once; with -race it also looks for races.
func TestConcurrent(t *testing.T) {
	s := openNew(t, Options{Keep: 4})
	const replicas, attempts = 50, 8
	var mu sync.Mutex
	seen := make(map[uint64]string)
	var group sync.WaitGroup
	errs := make(chan error, replicas)
	for i := range replicas {
		group.Go(func() {
			errs <- func() error {
				name := "kdc" + strconv.Itoa(i)
				for n := range attempts {
					a := &status.Attempt{Replica: name, Run: uint64(n)}
					if err := s.Finish(realm, name, Replica{Failures: n}, a); err != nil {
						return err
					}
					mu.Lock()
					if other, twice := seen[a.ID]; twice {
						return fmt.Errorf("ID %d twice: %s and %s", a.ID, other, name)
					}
					seen[a.ID] = name
					mu.Unlock()
					h, err := s.History(realm, name, 10)
					if err != nil || len(h) != min(n+1, 4) || h[0].ID != a.ID || h[0].Run != a.Run {
						return fmt.Errorf("%s after %d: %+v, %w", name, n, h, err)
					}
					if r, err := s.Replica(realm, name); err != nil || r.Failures != n || r.Last.ID != a.ID {
						return fmt.Errorf("%s after %d: %+v, %w", name, n, r, err)
					}
					s.SetKeep(4)
					if _, err := s.Recent(realm, "kdc0", 3); err != nil {
						return err
					}
				}
				return s.Forget("OTHER", nil, false)
			}()
		})
	}
	group.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	h, err := s.History("", "", 1000)
	must(t, err)
	if len(seen) != replicas*attempts || len(h) != replicas*4 || h[0].ID != replicas*attempts {
		t.Errorf("%d IDs, %d attempts", len(seen), len(h))
	}
	for i, a := range h {
		if seen[a.ID] != a.Replica || i > 0 && a.ID >= h[i-1].ID {
			t.Errorf("attempt %d of %s at %d", a.ID, a.Replica, i)
		}
	}
}

// TestWritesShareCommits holds the first commit until all others wait.
func TestWritesShareCommits(t *testing.T) {
	s := openNew(t, Options{})
	const others = 300
	begun, release := make(chan bool), make(chan bool)
	var group sync.WaitGroup
	group.Go(func() {
		first := true
		_ = s.update(func(*bbolt.Tx) error {
			if first {
				first = false
				close(begun)
				<-release
			}
			return nil
		})
	})
	<-begun
	before := s.db.Stats()
	errs := make(chan error, others)
	for i := range others {
		group.Go(func() {
			a := &status.Attempt{Replica: "kdc"}
			name := "kdc" + strconv.Itoa(i)
			if i == 7 {
				errs <- s.update(func(*bbolt.Tx) error { return errors.New("this one fails alone") })
				return
			}
			errs <- s.Finish(realm, name, Replica{}, a)
		})
	}
	for len(s.writes) < others {
		runtime.Gosched()
	}
	close(release)
	group.Wait()
	close(errs)
	var failed []string
	for err := range errs {
		if err != nil {
			failed = append(failed, err.Error())
		}
	}
	if len(failed) != 1 || !strings.Contains(failed[0], "this one fails alone") {
		t.Errorf("failed: %q", failed)
	}
	h, err := s.History("", "", 1000)
	must(t, err)
	if len(h) != others-1 {
		t.Errorf("%d attempts", len(h))
	}
	after := s.db.Stats()
	writes := after.TxStats.Sub(&before.TxStats)
	t.Logf("%d page writes for %d attempts", writes.GetWrite(), others)
	if writes.GetWrite() > others {
		t.Errorf("%d page writes for %d attempts: they do not share commits", writes.GetWrite(), others)
	}
}

// TestFileIsBounded ends many attempts.
func TestFileIsBounded(t *testing.T) {
	tests := []struct {
		name     string
		attempts int
		text     int
		limit    int64
	}{
		{"usual", 20000, 300, 1 << 20},
		{"longest", 1000, MaxAttempt + 1000, 8 << 20}, // 150 of 16 KiB are 2.4 MiB
	}
	for _, test := range tests {
		path := sample(t, 0)
		s := openAt(t, path, Options{Keep: 50})
		text := strings.Repeat("e", test.text)
		const together = 200
		for first := 0; first < test.attempts; first += together {
			var group sync.WaitGroup
			errs := make(chan error, together)
			for i := range together {
				group.Go(func() {
					errs <- s.Finish(realm, "kdc"+strconv.Itoa((first+i)%3), Replica{}, &status.Attempt{Started: noon, Error: text})
				})
			}
			group.Wait()
			close(errs)
			for err := range errs {
				must(t, err)
			}
		}
		h, err := s.History("", "", 1000)
		must(t, err)
		info, err := os.Stat(path)
		must(t, err)
		t.Logf("%s: %d bytes", test.name, info.Size())
		if len(h) != 150 || info.Size() > test.limit {
			t.Errorf("%s: %d attempts, %d bytes, at most %d", test.name, len(h), info.Size(), test.limit)
		}
	}
}

// BenchmarkFinish records an attempt of each of some replicas, which end together.
func BenchmarkFinish(b *testing.B) {
	for _, replicas := range []int{1, 300} {
		b.Run(strconv.Itoa(replicas), func(b *testing.B) {
			s := openNew(b, Options{})
			for b.Loop() {
				var group sync.WaitGroup
				for i := range replicas {
					group.Go(func() {
						if err := s.Finish(realm, "kdc"+strconv.Itoa(i), Replica{}, &status.Attempt{Error: "none"}); err != nil {
							b.Error(err)
						}
					})
				}
				group.Wait()
			}
		})
	}
}
