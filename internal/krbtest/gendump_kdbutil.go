package krbtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// KDBUtil is a database that only kdb5_util touches: the oracle for dumps. It
// needs no network and no KDC.
type KDBUtil struct {
	dir, program string
	env          []string
}

// NewKDBUtil creates the database of a realm in a temporary directory. stash,
// if not empty, is the path of a stash file that takes the place of the new
// realm's, for dumps of another realm with the same name.
func NewKDBUtil(t testing.TB, realm, stash string) *KDBUtil {
	t.Helper()
	Require(t, "kdb5_util")
	program, _ := LookPath("kdb5_util")
	dir := t.TempDir()
	k := &KDBUtil{dir: dir, program: program, env: []string{
		"KRB5_CONFIG=" + k5path(dir, "krb5.conf"), "KRB5_KDC_PROFILE=" + k5path(dir, "kdc.conf"), "PATH=/usr/sbin:/usr/bin:/bin"}}
	conf := fmt.Sprintf("[libdefaults]\n default_realm = %s\n dns_lookup_kdc = false\n dns_lookup_realm = false\n", realm)
	kdcConf := fmt.Sprintf("[realms]\n %s = {\n  database_name = %s\n  key_stash_file = %s\n }\n",
		realm, k5path(dir, "principal"), k5path(dir, "stash"))
	for name, text := range map[string]string{"krb5.conf": conf, "kdc.conf": kdcConf} {
		if err := os.WriteFile(k5path(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := k.run("create", "-s", "-P", "master"); err != nil {
		t.Fatalf("kdb5_util create: %v\n%s", err, out)
	}
	if stash == "" {
		return k
	}
	b, err := os.ReadFile(stash)
	if err == nil {
		err = os.WriteFile(k5path(dir, "stash"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func k5path(dir, name string) string { return filepath.Join(dir, name) }

func (k *KDBUtil) run(args ...string) (output string, err error) {
	cmd := exec.Command(k.program, args...)
	cmd.Env, cmd.Dir = k.env, k.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Database is the path of the database.
func (k *KDBUtil) Database() string { return k5path(k.dir, "principal") }

// Load replaces the database by a dump. Output is what kdb5_util said; err is
// an exit status other than 0 or a signal.
func (k *KDBUtil) Load(dump []byte) (output string, err error) {
	path := k5path(k.dir, "load")
	if err := os.WriteFile(path, dump, 0o600); err != nil {
		return "", err
	}
	return k.run("load", path)
}

// Dump returns the database as kdb5_util dumps it.
func (k *KDBUtil) Dump() ([]byte, error) {
	path := k5path(k.dir, "dump")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if out, err := k.run("dump", path); err != nil {
		return nil, fmt.Errorf("kdb5_util dump: %w: %s", err, out)
	}
	return os.ReadFile(path)
}
