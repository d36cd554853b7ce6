package profile

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mitProgram finds one of MIT's programs. Without it the test ends: as failed
// if KPROP_REQUIRE_MIT=1, else as skipped.
func mitProgram(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/bin/", "/usr/sbin/", "/usr/local/bin/", "/usr/local/sbin/"} {
		if _, err := os.Stat(dir + name); err == nil {
			return dir + name
		}
	}
	if os.Getenv("KPROP_REQUIRE_MIT") == "1" {
		t.Fatalf("MIT's %s is not installed, and KPROP_REQUIRE_MIT is set", name)
	}
	t.Skipf("MIT's %s is not installed", name)
	return ""
}

// mitRun runs a program with a configuration of its own and returns what it
// prints on both outputs; it may fail.
func mitRun(t *testing.T, environ []string, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append([]string{"LC_ALL=C"}, environ...)
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out)
}

// klist -k names the default keytab before it looks for it, or says that the
// configuration is malformed: the cheapest way to see a value that the real
// library read.
func TestDefaultKeytabLikeKlist(t *testing.T) {
	klist := mitProgram(t, "klist")
	for _, text := range []string{
		"",
		"[libdefaults]\ndefault_keytab_name = /nonexistent/a\ndefault_keytab_name = /nonexistent/b\n",
		"[libdefaults]\r\ndefault_keytab_name =  \"/nonexistent/a\\\"b c \" d\r\n",
		"[libdefaults]\ndefault_keytab_name = FILE:/nonexistent/a # b ; c  \t\n",
		"x\n [libdefaults]\ndefault_keytab_name = /nonexistent/a\n",
		"[libdefaults]\n[realms]\nR =\n{\ndefault_keytab_name = /nonexistent/a\n}\n[libdefaults]\ndefault_keytab_name = /nonexistent/b\n",
		"[libdefaults]\ndefault_keytab_name = %{TEMP}/%{uid}-%{euid}-%{username}%{null}%\n",
		"[libdefaults]\ndefault_keytab_name = /nonexistent%{LIBDIR}%{BINDIR}%{SBINDIR}%{USERID}\n",
		"[libdefaults]\ndefault_keytab_name = /nonexistent/%{bogus}\n",
		"[libdefaults]\ndefault_keytab_name = /nonexistent/%{uid\n",
		"[libdefaults]\ndefault_keytab_name = /nonexistent/a\nx\n",
		"[libdefaults] # x\ndefault_keytab_name = /nonexistent/a\n",
		"[libdefaults]*\ndefault_keytab_name* = /nonexistent/a\n",
		"[libdefaults]\ndefault_keytab_name = " + strings.Repeat("x", 900) + "\n",
		"[libdefaults]\nallow_rc4 = perhaps\n",
		"[libdefaults]\ndns_canonicalize_hostname = perhaps\n",
		"[libdefaults]\nrdns = perhaps\n",
		"include /nonexistent/file\n",
	} {
		conf := filepath.Join(t.TempDir(), "krb5.conf")
		writeFiles(t, filepath.Dir(conf), map[string]string{"krb5.conf": text})
		out := mitRun(t, []string{"KRB5_CONFIG=" + conf}, klist, "-k")
		want := ""
		if first, _, _ := strings.Cut(out, "\n"); strings.HasPrefix(first, "Keytab name: ") {
			want = strings.TrimPrefix(first, "Keytab name: ")
		} else if i := strings.Index(out, "\nKeytab name: "); i >= 0 {
			want, _, _ = strings.Cut(out[i+len("\nKeytab name: "):], "\n")
		}

		got := ""
		p, err := Load(Options{Env: env("KRB5_CONFIG", conf)})
		if err == nil {
			got, err = p.DefaultKeytab()
		}
		if err == nil && !strings.HasPrefix(got, "FILE:") {
			got = "FILE:" + got
		}
		if got != want {
			t.Errorf("%q: keytab %q, error %v; klist says %q", text, got, err, out)
		}
	}
}

