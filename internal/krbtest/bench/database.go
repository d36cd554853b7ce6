package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/krbtest"
)

// database measures dumps and loads of a DB2 database, ours against
// kdb5_util's, and the way from the database on the primary to the live one on
// a replica.
type database struct {
	*bench
	realm *krbtest.Realm
	large string // dump of the large database
}

// task is what both ours and MIT's programs do, each by commands that run one
// after another.
type task struct {
	title  string
	locked string // database whose locks are watched; empty: none
	writer bool   // watch what a writer would wait for; else what a reader would
	ways   []commands
}

type commands struct {
	name  string
	other int // process that takes part; 0: none
	make  func() []*exec.Cmd
}

func (d *database) run() (err error) {
	if d.dir, err = os.MkdirTemp("", "kprop-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(d.dir)
	if d.bin, err = filepath.Abs(d.bin); err != nil {
		return err
	}
	if d.realm, err = krbtest.Create(d.dir, krbtest.Options{}); err != nil {
		return err
	}
	defer d.realm.Close()
	fmt.Printf("\n%s, %d cores; %s; MIT krb5 %s; %s; alternating, median of %d\n",
		cpuModel(), runtime.NumCPU(), version(d.kprop()), mitVersion(), fileSystem(d.dir), d.runs)
	d.large = filepath.Join(d.dir, "large")
	if err := d.fill(d.large, d.principals); err != nil {
		return err
	}
	for _, step := range []func() error{d.dumps, d.loads, d.shuffled, d.endToEnd} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (d *database) kprop() string { return filepath.Join(d.bin, "kprop") }

// fill makes a dump with so many principals, and loads it on both hosts, so that
// each load that is measured replaces a live database.
func (d *database) fill(path string, principals int) error {
	if err := d.realm.Primary.Dump(); err != nil {
		return err
	}
	n := *d.bench
	n.principals = principals
	if _, err := n.generate(d.realm, path); err != nil {
		return err
	}
	if err := d.realm.Primary.Run("kdb5_util", "load", path); err != nil {
		return err
	}
	return d.realm.Replica.Run("kdb5_util", "load", path)
}

// on makes a command for a host of the realm.
func on(n *krbtest.Node, program string, args ...string) *exec.Cmd {
	return n.Command(context.Background(), program, args...)
}

func one(n *krbtest.Node, program string, args ...string) func() []*exec.Cmd {
	return func() []*exec.Cmd { return []*exec.Cmd{on(n, program, args...)} }
}

func (d *database) dumps() error {
	n, file := d.realm.Primary, filepath.Join(d.dir, "dump")
	defer os.Remove(file)
	if _, err := d.compareTask(d.dumpTask(file)); err != nil {
		return err
	}
	if err := d.equal(file); err != nil {
		return err
	}
	return d.alone("dump --low-memory to a new file", n.Database,
		one(n, d.kprop(), "dump", "--low-memory", file))
}

func (d *database) dumpTask(file string) task {
	n := d.realm.Primary
	return task{
		title: d.size("dump to a new file"), locked: n.Database, writer: true,
		ways: []commands{
			{name: "ours", make: one(n, d.kprop(), "dump", file)},
			{name: "MIT", make: one(n, "kdb5_util", "dump", file)},
		},
	}
}

// equal is the last word on the dumps: ours has the bytes of MIT's.
func (d *database) equal(mit string) error {
	ours := mit + ".ours"
	defer os.Remove(ours)
	if err := d.realm.Primary.Run(d.kprop(), "dump", ours); err != nil {
		return err
	}
	if out, err := exec.Command("cmp", ours, mit).CombinedOutput(); err != nil {
		return fmt.Errorf("the two dumps differ: %s", out)
	}
	fmt.Println("  the two dumps are the same, byte by byte")
	return nil
}

func (d *database) loads() error {
	_, err := d.compareTask(d.loadTask("load of a sorted dump, with fsync", d.large))
	return err
}

func (d *database) loadTask(title, file string) task {
	n := d.realm.Replica
	return task{
		title: d.size(title), locked: n.Database,
		ways: []commands{
			{name: "ours", make: one(n, d.kprop(), "load", file)},
			{name: "MIT", make: one(n, "kdb5_util", "load", file)},
		},
	}
}

func (d *database) shuffled() error {
	path := filepath.Join(d.dir, "shuffled")
	defer os.Remove(path)
	if err := shuffle(d.large, path); err != nil {
		return err
	}
	_, err := d.compareTask(d.loadTask("load of a shuffled dump, with fsync", path))
	return err
}

// endToEnd is from the database on the primary to the live one on the replica.
func (d *database) endToEnd() error {
	if _, err := d.realm.Primary.StartKDC(); err != nil {
		return err
	}
	n := d.realm.Primary
	var daemons []*krbtest.Daemon
	for _, program := range []string{filepath.Join(d.bin, "kpropd"), "kpropd"} {
		file := filepath.Join(d.realm.Replica.Dir, fmt.Sprintf("from_master.%d", len(daemons)))
		k, err := d.realm.Replica.StartKpropd(program, "-D", "-f", file)
		if err != nil {
			return err
		}
		defer k.Stop()
		daemons = append(daemons, k)
	}
	port := func(i int) string { return strconv.Itoa(daemons[i].Port) }
	file := filepath.Join(d.dir, "datatrans")
	defer os.Remove(file)
	_, err := d.compareTask(task{
		title: d.size("from the database on the primary to the live one on a replica"),
		ways: []commands{
			{"ours", daemons[0].Pid, one(n, d.kprop(), "--from-db", "-P", port(0), "localhost")},
			{"MIT", daemons[1].Pid, func() []*exec.Cmd {
				return []*exec.Cmd{on(n, "kdb5_util", "dump", file), on(n, "kprop", "-f", file, "-P", port(1), "localhost")}
			}},
		},
	})
	return err
}

func (d *database) size(what string) string {
	return fmt.Sprintf("%d principals, %s", d.principals, what)
}

// compareTask runs the ways in turn, and prints medians and ratio.
func (d *database) compareTask(t task) ([][]usage, error) {
	runs := make([][]usage, len(t.ways))
	held := make([][]lockTime, len(t.ways))
	for range d.runs {
		for i, w := range t.ways {
			u, l, err := t.once(w)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", t.title, w.name, err)
			}
			runs[i], held[i] = append(runs[i], u), append(held[i], l)
		}
	}
	fmt.Printf("\n%s\n", t.title)
	for i, w := range t.ways {
		fmt.Printf("  %-5s %8.3f s   (%s)\n        %s", w.name, medianWall(runs[i]).Seconds(), walls(runs[i]), memory(runs[i]))
		if t.locked != "" {
			whom := map[bool]string{false: "reader", true: "writer"}[t.writer]
			fmt.Printf("; a %s would wait for at most %.1f ms", whom, longest(held[i]).Seconds()*1e3)
		}
		fmt.Println()
	}
	if len(runs) > 1 {
		fmt.Printf("  ratio %8.2f\n", medianWall(runs[1]).Seconds()/medianWall(runs[0]).Seconds())
	}
	return runs, nil
}

// alone measures a way that MIT's programs lack.
func (d *database) alone(title, locked string, cmd func() []*exec.Cmd) error {
	_, err := d.compareTask(task{title: d.size(title), locked: locked, writer: true, ways: []commands{{name: "ours", make: cmd}}})
	return err
}

// once runs the commands of a way. What one run has left to be written to the
// disk must not be written during the next.
func (t task) once(w commands) (usage, lockTime, error) {
	unix.Sync()
	var lock *lockWatch
	if t.locked != "" {
		var err error
		if lock, err = watchLocks(t.locked, t.writer); err != nil {
			return usage{}, 0, err
		}
	}
	sum := usage{peak: map[string]int64{}}
	var errs []error
	for _, cmd := range w.make() {
		var said tail
		cmd.Stdout, cmd.Stderr = &said, &said
		u, err := watch(cmd, w.other)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w: %s", cmd.Path, err, said.text))
		}
		sum.wall += u.wall
		for name, peak := range u.peak {
			sum.peak[name] = max(sum.peak[name], peak)
		}
	}
	var held lockTime
	if lock != nil {
		held = lock.stop()
	}
	return sum, held, errors.Join(errs...)
}

// tail keeps the end of what a program says.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if len(t.text) > 4096 {
		t.text = t.text[len(t.text)-4096:]
	}
	return len(p), nil
}
