package db2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestChanges(t *testing.T) {
	const users = 2000
	r := rand.New(rand.NewPCG(7, 8))
	text := realm(t, r, 0, users)
	for _, c := range []struct {
		name   string
		change func(t *testing.T, live string)
		want   string
	}{
		{"a login", func(t *testing.T, live string) { login(t, live, "user0000042@KPROP.TEST", 9) }, ""},
		{"the same again", func(t *testing.T, live string) {
			build(t, live+"2", realm(t, rand.New(rand.NewPCG(9, 9)), 0, users))
			ok(t, os.Rename(live+"2", live))
		}, ""},
		{"modified", func(t *testing.T, live string) { modify(t, live, "user0000042@KPROP.TEST", time.Now()) }, "modified user0000042@KPROP.TEST"},
		{"modified, clock behind", func(t *testing.T, live string) { modify(t, live, "user0000042@KPROP.TEST", time.Unix(9, 0)) }, "modified "},
		{"another load", func(t *testing.T, live string) {
			build(t, live+"2", realm(t, r, 1, users))
			ok(t, os.Rename(live+"2", live))
		}, "replaced"},
		{"removed", func(t *testing.T, live string) { ok(t, os.Remove(live)) }, "replaced"},
	} {
		t.Run(c.name, func(t *testing.T) {
			live := filepath.Join(t.TempDir(), "principal")
			place(t, live, text)
			l := NewLive(live)
			ok(t, l.Look(context.Background()))
			c.change(t, live)
			exclusively(t, live, func() {
				_, err := l.CarryRest(nil, true)
				ok(t, err)
			})
			got := ""
			switch found := l.Changes(); {
			case found == nil:
			case found.Replaced:
				got = "replaced"
			default:
				got = "modified " + strings.Join(found.Names, ", ")
			}
			if got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// TestChangesBeforeLook: what is modified after NewLive, but before Look has come to
// it, is known by its time, if that is of a later second.
func TestChangesBeforeLook(t *testing.T) {
	text := realm(t, rand.New(rand.NewPCG(7, 8)), 0, 100)
	const name = "user0000042@KPROP.TEST"
	for later, want := range map[time.Duration]string{0: "", 2 * time.Second: name} {
		live := filepath.Join(t.TempDir(), "principal")
		place(t, live, text)
		l := NewLive(live)
		modify(t, live, name, time.Unix(int64(l.since)+1, 0).Add(later))
		ok(t, l.Look(context.Background()))
		exclusively(t, live, func() {
			_, err := l.CarryRest(nil, true)
			ok(t, err)
		})
		got := ""
		if c := l.Changes(); c != nil {
			got = strings.Join(c.Names, ", ")
		}
		if got != want {
			t.Errorf("modified %v after the beginning: %q, want %q", later, got, want)
		}
	}
}

// TestChangesAreFew: no more than 10 names are told, and none twice, whenever the
// principals were modified.
func TestChangesAreFew(t *testing.T) {
	live := filepath.Join(t.TempDir(), "principal")
	place(t, live, realmOf(t, rand.New(rand.NewPCG(7, 8)), 0, 100, 1000))
	l := NewLive(live)
	change := func(from, to int) {
		for i := from; i < to; i++ {
			modify(t, live, fmt.Sprintf("user%07d@KPROP.TEST", i), time.Now().Add(3*time.Second))
		}
	}
	change(1, 7) // the first has its record on overflow pages
	ok(t, l.Look(context.Background()))
	change(4, 30)
	exclusively(t, live, func() {
		_, err := l.CarryRest(nil, true)
		ok(t, err)
	})
	c := l.Changes()
	if c == nil || len(c.Names) != 10 {
		t.Fatalf("%+v", c)
	}
	slices.Sort(c.Names)
	if len(slices.Compact(c.Names)) != 10 {
		t.Errorf("%q", c.Names)
	}
}

// modify changes attributes and the time of the modification.
func modify(t *testing.T, live, name string, at time.Time) {
	t.Helper()
	put(t, live, name, func(data []byte) {
		data[recAttributes] ^= 1
		i := bytes.Index(data, []byte("root@KPROP.TEST"))
		le.PutUint32(data[i-4:], uint32(at.Unix()))
	})
}

func TestLookAtDamage(t *testing.T) {
	live := filepath.Join(t.TempDir(), "principal")
	place(t, live, realm(t, rand.New(rand.NewPCG(1, 1)), 0, 500))
	good, err := os.ReadFile(live)
	ok(t, err)
	r := rand.New(rand.NewPCG(2, 1))
	unreadables := 0
	for range 150 {
		bad := bytes.Clone(good)
		for range 1 + r.IntN(30) {
			bad[r.IntN(len(bad)/4096)*4096+r.IntN(40)] = byte(r.Uint32())
		}
		if r.IntN(5) == 0 {
			bad = bad[:r.IntN(len(bad))]
		}
		ok(t, os.WriteFile(live, bad, 0o600))
		l := NewLive(live)
		err := l.Look(context.Background())
		if err != nil && !errors.As(err, new(*UnreadableError)) {
			t.Fatalf("%v", err)
		}
		if err != nil {
			unreadables++
		}
		if c := l.Changes(); c != nil {
			t.Errorf("%+v", c)
		}
	}
	if unreadables < 40 {
		t.Errorf("only %d were unreadable", unreadables)
	}
}
