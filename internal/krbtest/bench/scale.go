package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/kprop/kprop/internal/krbtest"
)

// scale measures dump and load by the size of the realm: a table, and plots of
// it.
type scale struct {
	*bench
	sizes string // numbers of principals, separated by commas
	out   string // folder for the table's data and the plots; empty: none
}

// row is what one size took: wall time in seconds and peak memory in MiB.
type row struct {
	principals int
	bytes      int64
	seconds    [4]float64 // in the order of columns
	mib        [4]float64
}

// columns are the plots' and the table's.
var columns = [4]string{"dump, ours", "dump, MIT", "load, ours", "load, MIT"}

func (s *scale) run() error {
	var sizes []int
	for _, word := range strings.Split(s.sizes, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return fmt.Errorf("-scale %s: %q is no number of principals", s.sizes, word)
		}
		sizes = append(sizes, n)
	}
	if s.out != "" {
		if _, err := exec.LookPath("gnuplot"); err != nil {
			return fmt.Errorf("the plots need gnuplot: %w", err)
		}
	}
	var rows []row
	for _, n := range sizes {
		r, err := s.measure(n)
		if err != nil {
			return fmt.Errorf("%d principals: %w", n, err)
		}
		rows = append(rows, r)
	}
	fmt.Printf("\n%s", table(rows))
	return s.write(rows)
}

// measure takes one size in a realm of its own.
func (s *scale) measure(principals int) (r row, err error) {
	d := database{bench: &bench{principals: principals, runs: s.runs, bin: s.bin}}
	if d.dir, err = os.MkdirTemp("", "kprop-bench-"); err != nil {
		return r, err
	}
	defer os.RemoveAll(d.dir)
	if d.bin, err = filepath.Abs(d.bin); err != nil {
		return r, err
	}
	if d.realm, err = krbtest.Create(d.dir, krbtest.Options{}); err != nil {
		return r, err
	}
	defer d.realm.Close()
	d.large = filepath.Join(d.dir, "large")
	if err := d.fill(d.large, principals); err != nil {
		return r, err
	}
	st, err := os.Stat(d.large)
	if err != nil {
		return r, err
	}
	r = row{principals: principals, bytes: st.Size()}
	for i, t := range []task{d.dumpTask(filepath.Join(d.dir, "dump")), d.loadTask("load, with fsync", d.large)} {
		runs, err := d.compareTask(t)
		if err != nil {
			return r, err
		}
		for j, u := range runs {
			r.seconds[2*i+j] = medianWall(u).Seconds()
			r.mib[2*i+j] = largest(u)
		}
	}
	return r, nil
}

// largest is the peak memory of the largest program, in MiB.
func largest(runs []usage) float64 {
	var most int64
	for _, u := range runs {
		for _, peak := range u.peak {
			most = max(most, peak)
		}
	}
	return float64(most) / 1024
}

// table is the result as Markdown.
func table(rows []row) string {
	var b strings.Builder
	b.WriteString("| principals | dump file, MB |")
	for _, c := range columns {
		fmt.Fprintf(&b, " %s, s | MiB |", c)
	}
	b.WriteString("\n|---:|---:|" + strings.Repeat("---:|---:|", len(columns)) + "\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %d | %.1f |", r.principals, float64(r.bytes)/1e6)
		for i := range columns {
			fmt.Fprintf(&b, " %.3f | %.0f |", r.seconds[i], r.mib[i])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// write leaves the data and the plots made of it.
func (s *scale) write(rows []row) error {
	if s.out == "" {
		return nil
	}
	var data strings.Builder
	fmt.Fprintf(&data, "# %s, %d cores; %s; MIT krb5 %s; median of %d\n# principals", cpuModel(), runtime.NumCPU(),
		version(filepath.Join(s.bin, "kprop")), mitVersion(), s.runs)
	for _, c := range columns {
		fmt.Fprintf(&data, "\t%s [s]\t[MiB]", c)
	}
	for _, r := range rows {
		fmt.Fprintf(&data, "\n%d", r.principals)
		for i := range columns {
			fmt.Fprintf(&data, "\t%.4f\t%.1f", r.seconds[i], r.mib[i])
		}
	}
	file := filepath.Join(s.out, "performance.tsv")
	err := os.WriteFile(file, []byte(data.String()+"\n"), 0o644)
	return errors.Join(err,
		plot(file, filepath.Join(s.out, "performance-time.svg"), "seconds", 0),
		plot(file, filepath.Join(s.out, "performance-memory.svg"), "peak memory, MiB", 1))
}

// plot draws one kind of column on logarithmic axes.
func plot(data, svg, label string, offset int) error {
	styles := [len(columns)]string{
		"lc rgb '#0b6e99' lw 2 pt 7", "lc rgb '#0b6e99' lw 2 dt 2 pt 6",
		"lc rgb '#b3541e' lw 2 pt 5", "lc rgb '#b3541e' lw 2 dt 2 pt 4",
	}
	var curves []string
	for i, c := range columns {
		curves = append(curves, fmt.Sprintf("'%s' using 1:%d with linespoints %s title '%s'", data, 2+2*i+offset, styles[i], c))
	}
	cmd := exec.Command("gnuplot")
	cmd.Stdin = strings.NewReader(fmt.Sprintf(`set terminal svg size 720,440 font 'sans-serif,13' background '#ffffff'
set output '%s'
set datafile separator '\t'
set logscale xy
set grid
set key top left
set xlabel 'principals'
set ylabel '%s'
plot %s
`, svg, label, strings.Join(curves, ", \\\n")))
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("gnuplot: %w: %s", err, said.String())
	}
	return nil
}
