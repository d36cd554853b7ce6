package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
)

// counted is a stage with a server that counts connections and answers none.
func (s *stage) counted() *atomic.Int32 {
	var n atomic.Int32
	s.serve(func(*peer) { n.Add(1) })
	return &n
}

// A dump that kdb5_util, or a full disk, has spoilt is not sent, whatever the
// mark beside it says.
func TestBadDumpIsNotSent(t *testing.T) {
	r := newRealm(t, krbtest.Options{})
	good, err := os.ReadFile(r.Primary.DumpFile)
	must(t, err)
	lines := bytes.SplitAfter(good, []byte("\n"))
	without := func(name string) []byte {
		left := slices.DeleteFunc(slices.Clone(lines), func(l []byte) bool { return bytes.Contains(l, []byte("\t"+name+"@")) })
		if len(left) != len(lines)-1 {
			t.Fatalf("no %s in the dump", name)
		}
		return bytes.Join(left, nil)
	}
	other, err := krbtest.NewKDBUtil(t, "OTHER.TEST", "").Dump()
	must(t, err)
	for _, c := range []struct {
		name, want string
		dump       []byte
	}{
		{"cut in a record", "the dump ends in the middle of a record", good[:len(good)-20]},
		{"cut at a record", "the dump lacks the realm's ticket-granting principal", bytes.Join(lines[:3], nil)},
		{"header alone", "the dump holds no principals", lines[0]},
		{"nothing", "the dump holds no principals", nil},
		{"zeros, as a file system that was cut off leaves them", "this is not a dump", make([]byte, 4096)},
		{"zeros at the end", "the dump ends in the middle of a record", append(bytes.Clone(good[:len(good)-100]), make([]byte, 100)...)},
		{"K/M left out", "the dump lacks the master key entry", without("K/M")},
		{"two dumps", "dump line ", append(bytes.Clone(good), good...)},
		{"another realm", "the dump is of another realm", other},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, r)
			connections := s.counted()
			s.writeDump(c.dump)
			s.noDump = false // no option
			got := s.run(ourKprop())
			first, rest, _ := strings.Cut(got.stderr, "\n")
			if got.exit != 1 || got.stdout != "" || !strings.HasPrefix(first, "kprop: the dump "+s.dump+" is not good: ") || !strings.Contains(first, c.want) {
				t.Errorf("exit status %d, stdout %q, stderr\n%swant %q", got.exit, got.stdout, got.stderr, c.want)
			}
			checkFindings(t, rest)
			if !strings.Contains(rest, "nothing was sent: ") {
				t.Errorf("it does not say so:\n%s", rest)
			}
			if n := connections.Load(); n != 0 {
				t.Errorf("%d connections to the replica", n)
			}
		})
	}
	t.Run("--no-verify", func(t *testing.T) {
		s := newStage(t, r)
		connections := s.counted()
		s.writeDump(good[:len(good)-20])
		s.options = []string{"--no-verify"}
		if got := s.run(ourKprop()); connections.Load() != 1 {
			t.Errorf("it is not sent: %+v", got)
		}
	})
}

// A real full disk, with kdb5_util's own idea of success.
func TestDumpOnFullDisk(t *testing.T) {
	dir, mounted := smallDisk(t)
	if !mounted {
		return
	}
	r := newRealm(t, krbtest.Options{})
	largeRealm(t, r, 5000)
	s := newStage(t, r)
	connections := s.counted()
	s.dump = filepath.Join(dir, "dump")
	if out, err := r.Primary.Command(t.Context(), "kdb5_util", "dump", s.dump).CombinedOutput(); err != nil || len(out) > 0 {
		t.Logf("kdb5_util has learned to tell a full disk: %v\n%s", err, out)
	}
	got := s.run(ourKprop())
	if got.exit != 1 || got.stdout != "" || connections.Load() != 0 || !strings.HasPrefix(got.stderr, "kprop: the dump "+s.dump+" is not good: ") {
		t.Errorf("%d connections to the replica, %+v", connections.Load(), got)
	}
	for _, want := range []string{s.dump + ".dump_ok is empty", "df -h " + s.dump} {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("no %q in\n%s", want, got.stderr)
		}
	}
}

// largeRealm loads a database with so many more principals into the primary.
func largeRealm(t *testing.T, r *krbtest.Realm, principals int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "large")
	must(t, os.WriteFile(path, largeDump(t, r, principals, 1), 0o600))
	if out, err := r.Primary.Command(t.Context(), "kdb5_util", "load", path).CombinedOutput(); err != nil {
		t.Fatalf("load: %v\n%s", err, out)
	}
}

