package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb/db2"
)

var (
	torture = flag.Bool("torture", false, "kill loads at all moments, not only at some")
	live    = flag.Duration("live", 3*time.Second, "for how long everything is done at once with a database")
)

// liveRealm has a KDC on the primary, and two dumps with the same principals,
// but other policies and keys.
type liveRealm struct {
	*krbtest.Realm
	files [2]string
	texts [2]string
}

func newLiveRealm(t *testing.T, principals int) *liveRealm {
	t.Helper()
	r := &liveRealm{Realm: krbtest.New(t, krbtest.Options{})}
	r.Kadmin("addprinc -pw plain alice")
	r.Kadmin("addprinc -pw preauth +requires_preauth bob")
	r.StartKDC(t)
	base := dumpText(t, r.Primary)
	for i := range r.files {
		var text bytes.Buffer
		_, err := krbtest.GenDump(&text, krbtest.GenOptions{
			Principals: principals, Policies: 3 + i, Seed: int64(i), Realm: r.Name, Base: strings.NewReader(base),
		})
		if err != nil {
			t.Fatal(err)
		}
		r.texts[i] = text.String()
		r.files[i] = filepath.Join(r.Dir, fmt.Sprintf("dump%d", i))
		if err := os.WriteFile(r.files[i], text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mustLoad(t, r.Primary, r.files[0])
	return r
}

// run runs a program on the primary, with a credential cache of its own.
func (r *liveRealm) run(ctx context.Context, stdin, program string, args ...string) error {
	cmd := r.Primary.Command(ctx, program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%s %q: %w: %s", program, args, err, out)
	}
	return nil
}

func (r *liveRealm) kinit(ctx context.Context, user, password string) error {
	return r.run(ctx, password+"\n", "kinit", "-c", "FILE:"+filepath.Join(r.Dir, "cc."+user), user)
}

// loops runs each function again and again until the time is over, but some times
// at least, and gives how often each was. What fails is told.
func loops(t *testing.T, during time.Duration, do map[string]func(i int) error) map[string]int {
	t.Helper()
	stop := time.Now().Add(during)
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		done = map[string]int{}
	)
	for name, f := range do {
		wg.Go(func() {
			for i := 0; !t.Failed() && (i < 3 || time.Now().Before(stop)); i++ {
				if err := f(i); err != nil {
					t.Errorf("%s, the %d. time: %v", name, i+1, err)
				}
				mu.Lock()
				done[name] = i + 1
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return done
}

// TestLoadLive: a KDC, logins with preauthentication and without, writers, dumps
// by MIT's program and by our own, and loads, all at once: no request fails, and no
// dump is torn.
func TestLoadLive(t *testing.T) {
	const principals = 2000
	r := newLiveRealm(t, principals)
	ctx := context.Background()
	want := strings.Count(r.texts[0], "\nprinc\t")
	done := loops(t, *live, map[string]func(i int) error{
		"login":         func(int) error { return r.kinit(ctx, "alice", "plain") },
		"preauth login": func(int) error { return r.kinit(ctx, "bob", "preauth") },
		"writer": func(i int) error {
			return r.run(ctx, "", "kadmin.local", "modprinc", "-maxlife", fmt.Sprintf("%d hours", 1+i%9), "alice")
		},
		"dump by kdb5_util": func(int) error { return r.dump(ctx, want, "kdb5_util") },
		"dump by kprop":     func(int) error { return r.dump(ctx, want, ourKprop()) },
		"snapshot":          func(int) error { return r.snapshot(ctx, want) },
		"load":              func(i int) error { return r.run(ctx, "", ourKprop(), "load", "--force", r.files[i%2]) },
	})
	t.Logf("in %v: %v", *live, done)
}

// dump has a program dump the database, and wants a whole one.
func (r *liveRealm) dump(ctx context.Context, want int, program string) error {
	file := filepath.Join(r.Dir, "by-"+filepath.Base(program))
	if err := r.run(ctx, "", program, "dump", file); err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	rep, err := dump.Verify(f, dump.VerifyOptions{Realm: r.Name})
	if err == nil && (rep.Principals != want || !rep.Sorted || rep.Policies < 3 || rep.Policies > 4) {
		err = fmt.Errorf("%d principals and %d policies", rep.Principals, rep.Policies)
	}
	return err
}

// snapshot counts the principals of a snapshot.
func (r *liveRealm) snapshot(ctx context.Context, want int) error {
	s, err := db2.TakeSnapshot(ctx, r.Primary.Database, db2.SnapshotOptions{})
	if err != nil {
		return err
	}
	defer s.Close()
	f, err := db2.OpenRecordsBytes(s.Principals.Bytes(), r.Primary.Database)
	if err != nil {
		return err
	}
	n := 0
	err = f.Records(func(key, data []byte) error {
		n++
		return db2.DecodePrincipal(new(dump.Principal), key, data)
	})
	if err == nil && n != want {
		err = fmt.Errorf("%d principals, want %d", n, want)
	}
	return err
}

// TestTortureLoad: kprop load is killed at random moments while a KDC is asked. The
// database is always the old or the new one, and the next load, be it one that is
// refused, clears away what is left.
func TestTortureLoad(t *testing.T) {
	r := newLiveRealm(t, 3000)
	ctx, cancel := context.WithCancel(context.Background())
	var asking sync.WaitGroup
	logins := 0
	asking.Go(func() {
		for ; ctx.Err() == nil; logins++ {
			if err := r.kinit(ctx, "bob", "preauth"); err != nil {
				t.Errorf("a login during the kills: %v", err)
			}
		}
	})
	defer asking.Wait()
	defer cancel()

	empty := filepath.Join(r.Dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	mustLoad(t, r.Primary, "--no-keep-lockout", r.files[1])
	whole := time.Since(start)
	is, torn, changed, leftovers := 1, 0, 0, 0
	kills := 12
	if *torture {
		kills = 300
	}
	for range kills {
		after := rand.N(whole * 5 / 4)
		r.kill(t, after, r.files[1-is])
		if got := r.state(t, true); got < 0 {
			t.Errorf("killed after %v: the principals are torn", after)
			torn++
		}
		leftovers += len(r.left(t))
		if p := load(t, r.Primary, "", empty); p.exit != 1 {
			t.Fatalf("%+v", p)
		}
		switch got := r.state(t, false); {
		case got < 0:
			t.Errorf("killed after %v: the database is torn after the next load", after)
			torn++
		case got != is:
			is = got
			changed++
		}
		if left := r.left(t); len(left) > 0 {
			t.Errorf("killed after %v: left %v", after, left)
		}
		if t.Failed() {
			break
		}
	}
	mustLoad(t, r.Primary, r.files[1-is])
	t.Logf("%d kills within %v: %d loads came through, %d files were cleared away, %d databases torn, %d logins", kills, whole, changed, leftovers, torn, logins)
	if leftovers == 0 {
		t.Error("no kill has left anything: none was in the middle of a load")
	}
}

// kill begins a load and kills it after some time.
func (r *liveRealm) kill(t *testing.T, after time.Duration, file string) {
	t.Helper()
	cmd := r.Primary.Command(context.Background(), ourKprop(), "load", "--force", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after) // the moment is the fault
	_ = cmd.Process.Signal(syscall.SIGKILL)
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
}

// state is which of the two texts the database holds, apart from what logins
// change, and, between two renames, from the policies; -1 if none.
func (r *liveRealm) state(t *testing.T, onlyPrincipals bool) int {
	t.Helper()
	got := plainText(t, dumpText(t, r.Primary), onlyPrincipals)
	return slices.IndexFunc(r.texts[:], func(text string) bool { return plainText(t, text, onlyPrincipals) == got })
}

// plainText is a dump without the data that logins change.
func plainText(t *testing.T, text string, onlyPrincipals bool) string {
	t.Helper()
	rd, err := dump.NewReader(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, err := dump.NewWriter(&out, rd.Header())
	if err != nil {
		t.Fatal(err)
	}
	for {
		rec, err := rd.Next()
		if err != nil {
			break
		}
		if p, is := rec.(*dump.Principal); is {
			p.LastSuccess, p.LastFailed, p.FailAuthCount = 0, 0, 0
		} else if onlyPrincipals {
			break
		}
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// left are the files that a load makes beside the database, but for its lock.
func (r *liveRealm) left(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob(r.Primary.Database + ".kpropd*")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(path string) bool { return strings.HasSuffix(path, "-lock") })
}
