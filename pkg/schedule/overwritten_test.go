package schedule

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOverwritten: a dump must not take the place of the realm's own files,
// wherever kdc.conf has them.
func TestOverwritten(t *testing.T) {
	dir := t.TempDir()
	database, stash := filepath.Join(dir, "principal"), filepath.Join(dir, "stash")
	if err := os.WriteFile(database, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(database, link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		database: "the database", dir + "/x/../principal": "the database", link: "the database", database + ".kadm5": ".kadm5",
		database + ".lockout.mdb": ".lockout.mdb", stash: stash, database + ".dump": "", filepath.Join(dir, "dump"): "",
	} {
		if got := overwritten(path, database, stash); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
