//go:build large

// Run with: go test -tags large -run Large -v ./cmd/kpropd
// It needs 10 GB of disk and some minutes.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/krbtest"
)

// TestLarge: a dump above 4 GiB, whose size takes 12 bytes on the wire, passes
// between our programs and to MIT's kpropd, in bounded memory.
func TestLarge(t *testing.T) {
	const limit = 64 << 10 // KiB
	r := krbtest.New(t, krbtest.Options{})
	r.StartKDC(t)
	base, err := os.Open(r.Dump())
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	path := filepath.Join(r.Dir, "large")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	stats, err := krbtest.GenDump(f, krbtest.GenOptions{Principals: 10_200_000, Policies: 20, Seed: 1, Realm: r.Name, Base: base})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".dump_ok", []byte{0}, 0o600); err != nil {
		t.Fatal(err)
	}
	if stats.Bytes <= 1<<32 {
		t.Fatalf("the dump has %d bytes, more than %d are needed", stats.Bytes, int64(1)<<32)
	}
	for name, kpropd := range map[string]string{"ours": ourKpropd, "MIT": ""} {
		t.Run(name, func(t *testing.T) {
			d := r.StartKpropd(t, kpropd, "-D", "-p", "/bin/true")
			// The last -f counts.
			cmd := r.Primary.Command(t.Context(), ourKprop, append(r.KpropArgs(d, "localhost"), "-f", path)...)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			ok(t, cmd.Start())
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			sender, err := watch(t, cmd.Process.Pid, ended)
			if err != nil || !strings.Contains(out.String(), "SUCCEEDED") {
				t.Fatalf("%v\n%s\n%s", err, out.String(), d.Output())
			}
			if sender > limit {
				t.Errorf("kprop used %d KiB at its peak, at most %d are allowed", sender, limit)
			}
			kib := highWater(t, d.Pid)
			t.Logf("%d bytes, peak of kprop %d KiB, of kpropd %d KiB", stats.Bytes, sender, kib)
			if kib > limit {
				t.Errorf("kpropd used %d KiB at its peak, at most %d are allowed", kib, limit)
			}
		})
	}
}

// watch reads the peak memory of a process until it has ended, and gives its
// result. The kernel's count for a child begins with what this process had.
func watch(t *testing.T, pid int, ended <-chan error) (kib int64, err error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return kib, err
		case <-tick.C:
			kib = max(kib, highWater(t, pid))
		}
	}
}

// highWater is the peak resident memory of a process, in KiB.
func highWater(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0 // it has ended
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		return 0 // it is ending
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
