package client

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/pkg/rdist/option"
)

// TestStamp: what the recordings do not have of entries ::.
func TestStamp(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/d/new; touch x", "")
	write(t, dir+"/d/old", "")
	must(t, os.Chtimes(dir+"/d/old", time.Unix(1, 0), time.Unix(1, 0)))
	must(t, os.Symlink(".", dir+"/d/loop"))
	must(t, os.Symlink("none", dir+"/d/dangling"))
	stamp := func() {
		write(t, dir+"/stamp", "")
		must(t, os.Chtimes(dir+"/stamp", time.Unix(500, 0), time.Unix(500, 0)))
	}
	t.Chdir(dir)
	run := func(commands string, global option.Set) outcome {
		stamp()
		return runEntries(t, dir+"/d :: "+dir+"/stamp "+commands, Options{Dialer: newFake(t), Global: global})
	}
	o := run(`special "echo got $FILE" ; cmdspecial `+dir+`/d/old "echo not" ; cmdspecial "echo all $FILES; exit 3" ; cmdspecial "echo second $FILES" ;`, 0)
	for _, want := range []string{
		"/d/new; touch x: file is newer\n", `special "FILE='` + dir + `/d/new; touch x';echo got $FILE"` + "\n", ": got " + dir + "/d/new; touch x\n",
		": all " + dir + "/d/new; touch x\n", ": LOCAL ERROR: cmdspecial failed: exit status 3\n", ": second " + dir + "/d/new; touch x\n",
		"/d/loop: this link leads to a directory that it is in", "/d/dangling: cannot access file: No such file or directory\n",
	} {
		if !strings.Contains(o.out, want) {
			t.Errorf("%q is not in\n%s", want, o.out)
		}
	}
	if e := o.entry(t); e.Newer != 1 || e.Unchanged != 1 || e.LocalErrors != 3 || strings.Contains(o.out, "echo not") {
		t.Errorf("%s\n%s", e.brief(), o.out)
	}
	if _, err := os.Stat(dir + "/x"); err == nil {
		t.Error("a name was run as a command")
	}
	var st unix.Stat_t
	must(t, unix.Stat(dir+"/stamp", &st))
	if age := time.Since(time.Unix(st.Mtim.Sec, 0)); age > time.Hour {
		t.Errorf("the stamp is %s old", age)
	}

	must(t, os.Remove(dir+"/d/new; touch x"))
	if o = run(`cmdspecial "echo ran" ;`, 0); strings.Contains(o.out, "ran") {
		t.Errorf("nothing is newer:\n%s", o.out)
	}
}

// TestInterruptedCommand: a command here does not outlive the interruption.
func TestInterruptedCommand(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", "")
	write(t, dir+"/stamp", "")
	must(t, os.Chtimes(dir+"/stamp", time.Unix(1, 0), time.Unix(1, 0)))
	must(t, unix.Mkfifo(dir+"/fifo", 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		// Opening waits for the command.
		f, err := os.OpenFile(dir+"/fifo", os.O_WRONLY, 0)
		if err == nil {
			defer f.Close()
		}
		cancel()
	}()
	o := runContext(ctx, t, dir+"/a :: "+dir+"/stamp special \"exec 3<"+dir+"/fifo; exec sleep 1000\" ;", Options{Dialer: newFake(t)})
	if o.AsWanted() {
		t.Error(o.out)
	}
}
