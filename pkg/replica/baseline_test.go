package replica

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/profile"
)

// TestBaselinePanics: a panic as it is looked what is loaded leaves that unknown,
// and ends nothing else.
func TestBaselinePanics(t *testing.T) {
	dir := t.TempDir()
	database := filepath.Join(dir, "principal")
	for suffix, text := range map[string]string{"": "\x62\x31\x05\x00", ".ok": "", ".kadm5": "", ".kadm5.lock": ""} {
		ok(t, os.WriteFile(database+suffix, []byte(text), 0o600))
	}
	osutil.Fault = func(string, string) error { panic("x") } // as the database is locked
	defer func() { osutil.Fault = nil }()
	s := &Server{
		o:     Options{ReadBack: true, File: filepath.Join(dir, "from_master"), MaxShrink: 10, LoadTimeout: 1 << 40},
		realm: profile.Realm{DBLibrary: "db2", DatabaseName: database},
	}
	loaded, cancel := s.startBaseline(t.Context())
	defer cancel()
	if b := <-loaded; b.state != nil || !strings.Contains(b.why, "panic") {
		t.Errorf("%+v", b)
	}
}
