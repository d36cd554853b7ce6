package schedule

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Changes of the distfile and of all that it names are seen, by the kernel's word
// and by polling, and those of others beside it are not.
func TestWatchFiles(t *testing.T) {
	for name, poll := range map[string]time.Duration{"events": neverPoll, "polling": fastPoll} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			at := func(name string) string { return filepath.Join(dir, name) }
			write := func(name, text string) { must(t, os.WriteFile(at(name), []byte(text), 0o600)) }
			must(t, os.MkdirAll(at("tree/sub"), 0o755))
			must(t, os.MkdirAll(at("other"), 0o755))
			write("file", "1")
			write("other/target", "1")
			must(t, os.Symlink(at("other/target"), at("link")))
			list := "( %s/file %s/tree %s/link %s/absent ) -> kdc2 install ;\n"
			write("distfile", fmt.Sprintf(list, dir, dir, dir, dir))

			ctx, cancel := context.WithCancel(t.Context())
			ready, changes, ended := make(chan struct{}), make(chan struct{}, 100), make(chan struct{})
			go func() {
				defer close(ended)
				s := &distfileSender{path: at("distfile")}
				s.watch(ctx, poll, func() { close(ready) }, func() { changes <- struct{}{} })
			}()
			defer func() { cancel(); <-ended }()
			<-ready
			for _, step := range []struct {
				what   string
				change func()
			}{
				{"written", func() { write("file", "22") }},
				{"mode", func() { must(t, os.Chmod(at("file"), 0o644)) }},
				{"replaced", func() { write("new", "33"); must(t, os.Rename(at("new"), at("file"))) }},
				{"in a tree", func() { write("tree/sub/f", "1") }},
				{"a directory", func() { must(t, os.Mkdir(at("tree/sub/deeper"), 0o755)) }},
				{"in the new directory", func() { write("tree/sub/deeper/f", "1") }},
				{"removed", func() { must(t, os.Remove(at("tree/sub/f"))) }},
				{"appears", func() { write("absent", "1") }},
				{"of the link", func() { must(t, os.Remove(at("link"))); must(t, os.Symlink("file", at("link"))) }},
				{"of the distfile", func() { write("distfile", fmt.Sprintf(list, dir, dir, dir, at("other"))) }},
				{"of what it names now", func() { write("other/absent", "1") }},
				{"broken", func() { write("distfile", "( nonsense") }},
				{"mended", func() { write("distfile", fmt.Sprintf(list, dir, dir, dir, dir)) }},
				{"in the tree again", func() { write("tree/sub/f", "4") }},
			} {
				step.change()
				select {
				case <-changes:
				case <-time.After(patience):
					t.Fatalf("%s: not seen", step.what)
				}
				for len(changes) > 0 { // of a change in several steps
					<-changes
				}
			}
			write("beside", "1")
			before := lookAt(at("distfile")).Sum64()
			write("beside", "22")
			if lookAt(at("distfile")).Sum64() != before {
				t.Error("a file beside counts")
			}
		})
	}
}

// What is looked at is bounded.
func TestLookAtIsBounded(t *testing.T) {
	dir := t.TempDir()
	for i := range maxSourceDirs + 10 {
		must(t, os.Mkdir(filepath.Join(dir, fmt.Sprint(i)), 0o755))
	}
	path := filepath.Join(t.TempDir(), "distfile")
	must(t, os.WriteFile(path, []byte(dir+" -> ( kdc2 kdc3 ) install ;\n"), 0o600))
	s := lookAt(path)
	if len(s.dirs) != maxSourceDirs || s.left != maxSources-maxSourceDirs-11 {
		t.Errorf("%d directories, %d entries left", len(s.dirs), s.left)
	}
}
