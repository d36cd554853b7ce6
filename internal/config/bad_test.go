package config_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/config"
)

var update = flag.Bool("update", false, "write what is said of testdata/badconfig into its .txt files")

const badFolder = "../../testdata/badconfig"

// TestBadFiles compares every word that is said of the files in
// testdata/badconfig. Read what -update writes as the administrator who has to
// mend the file by it.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(badFolder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, file := range files {
		base, isYAML := strings.CutSuffix(filepath.Base(file), ".yaml")
		if !isYAML {
			if _, err := os.Stat(strings.TrimSuffix(file, ".txt") + ".yaml"); err != nil {
				t.Errorf("%s belongs to no .yaml file", file)
			}
			continue
		}
		seen++
		t.Run(base, func(t *testing.T) {
			_, err := config.Load(file)
			refusedAs(t, file, err)
		})
	}
	if seen < 40 {
		t.Errorf("%d files, want 40 or more", seen)
	}
}

// refusedAs compares the error of reading a bad file with the text beside it.
func refusedAs(t *testing.T, file string, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("the file is accepted")
	}
	got := strings.ReplaceAll(err.Error(), file, filepath.Base(file)) + "\n"
	partner := strings.TrimSuffix(file, ".yaml") + ".txt"
	if *update {
		if err := os.WriteFile(partner, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, missing := os.ReadFile(partner)
	if missing != nil {
		t.Fatal(missing)
	}
	if got != string(want) {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
	checkErrors(t, err, file)
}

// checkErrors holds for whatever is wrong: each problem is an *Error on one
// line, in the order of the file.
func checkErrors(t *testing.T, err error, name string) {
	t.Helper()
	last := 0
	for _, e := range each(err) {
		var one *config.Error
		if !errors.As(e, &one) {
			t.Fatalf("%T instead of *Error: %v", e, e)
		}
		if strings.ContainsAny(one.Problem+one.Allowed+one.Key, "\n\r\x1b") {
			t.Errorf("not one line: %q", e)
		}
		if one.File != name {
			t.Errorf("file %q, want %q", one.File, name)
		}
		if one.Line != 0 && one.Line < last {
			t.Errorf("line %d comes after line %d", one.Line, last)
		}
		last = one.Line
	}
}

// each takes joined errors apart.
func each(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}