// largeDump is a dump of the primary with more principals, each of which makes
// about 440 bytes.
func largeDump(t *testing.T, r *krbtest.Realm, principals int, seed int64) []byte {
	t.Helper()
	base, err := r.Primary.DumpText()
	must(t, err)
	var large bytes.Buffer
	_, err = krbtest.GenDump(&large, krbtest.GenOptions{
		Principals: principals, Policies: 3, Seed: seed, Realm: r.Name, Base: bytes.NewReader(base),
	})
	must(t, err)
	return large.Bytes()
}

// What happens to the file while it is read, with a real kpropd at the other
// end: the replica has the former database, or the one of the whole file.
func TestDumpChangesWhileSent(t *testing.T) {
	r := newRealm(t, krbtest.Options{})
	const premature = "kprop: Premature EOF found for database file!\n"
	// Some times more than what the connection and kprop hold.
	sent, other := largeDump(t, r, 60000, 1), largeDump(t, r, 60000, 2)
	for _, c := range []struct {
		name   string
		change func(path string) error
		stderr string // none: the replica gets what kprop began with
	}{
		{"cut", func(path string) error { return os.Truncate(path, int64(len(sent))-1000) }, premature},
		{"cut to a whole record", func(path string) error {
			return os.Truncate(path, int64(bytes.LastIndexByte(sent[:len(sent)-1], '\n')+1))
		}, premature},
		{"emptied", func(path string) error { return os.Truncate(path, 0) }, premature},
		{"longer", appendByte, premature},
		{"written into, and as good a dump as before", func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			// The last byte of a key, behind what is read already.
			end := len(sent)/2 + bytes.Index(sent[len(sent)/2:], []byte("\t-1;\n"))
			_, err = f.WriteAt([]byte("00"), int64(end-2))
			return err
		}, premature},
		{"replaced, as kdb5_util does it", func(path string) error {
			if err := os.WriteFile(path+".new", other, 0o600); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		}, ""},
		{"removed", os.Remove, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, r)
			d := r.StartKpropd(t, ourKpropd(), "-D", "--max-shrink=100%")
			t.Cleanup(d.Stop)
			first := newStage(t, r)
			first.port, first.host = fmt.Sprint(d.Port), "127.0.0.1"
			if got := first.run(ourKprop()); got.exit != 0 {
				t.Fatalf("%+v", got)
			}
			before, err := r.Replica.DumpText()
			must(t, err)

			s.writeDump(sent)
			s.pausing(d.Port, func() error { return c.change(s.dump) })
			got := s.run(ourKprop())
			after, err := r.Replica.DumpText()
			must(t, err)
			if c.stderr == "" {
				if got.exit != 0 || !bytes.Equal(after, sent) {
					t.Errorf("%+v; the replica's dump has %d bytes, sent were %d", got, len(after), len(sent))
				}
				return
			}
			if got.exit != 1 || got.stdout != "" || !strings.HasPrefix(got.stderr, c.stderr) || !strings.Contains(got.stderr, "changed while it was sent") {
				t.Errorf("%+v, want %q", got, c.stderr)
			}
			if !bytes.Equal(before, after) {
				t.Errorf("the replica's dump has %d bytes, had %d", len(after), len(before))
			}
			logs(t, d, `"Generic remote error: Premature EOF found for database file!"`)
			if got := first.run(ourKprop()); got.exit != 0 {
				t.Errorf("the next propagation: %+v", got)
			}
			if log := d.Output(); strings.Count(log, `"level":"error"`) != 1 {
				t.Errorf("kpropd's log:\n%s", log)
			}
		})
	}
}

// logs waits for a line of a daemon's log.
func logs(t *testing.T, d *krbtest.Daemon, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, d.WaitOutput(ctx, text))
}

// pausing puts a proxy in front of a kpropd that takes the beginning of what
// kprop sends, and the rest only after do.
func (s *stage) pausing(port int, do func() error) {
	s.serve(func(p *peer) {
		nc, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		p.must(err)
		defer nc.Close()
		go func() {
			_, _ = io.Copy(p.nc, nc)
			_ = p.nc.(*net.TCPConn).CloseWrite()
		}()
		if _, err = io.CopyN(nc, p.nc, 1<<20); err == nil { // else it was less
			p.must(do())
		}
		_, _ = io.Copy(nc, p.nc)
		_ = nc.(*net.TCPConn).CloseWrite()
	})
}

// The verification knows what kdc.conf calls the master key.
func TestMasterKeyName(t *testing.T) {
	r := newRealm(t, krbtest.Options{ExtraRealm: "\t\tmaster_key_name = MASTER/KEY"})
	s := newStage(t, r)
	s.kpropd(ourKpropd())
	if got := s.run(ourKprop()); got.exit != 0 {
		t.Errorf("%+v", got)
	}
}
