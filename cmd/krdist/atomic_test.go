package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// newAtomicStage has what was distributed to DST/src, and then changed.
func newAtomicStage(t *testing.T) *stage {
	t.Helper()
	s := newStage(t)
	s.plant()
	if got := s.run(mirror); got.exit != 0 {
		t.Fatal(got)
	}
	s.write("a.txt", "changed")
	s.write("sub/new", "new")
	ok(t, os.RemoveAll(s.src+"/empty"))
	ok(t, os.Remove(s.src+"/sub/link"))
	ok(t, os.Symlink("new", s.src+"/sub/link"))
	return s
}

// TestAtomic: a failing special leaves everything, and then everything goes
// there.
func TestAtomic(t *testing.T) {
	s := newAtomicStage(t)
	before := tree(t, s.dst)
	failing := "SRC -> hosta install -oremove DST/src ; special SRC/sub/new \"grep new $REMFILE && exit 1\" ;\n"
	got := s.run(failing, "--atomic")
	if got.exit != 1 || !strings.Contains(got.stdout, s.expand("hosta: special \"grep new $REMFILE && exit 1\"\nhosta: new\nhosta: HOST: REMOTE ERROR: shell returned 256\n"+
		"hosta: everything was put back: no file has changed on hosta\n")) {
		t.Errorf("failing: %v", got)
	}
	if after := tree(t, s.dst); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}

	got = s.run(failing, "--atomic", "--json")
	var result jsonResult
	ok(t, json.Unmarshal([]byte(got.stdout), &result))
	if len(result.Hosts) != 1 || !result.Hosts[0].PutBack || result.AsWanted || result.Hosts[0].Entries[0].Updated != 0 {
		t.Errorf("%v", got)
	}

	got = s.run(mirror, "--atomic", "-oquiet")
	s.want(got, 0, "hosta: HOST: DST/src/sub/link: updated\nhosta: HOST: DST/src/empty: removed\n", "")
	same(t, s.src, s.dst+"/src")
	s.want(s.run(mirror, "--atomic"), 0, "hosta: updating host hosta\nhosta: updating of hosta finished\n", "")
}

// TestAtomicSummary: of several hosts those that were put back are named.
func TestAtomicSummary(t *testing.T) {
	s := newStage(t)
	s.write("f", "x")
	got := s.run("SRC/f -> hosta install DST/a ;\nSRC/f -> hostb install DST/b ; special \"false\" ;\nSRC/f -> hostb install DST/b2 ;\n", "--atomic")
	if got.exit != 1 || got.stderr != s.expand("1 of 2 hosts not as wanted:\n  hostb: 1 error, everything was put back\n") {
		t.Errorf("%v", got)
	}
	if names := must(os.ReadDir(s.dst))(t); len(names) != 1 || names[0].Name() != "a" {
		t.Errorf("%v", names)
	}
}

// TestAtomicKilled: krdistd stopped behind the switch puts everything back, and
// one that is killed before it has changed no file, and what it staged the next
// session removes.
func TestAtomicKilled(t *testing.T) {
	s := newAtomicStage(t)
	before := tree(t, s.dst)
	got := s.run("SRC -> hosta install -oremove DST/src ; special SRC/a.txt \"cp $REMFILE "+s.dir+"/seen; kill -TERM $PPID; sleep 600\" ;\n", "--atomic")
	if seen := content(t, s.dir+"/seen"); got.exit != 1 || seen != "changed" {
		t.Errorf("stopped: the command saw %q, %v", seen, got)
	}
	if after := tree(t, s.dst); after != before {
		t.Errorf("stopped: before\n%s\nafter\n%s", before, after)
	}

	s.remoteShell(`sed -u '/^cXatomic switch$/{e kill -9 $(cat ` + s.dir + `/pid)
Q}' | sh -c 'echo $$ >` + s.dir + `/pid; exec '"$command" | cat`)
	got = s.run("SRC -> hosta install -oremove DST/src ; special SRC/a.txt \"true\" ;\n", "--atomic")
	if got.exit != 1 || !strings.Contains(got.stdout, s.expand("hosta: LOCAL ERROR: Lost connection to hosta\n")) {
		t.Errorf("killed: %v", got)
	}
	var files []string
	staged := 0
	for line := range strings.Lines(tree(t, s.dst)) {
		if strings.Contains(line, ".rdist") {
			staged++
			continue
		}
		files = append(files, line)
	}
	if after := strings.Join(files, ""); after != before || staged != 4 {
		t.Errorf("killed: %d staged; before\n%s\nafter\n%s", staged, before, after)
	}
	s.remoteShell(`sh -c "$command"`)
	got = s.run("SRC/a.txt -> hosta install -overify DST/none ;\n")
	if !strings.Contains(got.stdout, "what an earlier session has left: ") {
		t.Errorf("the next session says %v", got)
	}
	if after := tree(t, s.dst); after != before {
		t.Errorf("the next session: before\n%s\nafter\n%s", before, after)
	}
}

// TestAtomicRdistd: a server that does not know it gets nothing.
func TestAtomicRdistd(t *testing.T) {
	s := newStage(t)
	s.write("f", "x")
	s.remoteShell(`printf 'V\n'
while read -r line; do
	echo "$line" >>` + s.dir + `/said
	case $line in cX*) printf '\003rdistd: Unknown config command "X".\n';; esac
	printf '\005\n'
done`)
	s.want(s.run("SRC/f -> hosta install DST/f ;\n", "--atomic"), 1, "hosta: updating host hosta\n"+
		"hosta: LOCAL ERROR: hosta: the server there cannot stage files: nothing was sent: install krdistd of this version there, or distribute without --atomic\n"+
		"hosta: updating of hosta finished\n", "")
	if got := content(t, s.dir+"/said"); got != s.expand("V6\ncHHOST\ncXdigest,atomic,delta\n\x02\n") {
		t.Errorf("%q", got)
	}
}
