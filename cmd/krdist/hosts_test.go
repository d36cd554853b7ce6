package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestManyHosts: of 64 hosts five are dead, and five have a server that is
// stopped; these come first, and are more than are worked on at once. The rest
// is done with all the same, while they are still stopped, and the summary names
// the ten.
func TestManyHosts(t *testing.T) {
	s := newStage(t)
	s.write("dir/a", "alpha")
	s.write("dir/b", "beta")
	s.remoteShell(`case $host in
127.0.2.*) echo "no route to host" >&2; exit 255;;
127.0.4.*) echo $$ >DST/$host.new; mv DST/$host.new DST/$host.pid; kill -STOP $$;;
esac
exec sh -c "$command"`)
	var stopped, dead, good []string
	var distfile strings.Builder
	group := func(hosts *[]string, net, n int) {
		for i := range n {
			host := fmt.Sprintf("127.0.%d.%d", net, i+1)
			*hosts = append(*hosts, host)
			fmt.Fprintf(&distfile, "SRC/dir -> %s install DST/%s ;\n", host, host)
		}
	}
	group(&stopped, 4, 5)
	group(&dead, 2, 5)
	group(&good, 3, 54)
	t.Cleanup(func() { s.kill(stopped) }) // also if this fails

	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := s.command(ctx, nil, distfile.String(), "-M", "4", "-oquiet", "-t", "110")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	ok(t, cmd.Start())
	begin := time.Now()
	for _, host := range good {
		s.await(ctx, host+"/b")
	}
	t.Logf("all but the ten were done with after %v", time.Since(begin))
	for _, host := range stopped {
		s.await(ctx, host+".pid")
		if _, err := os.Lstat(filepath.Join(s.dst, host)); err == nil {
			t.Errorf("%s was stopped, but has files", host)
		}
	}
	s.kill(stopped)
	_ = cmd.Wait() // its status is looked at
	for _, host := range good {
		same(t, s.src+"/dir", s.dst+"/"+host)
	}
	text := stderr.String()
	wrong, slow, _ := strings.Cut(text, " slow, so that others were begun meanwhile:")
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(wrong, "10 of 64 hosts not as wanted:\n") {
		t.Errorf("%v, printed\n%s\n%s", cmd.ProcessState, stdout.String(), text)
	}
	for _, host := range append(dead, stopped...) {
		if !strings.Contains(wrong, "\n  "+host+": ") {
			t.Errorf("%s is not named:\n%s", host, text)
		}
	}
	if n := strings.Count(wrong, "\n  127."); n != 10 {
		t.Errorf("%d hosts are named:\n%s", n, text)
	}
	// At least one of the first four had to give its place.
	if !slices.ContainsFunc(stopped[:4], func(host string) bool { return strings.Contains(slow, " "+host) }) {
		t.Errorf("no host is told to be slow:\n%s", text)
	}
}

// await waits for a file of the destination.
func (s *stage) await(ctx context.Context, name string) {
	s.t.Helper()
	for {
		if _, err := os.Lstat(filepath.Join(s.dst, name)); err == nil {
			return
		}
		if ctx.Err() != nil {
			s.t.Fatalf("%s does not come", name)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// kill kills the servers of hosts, which have left their process numbers.
func (s *stage) kill(hosts []string) {
	for _, host := range hosts {
		name := filepath.Join(s.dst, host+".pid")
		text, err := os.ReadFile(name)
		if err != nil {
			continue // not begun, or killed before
		}
		_ = os.Remove(name)
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
