package record

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/status"
)

// The test binary is also the program that the tests kill or starve: with
// helperVar set it is a helper of that name on the record at pathVar.
const (
	helperVar = "KPROP_TEST_RECORD_HELPER"
	pathVar   = "KPROP_TEST_RECORD_PATH"
)

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(helperVar) {
	case "":
		os.Exit(m.Run())
	case "write":
		err = helpWrite(os.Getenv(pathVar))
	case "starve":
		err = helpStarve(os.Getenv(pathVar))
	}
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
}

// helper starts the test binary as a helper.
func helper(t *testing.T, name, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperVar+"="+name, pathVar+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	return cmd, bufio.NewScanner(out)
}

const writers = 4 // of helpWrite, each for its replica

// helpWrite writes as fast as it can until it is killed, and says what it has been promised.
func helpWrite(path string) error {
	s, err := Open(path, Options{Keep: 20})
	if err != nil {
		return err
	}
	if s.Damaged() != "" {
		return fmt.Errorf("damaged: %s", s.Damaged())
	}
	fmt.Println("ready")
	var group sync.WaitGroup
	errs := make(chan error, writers)
	for w := range writers {
		group.Go(func() { errs <- writeForEver(s, "kdc"+strconv.Itoa(w)) })
	}
	return <-errs
}

func writeForEver(s *Store, name string) error {
	for {
		run, err := s.NextRun()
		if err != nil {
			return err
		}
		if err := s.PutReplica(realm, name, Replica{Pending: &Pending{Run: run}}); err != nil {
			return err
		}
		a := &status.Attempt{Run: run, Replica: name, Error: strings.Repeat("e", int(run*37%9000))}
		if err := s.Finish(realm, name, Replica{Failures: int(run)}, a); err != nil {
			return err
		}
		if _, err := fmt.Println("done", name, a.ID, run); err != nil {
			return err
		}
	}
}

// helpStarve fills the record until no more can be written, as on a full disk,
// and says what is left.
func helpStarve(path string) error {
	s, err := Open(path, Options{Keep: 1000})
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	size := uint64(info.Size())
	// First the file can grow only once; then there is not even room for the pages that it has.
	for _, limit := range []uint64{2 * size, size / 2, unix.RLIM_INFINITY} {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: limit, Max: unix.RLIM_INFINITY}); err != nil {
			return err
		}
		for range 100 {
			r, _ := s.Replica(realm, "kdc2")
			r.Failures++
			if err = s.Finish(realm, "kdc2", r, &status.Attempt{Error: strings.Repeat("e", 5000)}); err != nil {
				break
			}
		}
		r, readErr := s.Replica(realm, "kdc2")
		h, historyErr := s.History(realm, "kdc2", 2000)
		fmt.Println(r.Failures, len(h), readErr, historyErr, err)
	}
	return s.Close()
}

// promised reads what a helper that was killed has said: the attempts that are
// recorded, which it adds to have, and the last run.
func promised(out *bufio.Scanner, have map[string][]uint64) (run uint64, other string) {
	for out.Scan() {
		var name string
		var id, n uint64
		if _, err := fmt.Sscanf(out.Text(), "done %s %d %d", &name, &id, &n); err != nil {
			if strings.HasPrefix(out.Text(), "error") {
				other = out.Text()
			}
			continue // the last line may be cut
		}
		have[name] = append(have[name], id)
		run = max(run, n)
	}
	if err := out.Err(); err != nil {
		other = err.Error()
	}
	return run, other
}