// klist names the cache that it does not find.
func TestDefaultCCacheLikeKlist(t *testing.T) {
	klist := mitProgram(t, "klist")
	for _, text := range []string{
		"[libdefaults]\ndefault_ccache_name = /nonexistent/%{uid}-%{username}\n",
		"[libdefaults]\ndefault_ccache_name = FILE:/nonexistent/%{euid}\n",
	} {
		conf := filepath.Join(t.TempDir(), "krb5.conf")
		writeFiles(t, filepath.Dir(conf), map[string]string{"krb5.conf": text})
		out := mitRun(t, []string{"KRB5_CONFIG=" + conf}, klist)
		p, err := Load(Options{Env: env("KRB5_CONFIG", conf)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.DefaultCCache()
		if err != nil || !strings.Contains(out, "(filename: "+strings.TrimPrefix(got, "FILE:")+")") {
			t.Errorf("%q: cache %q, %v; klist says %q", text, got, err, out)
		}
	}
}

func TestDefaultRealmLikeKinit(t *testing.T) {
	kinit := mitProgram(t, "kinit")
	for _, text := range []string{
		"",
		"[libdefaults]\ndefault_realm = A\ndefault_realm = B\ndns_lookup_kdc = no\n",
		"[libdefaults]\ndns_lookup_kdc = no\ndefault_realm = \"A B\"\n",
		"[libdefaults]\ndns_lookup_kdc = off\ndefault_realm = a#b\n[realms]\na#b = {\nmaster_kdc = x\n}\n",
		"[libdefaults]\ndns_lookup_kdc = bogus\ndefault_realm = A\n",
		"[libdefaults]\ndns_fallback = no\ndefault_realm = A\n",
	} {
		conf := filepath.Join(t.TempDir(), "krb5.conf")
		writeFiles(t, filepath.Dir(conf), map[string]string{"krb5.conf": text})
		out := mitRun(t, []string{"KRB5_CONFIG=" + conf}, kinit, "x")

		o := testOptions()
		o.Env = env("KRB5_CONFIG", conf)
		p, err := Load(o)
		if err != nil {
			t.Fatal(err)
		}
		want := "does not specify default realm"
		realm, err := p.DefaultRealm()
		if err == nil {
			_, err = p.KDCs(context.Background(), realm)
			want, _, _ = strings.Cut(err.Error(), ": ")
		}
		if !strings.Contains(out, want) {
			t.Errorf("%q: %v; kinit says %q", text, err, out)
		}
	}
}

// kdb5_util takes the last value of what its administration library reads, but
// opens the first database_name.
func TestRealmConfigLikeKdb5Util(t *testing.T) {
	util := mitProgram(t, "kdb5_util")
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		"1/x": "", "2/x": "",
		"kdc.conf": `[realms]
R = {
	database_name = @DIR@/1/principal
	key_stash_file = @DIR@/1/stash
	master_key_name = K/1
}
`,
		"krb5.conf": `[libdefaults]
	default_realm = R
[realms]
R = {
	database_name = @DIR@/2/principal
	key_stash_file = @DIR@/2/stash
	master_key_name = K/2
}
`})
	vars := []string{"KRB5_CONFIG", dir + "/krb5.conf", "KRB5_KDC_PROFILE", dir + "/kdc.conf"}
	out := mitRun(t, []string{vars[0] + "=" + vars[1], vars[2] + "=" + vars[3]}, util, "-P", "x", "create", "-s")

	o := testOptions()
	o.KDC, o.Env = true, env(vars...)
	p, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.RealmConfig("R")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{r.DatabaseName, r.StashFile} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("kdb5_util did not make %s: %s", path, out)
		}
	}
	if r.DatabaseName != dir+"/1/principal" || r.StashFile != dir+"/2/stash" {
		t.Errorf("database %s, stash %s", r.DatabaseName, r.StashFile)
	}
	if !strings.Contains(out, "'"+r.NominalDatabaseName+"'") || !strings.Contains(out, "'"+r.MasterKeyName+"@R'") {
		t.Errorf("kdb5_util names other things than %s and %s: %s", r.NominalDatabaseName, r.MasterKeyName, out)
	}
}
