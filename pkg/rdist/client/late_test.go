package client

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kprop/kprop/pkg/rdist/wire"
)

// counting counts the writes of a pair's client.
type counting struct {
	*pair
	writes int
}

type countedSession struct {
	Session
	writes *int
}

func (c *counting) Dial(ctx context.Context, login, host string) (Session, error) {
	s, err := c.pair.Dial(ctx, login, host)
	return &countedSession{s, &c.writes}, err
}

func (s *countedSession) Write(p []byte) (int, error) {
	*s.writes++
	return s.Session.Write(p)
}

// TestSentAhead: many small files need few exchanges with a server of ours, and
// arrive as with another.
func TestSentAhead(t *testing.T) {
	src := t.TempDir() + "/s"
	for i := range 200 {
		write(t, fmt.Sprintf("%s/f%03d", src, i), strings.Repeat("x", i))
	}
	write(t, src+"/f100", strings.Repeat("y", wire.MaxAhead))
	write(t, src+"/f101", strings.Repeat("z", wire.MaxAhead+1))
	for _, extensions := range []bool{false, true} {
		root, err := filepath.EvalSymlinks(t.TempDir())
		must(t, err)
		dst := root + "/t"
		p := newPair(t, root)
		p.options.Extensions = extensions
		must(t, os.Mkdir(dst, 0o755))
		for i := range 100 {
			write(t, fmt.Sprintf("%s/extra%02d", dst, i), "")
		}
		c := &counting{pair: p}
		o := runEntries(t, src+" -> h install -oremove "+dst+" ;", Options{Dialer: c, stat: systemStat, Names: &systemNames{}})
		<-p.done
		e := o.entry(t)
		if e.Installed != 200 || e.Removed != 100 || e.LocalErrors+e.ServerErrors != 0 {
			t.Errorf("extensions %v: %s\n%s", extensions, e.brief(), o.out)
		}
		sameTree(t, src, dst)
		if few := c.writes < 100; few != extensions {
			t.Errorf("extensions %v: %d writes", extensions, c.writes)
		}
	}
}
