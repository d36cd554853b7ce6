package profile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRealmConfigDefaults(t *testing.T) {
	r, err := mustParse(t, "").RealmConfig("EX.COM")
	if err != nil {
		t.Fatal(err)
	}
	want := Realm{
		Name: "EX.COM", DatabaseModule: "EX.COM", DBLibrary: "db2",
		DBModuleDirs:        []string{debian().PluginDir},
		DatabaseName:        "/var/lib/krb5kdc/principal",
		NominalDatabaseName: "/var/lib/krb5kdc/principal",
		StashFile:           "/etc/krb5kdc/.k5.EX.COM",
		MasterKeyName:       "K/M", MasterKeyType: "aes256-cts-hmac-sha1-96",
		ACLFile: "/etc/krb5kdc/kadm5.acl",
		MaxLife: 24 * time.Hour, IpropResyncTimeout: 5 * time.Minute,
		IpropLogfile: "/var/lib/krb5kdc/principal.ulog",
	}
	if d := cmp.Diff(want, r); d != "" {
		t.Error(d)
	}
}

func TestRealmConfig(t *testing.T) {
	p := mustParse(t, `[realms]
R = {
	database_name = /r/1
	database_name = /r/2
	database_module = M
	key_stash_file = /stash
	max_life = 10h 0m 0s
	max_renewable_life = 7d 0h 0m 0s
	iprop_enable = no
	iprop_enable = true
	iprop_resync_timeout = 2h
}
BAD = {
	max_life = x
	iprop_enable = perhaps
	iprop_resync_timeout =  ""
	database_module = B
}
[dbmodules]
db_module_dir = /plugins
M = {
	db_library = klmdb
	database_name = /m/1
	database_name = /m/2
	mapsize = 512
	nosync = yes
	disable_lockout = yes
}
B = {
	unlockiter = perhaps
}
`)
	r, err := p.RealmConfig("R")
	if err != nil {
		t.Fatal(err)
	}
	want := Realm{
		Name: "R", DatabaseModule: "M", DBLibrary: "klmdb",
		DBModuleDirs: []string{"/plugins", debian().PluginDir},
		DatabaseName: "/m/1", NominalDatabaseName: "/r/2", IpropLogfile: "/r/2.ulog",
		MapSize: 512, NoSync: true, DisableLockout: true,
		StashFile: "/stash", MasterKeyName: "K/M", MasterKeyType: "aes256-cts-hmac-sha1-96",
		ACLFile: "/etc/krb5kdc/kadm5.acl",
		MaxLife: 10 * time.Hour, MaxRenewableLife: 7 * 24 * time.Hour,
		IpropEnable: true, IpropResyncTimeout: 2 * time.Hour,
	}
	if d := cmp.Diff(want, r); d != "" {
		t.Error(d)
	}

	r, err = p.RealmConfig("BAD")
	if !errors.As(err, new(*ValueError)) {
		t.Errorf("unlockiter = perhaps: %v", err)
	}
	if len(r.Ignored) != 3 || r.MaxLife != 24*time.Hour || r.IpropResyncTimeout != 5*time.Minute || r.IpropEnable {
		t.Errorf("unreadable values: %+v", r)
	}
}

