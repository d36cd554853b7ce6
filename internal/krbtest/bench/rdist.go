package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/krbtest"
)

// rdist measures ways to bring a tree to a host. The trees are in $TMPDIR: on
// ext4 a second run within five minutes, in which the inodes that the first one
// has freed are passed over, takes longer to install, whoever does it.
type rdist struct {
	*bench
	files, mib, rounds int

	dir   string
	realm *krbtest.Realm
	shell string // stands in for a remote shell
	ways  []way
}

// way is a way to bring a tree to a host.
type way struct {
	name   string
	daemon *krbtest.Daemon // nil: the client starts the server
	// command is to make dst what src is.
	command func(src, dst string) *exec.Cmd
}

func (r *rdist) run() (err error) {
	if r.dir, err = os.MkdirTemp("", "krdist-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.dir)
	if r.bin, err = filepath.Abs(r.bin); err != nil {
		return err
	}
	if err := r.prepare(); err != nil {
		return err
	}
	defer r.realm.Close()
	fmt.Printf("\n%s, %d cores; %s; %s; loopback; alternating, median of %d\n",
		cpuModel(), runtime.NumCPU(), version(filepath.Join(r.bin, "krdist")), firstLine("rsync", "--version"), r.rounds)
	small, large := filepath.Join(r.dir, "small"), filepath.Join(r.dir, "large")
	if err := plant(small, r.files, 100, func(i int) int { return 200 + i*7919%3800 }); err != nil {
		return err
	}
	if err := r.measure(fmt.Sprintf("%d files of 200 to 4000 octets", r.files), small, r.files); err != nil {
		return err
	}
	if err := r.eight(small); err != nil {
		return err
	}
	if err := plant(large, 20, 20, func(int) int { return r.mib << 20 / 20 }); err != nil {
		return err
	}
	if err := r.measure(fmt.Sprintf("%d MiB in 20 files", r.mib), large, 20); err != nil {
		return err
	}
	return r.part(filepath.Join(r.dir, "part"))
}

// prepare makes the ways that there are on this machine.
func (r *rdist) prepare() (err error) {
	r.shell = filepath.Join(r.dir, "shell")
	const script = "#!/bin/sh\nshift\n[ \"$1\" != -l ] || shift 2\nexec sh -c \"$*\"\n"
	if err := os.WriteFile(r.shell, []byte(script), 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(r.dir, "realm"), 0o700); err != nil {
		return err
	}
	if r.realm, err = krbtest.Create(filepath.Join(r.dir, "realm"), krbtest.Options{Hosts: []string{"127.0.0.1"}}); err != nil {
		return err
	}
	if _, err := r.realm.Primary.StartKDC(); err != nil {
		return err
	}
	daemon, err := r.startKrdistd()
	if err != nil {
		return err
	}
	krdist, krdistd := filepath.Join(r.bin, "krdist"), filepath.Join(r.bin, "krdistd")
	r.ways = []way{
		{"krdist, Kerberos", daemon, func(src, dst string) *exec.Cmd {
			return r.rdistCommand(krdist, src, dst, "--as-host", "--port", strconv.Itoa(daemon.Port))
		}},
		{"krdist, remote shell", nil, func(src, dst string) *exec.Cmd {
			return r.rdistCommand(krdist, src, dst, "-P", r.shell, "-p", krdistd)
		}},
		{"rsync, remote shell", nil, func(src, dst string) *exec.Cmd {
			return exec.Command("rsync", "-e", r.shell, "-rlptgoH", "--delete", src+"/", "127.0.0.1:"+dst+"/")
		}},
	}
	theirs, errClient := exec.LookPath("rdist")
	server, errServer := exec.LookPath("rdistd")
	if errors.Join(errClient, errServer) == nil {
		r.ways = append(r.ways, way{"rdist, remote shell", nil, func(src, dst string) *exec.Cmd {
			return r.rdistCommand(theirs, src, dst, "-P", r.shell, "-p", server)
		}})
	}
	return nil
}

func (r *rdist) startKrdistd() (*krbtest.Daemon, error) {
	local, err := krbtest.LocalHost()
	if err != nil {
		return nil, err
	}
	account, err := exec.Command("id", "-un").Output()
	if err != nil {
		return nil, fmt.Errorf("id: %w", err)
	}
	acl := filepath.Join(r.dir, "krdistd.acl")
	line := fmt.Sprintf("host/%s@%s %s %s -\n", local, r.realm.Name, bytes.TrimSpace(account), r.dir)
	if err := os.WriteFile(acl, []byte(line), 0o600); err != nil {
		return nil, err
	}
	port := krbtest.FreePort()
	return r.realm.Replica.StartDaemon(port, filepath.Join(r.bin, "krdistd"), "-D", "-a", acl, "-P", strconv.Itoa(port))
}

// rdistCommand has a krdist or rdist bring a tree to one host.
func (r *rdist) rdistCommand(program, src, dst string, args ...string) *exec.Cmd {
	cmd := r.realm.Primary.Command(context.Background(), program, append(args, "-oquiet", "-f", "-")...)
	cmd.Stdin = strings.NewReader(src + " -> 127.0.0.1 install -oremove " + dst + " ;\n")
	return cmd
}

// plant makes a tree of n files, so many in a directory.
func plant(dir string, n, each int, size func(i int) int) error {
	random := rand.NewChaCha8([32]byte{1})
	for i := range n {
		parent := filepath.Join(dir, fmt.Sprintf("d%03d", i/each))
		if err := os.MkdirAll(parent, 0o755); err != nil {
			return err
		}
		content := make([]byte, size(i))
		_, _ = random.Read(content) // never fails
		if err := os.WriteFile(filepath.Join(parent, fmt.Sprintf("f%05d", i)), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// change changes one file in a hundred, but at least one, without changing the
// size.
func change(src string, n int, round byte) error {
	i := 0
	return filepath.WalkDir(src, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if i++; i%min(100, n) != 0 {
			return nil
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt([]byte{round}, 0)
		// The protocol has whole seconds.
		at := time.Unix(1_000_000_000+int64(round), 0)
		return errors.Join(err, f.Close(), os.Chtimes(path, at, at))
	})
}

// measure brings a tree, brings it again, and again with one file in a hundred
// changed. Each round has directories of its own, which stay: ext4 takes long
// to make files after many were removed.
func (r *rdist) measure(title, src string, n int) error {
	phases := []string{"first install", "nothing to do", "one file in 100 changed"}
	results := make([][][]usage, len(phases)) // by phase and way
	for p := range results {
		results[p] = make([][]usage, len(r.ways))
	}
	for round := range r.rounds {
		for p := range phases {
			if p == 2 {
				if err := change(src, n, byte(round+1)); err != nil {
					return err
				}
			}
			for i := range r.ways {
				w := (i + round) % len(r.ways) // nobody is always the first
				unix.Sync()
				u, err := r.once(r.ways[w], src, fmt.Sprintf("%s-%d-%d", src, round, w))
				if err != nil {
					return fmt.Errorf("%s: %s: %w", r.ways[w].name, phases[p], err)
				}
				results[p][w] = append(results[p][w], u)
			}
		}
	}
	fmt.Printf("\n%s\n", title)
	for p, phase := range phases {
		fmt.Printf("  %s\n", phase)
		r.print(results[p])
	}
	return nil
}

// part brings one large file in which one octet has changed, to where it was
// before. Its former version is in the cache of the system, as is what is sent.
func (r *rdist) part(src string) error {
	if err := plant(src, 1, 1, func(int) int { return r.mib << 20 }); err != nil {
		return err
	}
	results := make([][]usage, len(r.ways))
	for round := range r.rounds + 1 { // the first one installs
		if err := change(src, 1, byte(round+1)); err != nil {
			return err
		}
		for i := range r.ways {
			w := (i + round) % len(r.ways)
			unix.Sync()
			u, err := r.once(r.ways[w], src, fmt.Sprintf("%s-%d", src, w))
			if err != nil {
				return fmt.Errorf("%s: a part of a file: %w", r.ways[w].name, err)
			}
			if round > 0 {
				results[w] = append(results[w], u)
			}
		}
	}
	fmt.Printf("\none file of %d MiB\n  one octet changed\n", r.mib)
	r.print(results)
	return nil
}

// print prints a line for each way.
func (r *rdist) print(results [][]usage) {
	base := medianWall(results[2]) // rsync
	for w, way := range r.ways {
		wall := medianWall(results[w])
		fmt.Printf("    %-21s %7.3f s, %.2f times rsync   (%s)   %.2f s CPU   peak memory %s\n", way.name, wall.Seconds(),
			wall.Seconds()/base.Seconds(), walls(results[w]), medianCPU(results[w]).Seconds(), memory(results[w]))
	}
}

// once runs one client to its end.
func (r *rdist) once(w way, src, dst string) (usage, error) {
	cmd := w.command(src, dst)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	server := 0
	if w.daemon != nil {
		server = w.daemon.Pid
	}
	u, err := watch(cmd, server)
	if err != nil {
		return u, fmt.Errorf("%w\n%s", err, errOut.String())
	}
	return u, nil
}

// eight brings a part of a tree to one host and to eight at once.
func (r *rdist) eight(src string) error {
	src = filepath.Join(src, "d00*")
	fmt.Printf("\n%d files to several hosts at once, remote shell\n", min(1000, r.files))
	var single time.Duration
	for _, hosts := range []int{1, 8} {
		var runs []usage
		for round := range r.rounds {
			var distfile strings.Builder
			for i := range hosts {
				fmt.Fprintf(&distfile, "%s -> 127.0.0.%d install %s/hosts-%d-%d-%d ;\n", src, i+1, r.dir, hosts, round, i)
			}
			cmd := r.rdistCommand(filepath.Join(r.bin, "krdist"), "", "", "-M", "8", "-P", r.shell, "-p", filepath.Join(r.bin, "krdistd"))
			cmd.Stdin = strings.NewReader(distfile.String())
			unix.Sync()
			u, err := watch(cmd, 0)
			if err != nil {
				return fmt.Errorf("%d hosts: %w", hosts, err)
			}
			runs = append(runs, u)
		}
		wall := medianWall(runs)
		if hosts == 1 {
			single = wall
		}
		fmt.Printf("    %d at once %7.3f s, %.2f times as many files a second as to one   (%s)   %.0f %% of the processors   peak memory %s\n", hosts, wall.Seconds(),
			float64(hosts)*single.Seconds()/wall.Seconds(), walls(runs), busy(runs)*100, memory(runs))
	}
	return nil
}

func firstLine(program string, args ...string) string {
	out, err := exec.Command(program, args...).Output()
	if err != nil {
		return program + " of unknown version"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.Join(strings.Fields(line), " ")
}
