package main

import (
	"os"
	"strings"
	"testing"
)

// TestCheck: it tells how each host stands, and changes nothing.
func TestCheck(t *testing.T) {
	s := newStage(t)
	s.plant()
	s.remoteShell(`[ $host != bad1 ] || exit 1; exec sh -c "$command"`)
	var distfile string
	for _, host := range []string{"good1", "good2", "bad1"} {
		distfile += "SRC -> " + host + " install -oremove DST/" + host + " ; special \"touch SRC.special\" ; cmdspecial \"touch SRC.special\" ;\n"
	}
	if got := s.run(distfile, "-m", s.expand("good1")); got.exit != 0 {
		t.Fatal(got)
	}
	ok(t, os.Remove(s.src+".special"))
	s.write("a.txt", "changed")
	before := tree(t, s.dst)
	check := []string{"check"}
	log := s.dir + "/there.log"
	got := s.runVerb(check, distfile, "-L", "file="+log+"=all")
	for _, want := range []string{
		"good1: SRC/a.txt: need to update\n", "good2: SRC: need to install\n",
		"3 of 3 hosts not as wanted:\n  good1: 2 objects out of date\n  good2: 1 object out of date\n  bad1: Unexpected input from server: \"\".\n",
	} {
		if want = s.expand(want); got.exit != 1 || !strings.Contains(got.stdout, want) {
			t.Errorf("%v, want exit status 1 and\n%s", got, want)
		}
	}
	if strings.Contains(got.stdout, "missing link") {
		t.Errorf("directories are no hard links: %v", got)
	}
	if after := tree(t, s.dst); before != after {
		t.Errorf("the hosts had\n%s\nand have\n%s", before, after)
	}
	for _, name := range []string{s.src + ".special", log} {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s was made", name)
		}
	}
	s.write("a.txt", "alpha")
	ok(t, os.Chmod(s.src+"/a.txt", 0o600))
	got = s.runVerb(check, distfile, "-m", s.expand("good1"))
	if got.exit != 0 || !strings.HasSuffix(got.stdout, s.expand("All hosts as wanted:\n  good1: as wanted, 13 objects\n")) {
		t.Errorf("%v", got)
	}
}