func TestDetectLayout(t *testing.T) {
	for _, c := range []struct {
		exist []string
		name  string
		dump  string
	}{
		{nil, "/usr/local/var", "/usr/local/var/krb5kdc/replica_datatrans"},
		{[]string{"etc/debian_version"}, "debian", "/var/lib/krb5kdc/replica_datatrans"},
		{[]string{"etc/krb5kdc", "usr/local/var/krb5kdc"}, "debian", "/var/lib/krb5kdc/replica_datatrans"},
		{[]string{"var/lib/krb5kdc/slave_datatrans"}, "debian", "/var/lib/krb5kdc/slave_datatrans"},
		{[]string{"var/lib/krb5kdc/slave_datatrans", "var/lib/krb5kdc/replica_datatrans"}, "debian", "/var/lib/krb5kdc/replica_datatrans"},
		{[]string{"var/krb5kdc"}, "/var", "/var/krb5kdc/replica_datatrans"},
		{[]string{"var/krb5kdc", "usr/local/var/krb5kdc"}, "/usr/local/var", "/usr/local/var/krb5kdc/replica_datatrans"},
		{[]string{"var/kerberos/krb5kdc"}, "redhat", "/var/kerberos/krb5kdc/replica_datatrans"},
	} {
		root := t.TempDir()
		for _, path := range c.exist {
			if err := os.MkdirAll(filepath.Join(root, path), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if l := DetectLayout(root); l.Name != c.name || l.Datatrans != c.dump {
			t.Errorf("%v: %s, %s, want %s, %s", c.exist, l.Name, l.Datatrans, c.name, c.dump)
		}
	}
}

func TestKeytabAndReplayCache(t *testing.T) {
	const conf = "[libdefaults]\ndefault_keytab_name = /%{username}/%{uid}/%{euid}\ndefault_rcache_name = file2:%{TEMP}/rc\n"
	for _, c := range []struct {
		conf        string
		env         []string
		keytab, rcp string
	}{
		{"", nil, "FILE:/etc/krb5.keytab", "dfl:"},
		{conf, nil, "/joe/7/8", "file2:/tmp/rc"},
		{conf, []string{"TMPDIR", "/t"}, "/joe/7/8", "file2:/t/rc"},
		{conf, []string{"KRB5_KTNAME", "%{uid}", "KRB5RCACHETYPE", "none"}, "%{uid}", "none:"},
		{conf, []string{"KRB5RCACHENAME", "file2:/a:b", "KRB5RCACHETYPE", "none"}, "/joe/7/8", "file2:/a:b"},
		{"[libdefaults]\ndefault_keytab_name = %{x}\ndefault_rcache_name = %{uid\n", nil, "", ""},
		{"[libdefaults]\ndefault_rcache_name = /path\n", nil, "FILE:/etc/krb5.keytab", ""},
	} {
		o := testOptions()
		o.Env = env(c.env...)
		p, err := Parse("krb5.conf", c.conf, o)
		if err != nil {
			t.Fatal(err)
		}
		p.user = func() (int, int, string) { return 7, 8, "joe" }
		if got, err := p.DefaultKeytab(); (c.keytab == "") != (err != nil) || err == nil && got != c.keytab {
			t.Errorf("%q, %v: keytab %q, %v, want %q", c.conf, c.env, got, err, c.keytab)
		}
		typ, residual, err := p.ReplayCacheName()
		if got := typ + ":" + residual; (c.rcp == "") != (err != nil) || err == nil && got != c.rcp {
			t.Errorf("%q, %v: replay cache %q, %v, want %q", c.conf, c.env, got, err, c.rcp)
		}
	}
}

func TestDefaultCCache(t *testing.T) {
	const conf = "[libdefaults]\ndefault_ccache_name = DIR:/run/user/%{uid}/krb5cc\n"
	for _, c := range []struct {
		conf string
		env  []string
		want string // empty: an error
	}{
		{"", nil, "FILE:/tmp/krb5cc_7"},
		{conf, nil, "DIR:/run/user/7/krb5cc"},
		{conf, []string{"KRB5CCNAME", "FILE:/%{uid}"}, "FILE:/%{uid}"},
		{conf, []string{"KRB5CCNAME", ""}, "DIR:/run/user/7/krb5cc"},
		{"[libdefaults]\ndefault_ccache_name = %{x}\n", nil, ""},
	} {
		o := testOptions()
		o.Env = env(c.env...)
		p, err := Parse("krb5.conf", c.conf, o)
		if err != nil {
			t.Fatal(err)
		}
		p.user = func() (int, int, string) { return 7, 8, "joe" }
		if got, err := p.DefaultCCache(); (c.want == "") != (err != nil) || err == nil && got != c.want {
			t.Errorf("%q, %v: cache %q, %v, want %q", c.conf, c.env, got, err, c.want)
		}
	}
}

func TestEnctypeSwitches(t *testing.T) {
	p := mustParse(t, "[libdefaults]\nallow_rc4 = 1\nallow_des3 = t\n")
	if !p.AllowRC4() || !p.AllowDES3() || p.AllowWeakCrypto() {
		t.Error("switches are misread")
	}
	if a, b := EnctypeName(17), EnctypeName(99); a != "aes128-cts-hmac-sha1-96" || b != "etype 99" {
		t.Errorf("EnctypeName: %s, %s", a, b)
	}
}
