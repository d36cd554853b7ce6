// Bench measures our kprop and kpropd against MIT's, our dumps and loads against
// kdb5_util's, and our krdist and krdistd against rsync, in the same call, on this
// machine's loopback: alternating runs, medians, and the ratio of the two.
// "make bench" builds the programs and runs it.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/krbtest"
)

func main() {
	b := bench{}
	flag.IntVar(&b.principals, "principals", 1_000_000, "principals in the large dump (about 440 bytes each)")
	flag.IntVar(&b.runs, "runs", 5, "runs of each pair")
	flag.StringVar(&b.bin, "bin", "bin", "folder with our programs")
	enctypes := flag.String("enctypes", "aes256-cts-hmac-sha1-96,aes256-cts-hmac-sha384-192", "enctypes, separated by commas")
	only := flag.String("only", "", "kprop, database, scale or krdist: measure nothing else")
	s := scale{bench: &b}
	flag.StringVar(&s.sizes, "scale", "100,10000,100000,1000000,5000000", "principals of the realms that -only scale measures")
	flag.StringVar(&s.out, "out", "", "folder for the data and the plots of -only scale; without it, none are made")
	r := rdist{bench: &b}
	flag.IntVar(&r.files, "files", 50_000, "small files to distribute")
	flag.IntVar(&r.mib, "mib", 1024, "MiB to distribute in 20 files")
	flag.IntVar(&r.rounds, "rounds", 3, "runs of each way to distribute")
	flag.Parse()
	d := database{bench: &b}
	steps := []struct {
		name string
		run  func() error
	}{
		{"kprop", func() error { return b.run(strings.Split(*enctypes, ",")) }},
		{"database", d.run},
		{"scale", s.run},
		{"krdist", r.run},
	}
	ran := false
	for _, step := range steps {
		// The large realms take half an hour, so they are measured on request.
		if *only != step.name && (*only != "" || step.name == "scale") {
			continue
		}
		ran = true
		if err := step.run(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
	}
	if !ran {
		fmt.Fprintf(os.Stderr, "bench: -only %s: there is no such measurement\n", *only)
		os.Exit(2)
	}
}

type bench struct {
	principals, runs int
	bin              string
	dir              string
}

// pair is a sender and a receiver.
type pair struct{ name, kprop, kpropd string }

func (b *bench) run(enctypes []string) (err error) {
	if b.dir, err = os.MkdirTemp("", "kprop-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if b.bin, err = filepath.Abs(b.bin); err != nil {
		return err
	}
	pairs := []pair{{"ours", filepath.Join(b.bin, "kprop"), filepath.Join(b.bin, "kpropd")}}
	mit := pair{name: "MIT"}
	if mit.kprop, err = krbtest.LookPath("kprop"); err != nil {
		return err
	}
	if mit.kpropd, err = krbtest.LookPath("kpropd"); err != nil {
		return err
	}
	pairs = append(pairs, mit)
	fmt.Printf("%s, %d cores; %s; MIT krb5 %s; loopback; alternating, median of %d\n",
		cpuModel(), runtime.NumCPU(), version(pairs[0].kprop), mitVersion(), b.runs)
	for _, e := range enctypes {
		if err := b.enctype(e, pairs); err != nil {
			return fmt.Errorf("%s: %w", e, err)
		}
	}
	return nil
}

// enctype measures a large transfer, without a load, and a small realm's whole
// propagation.
func (b *bench) enctype(name string, pairs []pair) error {
	dir, err := os.MkdirTemp(b.dir, "realm-")
	if err != nil {
		return err
	}
	r, err := krbtest.Create(dir, krbtest.Options{Enctype: name})
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := r.Primary.StartKDC(); err != nil {
		return err
	}
	if err := r.Primary.Dump(); err != nil {
		return err
	}
	small, err := os.Stat(r.Primary.DumpFile)
	if err != nil {
		return err
	}
	title := fmt.Sprintf("%s, %d bytes, propagation with load", name, small.Size())
	if err := b.compare(title, r, r.Primary.DumpFile, max(b.runs, 21), pairs, nil); err != nil {
		return err
	}
	large := filepath.Join(dir, "large")
	n, err := b.generate(r, large)
	if err != nil {
		return err
	}
	title = fmt.Sprintf("%s, %.0f MB (%d principals), transfer only (-p /bin/true)", name, float64(n)/1e6, b.principals)
	err = b.compare(title, r, large, b.runs, pairs, []string{"-p", "/bin/true"})
	return errors.Join(err, os.RemoveAll(dir))
}

func (b *bench) generate(r *krbtest.Realm, path string) (int64, error) {
	base, err := os.ReadFile(r.Primary.DumpFile)
	if err != nil {
		return 0, err
	}
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	stats, err := krbtest.GenDump(f, krbtest.GenOptions{
		Principals: b.principals, Policies: 20, Seed: 1, Realm: r.Name, Base: bytes.NewReader(base),
	})
	if err := errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	return stats.Bytes, os.WriteFile(path+".dump_ok", []byte{0}, 0o600)
}

// sample is one propagation.
type sample struct {
	wall, sendCPU, recvCPU time.Duration
	senderRSS, recvRSS     int64 // KiB
}

func (b *bench) compare(title string, r *krbtest.Realm, dump string, runs int, pairs []pair, args []string) error {
	daemons := make([]*krbtest.Daemon, len(pairs))
	for i, p := range pairs {
		// In the foreground without -d: nobody would read the messages. Each has
		// its own received dump: ours looks at what another has left there.
		args := append([]string{"-D", "-f", filepath.Join(r.Replica.Dir, "from_master."+p.name)}, args...)
		d, err := r.Replica.StartKpropd(p.kpropd, args...)
		if err != nil {
			return err
		}
		defer d.Stop()
		daemons[i] = d
	}
	samples := make([][]sample, len(pairs))
	stolen := stealTime()
	start := time.Now()
	for range runs {
		for i, p := range pairs {
			// What one run has left to be written to the disk must not be
			// written during the next: MIT's kpropd leaves all of it.
			unix.Sync()
			s, err := propagate(r, p, daemons[i], dump)
			if err != nil {
				return err
			}
			samples[i] = append(samples[i], s)
		}
	}
	fmt.Printf("\n%s\n", title)
	walls := make([]time.Duration, len(pairs))
	for i, p := range pairs {
		walls[i] = median(samples[i], func(s sample) time.Duration { return s.wall })
		fmt.Printf("  %-5s %8.3f s   (%s)\n", p.name, walls[i].Seconds(), all(samples[i]))
		fmt.Printf("        kprop: %.2f s CPU, peak memory %.1f MiB   kpropd: %.2f s CPU, peak memory %.1f MiB\n",
			median(samples[i], func(s sample) time.Duration { return s.sendCPU }).Seconds(),
			peak(samples[i], func(s sample) int64 { return s.senderRSS }),
			median(samples[i], func(s sample) time.Duration { return s.recvCPU }).Seconds(),
			peak(samples[i], func(s sample) int64 { return s.recvRSS }))
	}
	fmt.Printf("  ratio %8.2f\n", walls[1].Seconds()/walls[0].Seconds())
	if share := float64(stealTime()-stolen) / float64(time.Since(start)) / float64(runtime.NumCPU()); share > 0.02 {
		fmt.Printf("  beware: other machines on this host took %.0f %% of the processors meanwhile\n", share*100)
	}
	return nil
}

func propagate(r *krbtest.Realm, p pair, d *krbtest.Daemon, dump string) (sample, error) {
	cmd := r.Primary.Command(context.Background(), p.kprop, "-f", dump, "-P", strconv.Itoa(d.Port), "localhost")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	s := sample{}
	before := cpuTime(d.Pid)
	err := cmd.Start()
	if err == nil {
		watched := make(chan int64)
		ended := make(chan struct{})
		go func() { watched <- watchMemory(cmd.Process.Pid, ended) }()
		err = cmd.Wait()
		s.wall = time.Since(start)
		close(ended)
		s.senderRSS = <-watched
	}
	if err != nil || !strings.Contains(out.String(), "SUCCEEDED") {
		return s, fmt.Errorf("%s kprop: %w\n%s\n%s", p.name, err, out.String(), d.Output())
	}
	s.sendCPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	s.recvCPU = cpuTime(d.Pid) - before
	s.recvRSS = highWater(d.Pid)
	return s, nil
}

// cpuTime is what a process and the children that it has waited for have used.
func cpuTime(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The second field, the name in parentheses, may hold blanks; 14 to 17 are
	// the times, in hundredths of a second.
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var ticks int64
	for _, x := range f[11:15] {
		n, _ := strconv.ParseInt(x, 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// stealTime is what the hypervisor gave to others while this machine wanted to
// run.
func stealTime() time.Duration {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(stat))
	if len(f) < 9 {
		return 0
	}
	ticks, _ := strconv.ParseInt(f[8], 10, 64)
	return time.Duration(ticks) * 10 * time.Millisecond
}

// watchMemory reads the peak resident memory of a process until it has ended.
// The kernel's count for a child that was waited for would not do: it begins
// with what this process had when it forked.
func watchMemory(pid int, ended <-chan struct{}) int64 {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var most int64
	for {
		most = max(most, highWater(pid))
		select {
		case <-ended:
			return most
		case <-tick.C:
		}
	}
}

// highWater is the peak resident memory of a process, in KiB.
func highWater(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	n, _ := strconv.ParseInt(strings.Fields(rest + " 0")[0], 10, 64)
	return n
}

func median(s []sample, of func(sample) time.Duration) time.Duration {
	var w []time.Duration
	for _, x := range s {
		w = append(w, of(x))
	}
	slices.Sort(w)
	return w[len(w)/2]
}

func all(s []sample) string {
	var w []string
	for _, x := range s {
		w = append(w, fmt.Sprintf("%.3f", x.wall.Seconds()))
	}
	if len(w) > 7 {
		w = append(w[:6], "...")
	}
	return strings.Join(w, " ")
}

func peak(s []sample, of func(sample) int64) float64 {
	var most int64
	for _, x := range s {
		most = max(most, of(x))
	}
	return float64(most) / 1024
}

func version(program string) string {
	out, err := exec.Command(program, "--version").Output()
	if err != nil {
		return program
	}
	return strings.TrimSpace(string(out))
}

func mitVersion() string {
	out, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", "krb5-kpropd").Output()
	if err != nil {
		return "of unknown version"
	}
	return string(out)
}

func cpuModel() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	_, rest, _ := strings.Cut(string(info), "model name")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(strings.TrimLeft(line, "\t :"))
}
