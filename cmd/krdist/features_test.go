package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const featureFile = "../../testdata/rdist/features"

// feature is one of what the manual page of rdist promises.
type feature struct {
	number int
	name   string
	tests  []string // folder, blank, test
	open   string   // why there is none
}

func readFeatures(t *testing.T) []feature {
	t.Helper()
	f, err := os.Open(featureFile)
	ok(t, err)
	defer f.Close()
	var all []feature
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		text, indented := strings.CutPrefix(line, "    ")
		number, name, isRow := strings.Cut(line, " | ")
		switch {
		case indented && len(all) > 0:
			last := &all[len(all)-1]
			if reason, isOpen := strings.CutPrefix(text, "open: "); isOpen {
				last.open = reason
			} else {
				last.tests = append(last.tests, text)
			}
		case isRow:
			n, err := strconv.Atoi(number)
			if err != nil {
				t.Fatalf("%s: %q is no line of a feature", featureFile, line)
			}
			all = append(all, feature{number: n, name: name})
		default:
			t.Fatalf("%s: %q is neither a feature nor a test", featureFile, line)
		}
	}
	ok(t, lines.Err())
	return all
}

// TestFeatures: all 120 features are listed, and each has tests that are there,
// or says why it has none.
func TestFeatures(t *testing.T) {
	all := readFeatures(t)
	if len(all) != 120 {
		t.Errorf("%d features, want 120", len(all))
	}
	known := map[string]error{}
	for i, f := range all {
		if f.number != i+1 {
			t.Errorf("feature %d stands where %d should", f.number, i+1)
		}
		if (len(f.tests) > 0) == (f.open != "") {
			t.Errorf("feature %d, %s: want either tests or the reason why there are none", f.number, f.name)
		}
		for _, test := range f.tests {
			if _, seen := known[test]; !seen {
				known[test] = findTest(test)
			}
			if err := known[test]; err != nil {
				t.Errorf("feature %d, %s: %v", f.number, f.name, err)
			}
		}
		if f.open != "" {
			t.Logf("open: feature %d, %s: %s", f.number, f.name, f.open)
		}
	}
}

// findTest reports what is wrong with the name of a test.
func findTest(test string) error {
	folder, name, _ := strings.Cut(test, " ")
	name, recorded, isCase := strings.Cut(name, "/")
	if !regexp.MustCompile(`^Test[A-Z]\w*$`).MatchString(name) {
		return fmt.Errorf("%q is not the name of a test", test)
	}
	if isCase {
		if err := findCase(name, recorded); err != nil {
			return err
		}
	}
	files, err := filepath.Glob(filepath.Join("../..", folder, "*_test.go"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if strings.Contains("\n"+string(text), "\nfunc "+name+"(t *testing.T)") {
			return nil
		}
	}
	return fmt.Errorf("there is no test %s in %s", name, folder)
}

// findCase looks for a recorded case that the test runs.
func findCase(test, name string) error {
	switch test {
	case "TestReplay":
		_, err := os.Stat(filepath.Join("../../testdata/rdist/sessions", name, "info.md"))
		return err
	case "TestParserCases":
		text, err := os.ReadFile(filepath.Join(parserCases, "cases.json"))
		if err != nil {
			return err
		}
		var cases []parserCase
		if err := json.Unmarshal(text, &cases); err != nil {
			return err
		}
		for _, c := range cases {
			if c.Name == name {
				return nil
			}
		}
	}
	return fmt.Errorf("%s has no case %s", test, name)
}

// TestFindTest: names that are wrong are found.
func TestFindTest(t *testing.T) {
	for _, test := range []string{"cmd/krdist", "cmd/krdist TestNowhere", "cmd/nowhere TestFeatures", "cmd/krdist TestParserCases/none",
		"cmd/krdist TestReplay/none", "cmd/krdist TestFeatures/001-simple", "cmd/krdist Features"} {
		if findTest(test) == nil {
			t.Errorf("%q was found", test)
		}
	}
}
