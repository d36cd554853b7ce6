package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// usage is what one run of a client and its servers took.
type usage struct {
	wall time.Duration
	cpu  time.Duration    // of all processes; of a daemon's, once they have ended
	busy float64          // share of the machine's processors that were not idle
	peak map[string]int64 // KiB resident, of the largest process by its name
}

// watch runs a command to its end and looks at its descendants, and at those of
// another process, if that is not 0, once in a while: the longer it takes, the less
// often, since that is work for the processors as well.
func watch(cmd *exec.Cmd, other int) (usage, error) {
	u := usage{peak: map[string]int64{}}
	idle, start := idleTime(), time.Now()
	daemon := cpuTime(other)
	if err := cmd.Start(); err != nil {
		return u, err
	}
	ended, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for {
			u.look(cmd.Process.Pid)
			if other != 0 {
				u.look(other)
			}
			select {
			case <-ended:
				return
			case <-time.After(max(5*time.Millisecond, time.Since(start)/20)):
			}
		}
	}()
	err := cmd.Wait()
	u.wall = time.Since(start)
	if cmd.ProcessState != nil {
		u.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	close(ended)
	<-watched
	if other != 0 {
		// What a child has used counts once it was waited for.
		for until := time.Now().Add(time.Second); len(children(other)) > 0 && time.Now().Before(until); {
			time.Sleep(time.Millisecond)
		}
		u.cpu += cpuTime(other) - daemon
	}
	u.busy = 1 - float64(idleTime()-idle)/float64(u.wall)/float64(runtime.NumCPU())
	return u, err
}

// look notes the peak memory of a process and its descendants.
func (u *usage) look(pid int) {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return
	}
	switch n := strings.TrimSpace(string(name)); n {
	case "sh", "shell": // becomes the server
	case "exe": // krdistd starts itself for each session
		u.peak["its session"] = max(u.peak["its session"], highWater(pid))
	default:
		u.peak[n] = max(u.peak[n], highWater(pid))
	}
	for _, c := range children(pid) {
		u.look(c)
	}
}

// children are those of a process that have not been waited for.
func children(pid int) (all []int) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range threads {
		pids, _ := os.ReadFile(t)
		for _, c := range strings.Fields(string(pids)) {
			if n, err := strconv.Atoi(c); err == nil {
				all = append(all, n)
			}
		}
	}
	return all
}

// idleTime is for how long the processors have had nothing to do, together.
func idleTime() time.Duration {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(stat))
	if len(f) < 6 {
		return 0
	}
	var ticks int64
	for _, x := range f[4:6] { // idle, and waiting for a disk
		n, _ := strconv.ParseInt(x, 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func medianWall(runs []usage) time.Duration {
	var w []time.Duration
	for _, u := range runs {
		w = append(w, u.wall)
	}
	slices.Sort(w)
	return w[len(w)/2]
}

func medianCPU(runs []usage) time.Duration {
	var c []time.Duration
	for _, u := range runs {
		c = append(c, u.cpu)
	}
	slices.Sort(c)
	return c[len(c)/2]
}

func walls(runs []usage) string {
	var w []string
	for _, u := range runs {
		w = append(w, fmt.Sprintf("%.3f", u.wall.Seconds()))
	}
	return strings.Join(w, " ")
}

// busy is the median share of the processors.
func busy(runs []usage) float64 {
	var b []float64
	for _, u := range runs {
		b = append(b, u.busy)
	}
	slices.Sort(b)
	return b[len(b)/2]
}

// memory is the largest peak of each program.
func memory(runs []usage) string {
	most := map[string]int64{}
	for _, u := range runs {
		for name, peak := range u.peak {
			most[name] = max(most[name], peak)
		}
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(most)) {
		all = append(all, fmt.Sprintf("%s %.1f MiB", name, float64(most[name])/1024))
	}
	return strings.Join(all, ", ")
}
