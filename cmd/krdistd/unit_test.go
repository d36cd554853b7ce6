package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

// TestRightsOfTheUnits: the rights of root that the units leave are enough, for
// sessions of root that give files away, and for those of others.
func TestRightsOfTheUnits(t *testing.T) {
	t.Parallel()
	needRoot(t)
	for _, unit := range []string{"krdistd.service", "krdistd@.service"} {
		t.Run(unit, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, krbtest.Options{})
			place := w.place("nobody")
			w.grant(w.host+" root "+w.root+" special", w.host+" nobody "+place+" nologin")
			text := content(t, filepath.Join("..", "..", "systemd", unit))
			m := regexp.MustCompile(`(?m)^CapabilityBoundingSet=(.*)$`).FindStringSubmatch(text)
			if m == nil {
				t.Fatal("the unit leaves all rights")
			}
			rights := "-all"
			for _, right := range strings.Fields(m[1]) {
				rights += ",+" + strings.ToLower(strings.TrimPrefix(right, "CAP_"))
			}
			port := krbtest.FreePort()
			words := []string{"--bounding-set=" + rights, "--inh-caps=-all", "--no-new-privs", ourKrdistd, "-D", "-P", strconv.Itoa(port)}
			d := must(w.Replica.StartDaemon(port, must(krbtest.LookPath("setpriv"))(t), append(words, w.args()...)...))(t)
			c := w.connect(w.dialer(d), "root")
			c.want(c.install(w.root+"/file", "text"), wire.OpAck, "")
			c.want(c.ask(wire.OpTarget, "0 "+w.root+"/dir"), wire.OpAck, "")
			c.want(c.ask(wire.OpDirectory, "0 02755 0 0 0 nobody nogroup dir"), wire.OpAck, "")
			c.want(c.ask(wire.OpEnd, ""), wire.OpAck, "")
			c.want(c.ask(wire.OpSpecial, "exit 0"), wire.OpAck, "")
			c.end()
			st := must(os.Stat(w.root + "/dir"))(t)
			if sys := st.Sys().(*syscall.Stat_t); sys.Uid != 65534 || sys.Gid != 65534 || st.Mode()&os.ModeSetgid == 0 {
				t.Errorf("%v, %d.%d", st.Mode(), sys.Uid, sys.Gid)
			}
			c = w.connect(w.dialer(d), "nobody")
			c.want(c.install(place+"/file", "text"), wire.OpAck, "")
			wantStop(t, d)
		})
	}
}
