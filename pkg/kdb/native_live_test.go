package kdb_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/kdb/db2"
)

// live is a realm that is in use by everybody at once.
type live struct {
	*testing.T
	node  *krbtest.Node
	fixed string // lines of the principals that nobody changes
	done  atomic.Bool
	wg    sync.WaitGroup
}

// loop calls f until all is done, at least once.
func (l *live) loop(name string, f func(i int) error) {
	l.wg.Go(func() {
		for i := 0; i == 0 || !l.done.Load(); i++ {
			if err := f(i); err != nil {
				l.Errorf("%s, run %d: %v", name, i+1, err)
				l.done.Store(true)
				return
			}
		}
	})
}

// kinit logs in by a cache of its own.
func (l *live) kinit(principal string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := l.node.Command(ctx, "kinit", principal)
	cmd.Env = append(cmd.Env, "KRB5CCNAME=FILE:"+filepath.Join(l.node.Dir, "ccache."+principal))
	cmd.Stdin = strings.NewReader("secret\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// whole says what is wrong with a dump.
func (l *live) whole(text []byte) error {
	if _, err := dump.Verify(bytes.NewReader(text), dump.VerifyOptions{}); err != nil {
		return err
	}
	if untouched(text) != l.fixed {
		return fmt.Errorf("principals that nobody changed are not as they were")
	}
	return nil
}

// untouched are the lines of the principals that the loops leave alone.
func untouched(text []byte) string {
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "princ\t") && !strings.Contains(line, "\tloop-") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// TestLiveDumps: logins, of which those with preauthentication write, changes by
// kadmin.local, dumps by kdb5_util and by us, in each mode, all at once. Nothing
// may fail, and no dump be torn.
func TestLiveDumps(t *testing.T) {
	r := krbtest.New(t, krbtest.Options{})
	node := r.Primary
	l := &live{T: t, node: node}
	base, err := node.DumpText()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if _, err := krbtest.GenDump(&text, krbtest.GenOptions{Principals: 4000, Policies: 5, Realm: r.Name, Base: bytes.NewReader(base)}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(node.Dir, "generated")
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := node.Run("kdb5_util", "load", file); err != nil {
		t.Fatal(err)
	}
	r.AddPrincipal("loop-plain", "secret")
	r.Kadmin("addprinc -pw secret +requires_preauth loop-preauth")
	if base, err = node.DumpText(); err != nil {
		t.Fatal(err)
	}
	l.fixed = untouched(base)
	r.StartKDC(t)

	l.loop("kinit", func(int) error { return l.kinit("loop-plain") })
	l.loop("kinit with preauthentication", func(int) error { return l.kinit("loop-preauth") })
	l.loop("kadmin.local", func(i int) error {
		for _, query := range []string{"addprinc -nokey loop-%d", "modprinc -maxlife 1h loop-%d", "addpol loop-%d", "delprinc -force loop-%d", "delpol -force loop-%d"} {
			if _, err := node.Kadmin(fmt.Sprintf(query, i)); err != nil {
				return err
			}
		}
		return nil
	})
	l.loop("kdb5_util dump", func(int) error {
		file := filepath.Join(node.Dir, "dump.mit")
		if err := node.Run("kdb5_util", "dump", file); err != nil {
			return err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return l.whole(text)
	})
	const dumps = 32
	var held time.Duration
	for i := range dumps {
		file := filepath.Join(node.Dir, "dump.native")
		n := kdb.Native{Library: "db2", Database: node.Database, Snapshot: db2.SnapshotOptions{Mode: db2.SnapshotMode(i % 4)}}
		d, err := n.Dump(context.Background(), file)
		if err != nil {
			t.Errorf("native dump %d: %v", i+1, err)
			break
		}
		held = max(held, d.Held)
		text, err := os.ReadFile(file)
		if err == nil {
			err = l.whole(text)
		}
		if err != nil || d.Verdict != nil {
			t.Errorf("native dump %d: %v, %v", i+1, err, d.Verdict)
			break
		}
	}
	l.done.Store(true)
	l.wg.Wait()
	t.Logf("%d dumps, the locks were held for at most %v", dumps, held)
}
