package kdb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kprop/kprop/internal/krbtest"
	"github.com/kprop/kprop/pkg/dump"
	"github.com/kprop/kprop/pkg/kdb"
)

// realm is a throw-away database made by the real kdb5_util.
type realm struct {
	dir, stash string
	util       kdb.Util
}

const realmName = "KDB.EXAMPLE"

func newRealm(t *testing.T) *realm {
	t.Helper()
	krbtest.Require(t, "kdb5_util", "kadmin.local")
	path, err := krbtest.LookPath("kdb5_util")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r := &realm{dir: dir, stash: filepath.Join(dir, "stash")}
	r.util = kdb.Util{Path: path, Realm: realmName, Env: []string{
		"KRB5_CONFIG=" + filepath.Join(dir, "krb5.conf"),
		"KRB5_KDC_PROFILE=" + filepath.Join(dir, "kdc.conf"),
		"LC_ALL=C",
	}}
	r.write(t, "krb5.conf", "[libdefaults]\n default_realm = "+realmName+"\n")
	r.write(t, "kdc.conf", fmt.Sprintf("[realms]\n %s = {\n  database_name = %s/principal\n  key_stash_file = %s\n }\n", realmName, dir, r.stash))
	r.run(t, path, "-r", realmName, "-P", "master-1", "create", "-s")
	return r
}

func (r *realm) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (r *realm) run(t *testing.T, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = r.util.Env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
}

func (r *realm) path(name string) string { return filepath.Join(r.dir, name) }

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRealDumpAndLoad(t *testing.T) {
	r := newRealm(t)
	ctx := context.Background()
	if err := r.util.Dump(ctx, r.path("dump")); err != nil {
		t.Fatal(err)
	}
	d, err := kdb.OpenDump(r.path("dump"))
	if err != nil {
		t.Fatal(err)
	}
	if !d.Finished() || d.Size() == 0 {
		t.Errorf("finished %t, %d bytes", d.Finished(), d.Size())
	}
	d.Close()

	other := r.util
	other.Database = r.path("other")
	if err := other.Load(ctx, r.path("dump")); err != nil {
		t.Fatal(err)
	}
	if err := other.Dump(ctx, r.path("dump2")); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, r.path("dump")), read(t, r.path("dump2"))) {
		t.Error("the loaded database dumps to other bytes")
	}
}

// A received dump is loaded from its temporary name, under the lock.
func TestRealLoadOfIncoming(t *testing.T) {
	r := newRealm(t)
	ctx := context.Background()
	if err := r.util.Dump(ctx, r.path("dump")); err != nil {
		t.Fatal(err)
	}
	in, err := kdb.NewIncoming(r.path("from_master"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Abort()
	if _, err := in.Write(read(t, r.path("dump"))); err != nil {
		t.Fatal(err)
	}
	if err := in.Sync(); err != nil {
		t.Fatal(err)
	}
	replica := r.util
	replica.Database = r.path("replica")
	if err := replica.Load(ctx, in.TempPath()); err != nil {
		t.Fatal(err)
	}
	if err := in.Commit(); err != nil {
		t.Fatal(err)
	}
}

func TestRealLoadFails(t *testing.T) {
	r := newRealm(t)
	ctx := context.Background()
	if err := r.util.Dump(ctx, r.path("dump")); err != nil {
		t.Fatal(err)
	}
	text := read(t, r.path("dump"))
	r.write(t, "cut", string(text[:len(text)/2]))
	err := r.util.Load(ctx, r.path("cut"))
	var ue *kdb.UtilError
	if !errors.As(err, &ue) || ue.ExitCode != 1 || !strings.Contains(ue.Stderr, "restore failed") {
		t.Fatalf("load of a cut dump: %v", err)
	}
	if want := r.util.Path + " returned a bad exit status (1): "; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %q does not begin with %q", err, want)
	}
	if err := r.util.Dump(ctx, r.path("dump2")); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, read(t, r.path("dump2"))) {
		t.Error("a failed load changed the database")
	}
}

func TestRealDumpWithoutStash(t *testing.T) {
	r := newRealm(t)
	for name, spoil := range map[string]func() error{
		"wrong":  func() error { return os.WriteFile(r.stash, []byte("wrong"), 0o600) },
		"absent": func() error { return os.Remove(r.stash) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		err := r.util.Dump(context.Background(), r.path("dump"))
		var ue *kdb.UtilError
		if !errors.As(err, &ue) || !ue.DumpComplete || !strings.Contains(ue.Stderr, "master key") {
			t.Errorf("stash %s: %v", name, err)
		}
	}
	if _, err := kdb.OpenDump(r.path("dump")); err != nil {
		t.Error(err)
	}
}

// The file size limit stands for a full disk: kdb5_util exits with 0.
func TestRealDumpOnFullDisk(t *testing.T) {
	r := newRealm(t)
	wrapper := r.path("limited")
	text := "#!/bin/sh\ntrap '' XFSZ\nulimit -f 2\nexec " + r.util.Path + " \"$@\"\n"
	if err := os.WriteFile(wrapper, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	limited := r.util
	limited.Path = wrapper
	err := limited.Dump(context.Background(), r.path("dump"))
	var ue *kdb.UtilError
	if !errors.As(err, &ue) || ue.DumpComplete {
		t.Fatalf("dump on a full disk: %v", err)
	}
	t.Log(err)
}

// Our judgement of stash and K/M is kdb5_util's, before and after re-keying.
func TestRealStash(t *testing.T) {
	r := newRealm(t)
	old := read(t, r.stash)
	check := func(want ...kdb.FindingKind) {
		t.Helper()
		err := r.util.Dump(context.Background(), r.path("dump"))
		var ue *kdb.UtilError
		if err != nil && (!errors.As(err, &ue) || !ue.DumpComplete) {
			t.Fatal(err)
		}
		findings, ours := kdb.CheckStash(masterKey(t, r.path("dump")), r.stash)
		if (ours == nil) != (err == nil) {
			t.Errorf("we say %v, kdb5_util says %v", ours, err)
		}
		var got []kdb.FindingKind
		for _, f := range findings {
			got = append(got, f.Kind)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("findings %v, want %v", findings, want)
		}
	}
	check(kdb.StashMatches)
	cmd := exec.Command(r.util.Path, "-r", realmName, "add_mkey", "-s")
	cmd.Env = r.util.Env
	cmd.Stdin = strings.NewReader("master-2\nmaster-2\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("add_mkey: %v\n%s", err, out)
	}
	check(kdb.StashMatches)
	newest := read(t, r.stash)
	r.write(t, "stash", string(old))
	check(kdb.StashMatches, kdb.StashOnlyOld)
	newest[len(newest)-8] ^= 1 // the last byte of the key but one
	r.write(t, "stash", string(newest))
	check()
}

func masterKey(t *testing.T, path string) *dump.Principal {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rd, err := dump.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for {
		rec, err := rd.Next()
		if err != nil {
			t.Fatalf("no K/M in %s: %v", path, err)
		}
		if p, ok := rec.(*dump.Principal); ok && string(p.Name) == "K/M@"+realmName {
			return p.Clone()
		}
	}
}
