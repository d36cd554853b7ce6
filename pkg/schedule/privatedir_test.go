package schedule

import (
	"os"
	"path/filepath"
	"testing"
)

// TestPrivateDir: one that is in use stays, and one whose process was killed goes
// with its content; and nothing else does.
func TestPrivateDir(t *testing.T) {
	in := t.TempDir()
	first, err := makePrivate(in)
	must(t, err)
	abandoned := filepath.Join(in, ".kprop-123")
	others := []string{filepath.Join(in, ".kprop-own"), filepath.Join(in, "kprop-1"), filepath.Join(in, ".kprop-9")}
	for _, dir := range append([]string{abandoned}, others[:2]...) {
		must(t, os.Mkdir(dir, 0o700))
		must(t, os.WriteFile(filepath.Join(dir, "dump"), []byte("keys"), 0o600))
	}
	must(t, os.Symlink(others[0], others[2]))
	second, err := makePrivate(in)
	must(t, err)
	if first.path() == second.path() {
		t.Error("two have one place")
	}
	for path, want := range map[string]bool{
		abandoned: false, first.path(): true, second.path(): true, others[0] + "/dump": true, others[1] + "/dump": true, others[2]: true,
	} {
		if _, err := os.Lstat(path); (err == nil) != want {
			t.Errorf("%s: %v, want it there: %v", path, err, want)
		}
	}
	for _, d := range []*privateDir{first, second} {
		must(t, d.remove())
		if _, err := os.Lstat(d.path()); err == nil {
			t.Errorf("%s is left", d.path())
		}
	}
}
