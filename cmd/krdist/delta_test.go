package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/krbtest"
)

// meter stands between krdist and krdistd and counts the octets of both
// directions.
type meter struct {
	port   string
	octets atomic.Int64
	opened sync.WaitGroup
}

func newMeter(t *testing.T, to string) *meter {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	m := &meter{}
	_, m.port, _ = net.SplitHostPort(l.Addr().String())
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			m.opened.Go(func() { m.pass(client.(*net.TCPConn), server.(*net.TCPConn)) })
			m.opened.Go(func() { m.pass(server.(*net.TCPConn), client.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		accepting.Wait()
		m.opened.Wait()
	})
	return m
}

func (m *meter) pass(from, to *net.TCPConn) {
	n, _ := io.Copy(to, struct{ io.Reader }{from})
	m.octets.Add(n)
	_ = to.CloseWrite()
	_ = from.CloseRead()
}

// deltaRealm has a krdistd behind a meter.
type deltaRealm struct {
	t     *testing.T
	dir   string
	realm *krbtest.Realm
	meter *meter

	edited int64 // how often
}

func newDeltaRealm(t *testing.T) *deltaRealm {
	t.Helper()
	krbtest.RequireRoot(t, "the access list must belong to root")
	d := &deltaRealm{t: t, dir: t.TempDir()}
	d.realm = krbtest.New(t, krbtest.Options{Hosts: []string{"127.0.0.1"}})
	d.realm.StartKDC(t)
	acl := d.dir + "/krdistd.acl"
	ok(t, os.WriteFile(acl, fmt.Appendf(nil, "host/%s@%s root %s -\n", must(krbtest.LocalHost())(t), d.realm.Name, d.dir), 0o600))
	port := krbtest.FreePort()
	daemon := must(d.realm.Replica.StartDaemon(port, ourKrdistd(), "-D", "-a", acl, "-P", fmt.Sprint(port)))(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("krdistd:\n%s", daemon.Output())
		}
	})
	d.meter = newMeter(t, fmt.Sprintf("127.0.0.1:%d", port))
	return d
}

// run brings src to dst, and says what was sent of the contents, what was not,
// and how many octets went over the wire.
func (d *deltaRealm) run(options string, args ...string) (sent, reused, wire int64) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	d.meter.octets.Store(0)
	cmd := d.realm.Primary.Command(ctx, ourKrdist(), append([]string{"--as-host", "--json", "--port", d.meter.port, "-f", "-"}, args...)...)
	cmd.Stdin = strings.NewReader(d.dir + "/src -> 127.0.0.1 install " + options + " " + d.dir + "/dst ;\n")
	out, err := cmd.Output()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		d.t.Fatalf("krdist: %v\n%s", err, exit.Stderr)
	}
	ok(d.t, err)
	d.meter.opened.Wait()
	var result jsonResult
	ok(d.t, json.Unmarshal(out, &result))
	e := result.Hosts[0].Entries[0]
	return e.Bytes, e.BytesReused, d.meter.octets.Load()
}

// edit writes a file anew, so that its time is another one.
func (d *deltaRealm) edit(content []byte) {
	d.t.Helper()
	ok(d.t, os.WriteFile(d.dir+"/src", content, 0o644))
	d.edited++
	ok(d.t, os.Chtimes(d.dir+"/src", time.Time{}, time.Unix(1000000000+d.edited, 0)))
}

// TestDelta: of a large file over Kerberos only what has changed goes over the
// wire, with all that can be asked for besides.
func TestDelta(t *testing.T) {
	const size, block = 64 << 20, 8 << 10
	d := newDeltaRealm(t)
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content)
	d.edit(content)
	if sent, _, wire := d.run(""); sent != size || wire < size {
		t.Errorf("first: %d octets sent, %d on the wire", sent, wire)
	}
	// A signature has 16 octets for each block, 128 KiB here.
	const most = 16*size/block + 2*block + 16<<10
	for _, c := range []struct {
		name, options string
		args          []string
		change        func()
		sent          int64
	}{
		{"one block changed", "", nil, func() { content[size/2]++ }, block},
		{"the same, all or nothing", "", []string{"--atomic"}, func() { content[size/3]++ }, block},
		{"the same, compressed", "", []string{"--compress"}, func() { content[size/4]++ }, block},
		{"the same, compared", "-ocompare", nil, func() { content[size/5]++ }, block},
		{"equal, compared", "-ocompare", nil, func() {}, 0},
		{"1 KiB inserted at the start", "", nil, func() { content = append(content[:1024:1024], content...) }, 1024},
	} {
		c.change()
		d.edit(content)
		sent, reused, wire := d.run(c.options, c.args...)
		t.Logf("%s: %d octets of contents sent, %d not, %d on the wire", c.name, sent, reused, wire)
		if sent > c.sent || reused != int64(len(content))-sent || wire > most {
			t.Errorf("%s: %d octets of contents sent, %d not, %d on the wire, at most %d wanted", c.name, sent, reused, wire, int64(most))
		}
		if got := must(os.ReadFile(d.dir + "/dst"))(t); string(got) != string(content) {
			t.Errorf("%s: other contents are there", c.name)
		}
	}
	content[0]++
	d.edit(content)
	if sent, reused, wire := d.run("", "--no-delta"); sent != int64(len(content)) || reused != 0 || wire < sent {
		t.Errorf("turned off: %d octets of contents sent, %d not, %d on the wire", sent, reused, wire)
	}
	if left := must(filepath.Glob(d.dir + "/*rdist??????"))(t); len(left) > 0 {
		t.Errorf("%v", left)
	}
}
