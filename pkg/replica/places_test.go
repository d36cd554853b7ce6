package replica

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kprop/kprop/pkg/profile"
)

// TestPlaces: with every setting that names a place, each is there, and nothing
// else but the build's defaults.
func TestPlaces(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{
		"conf/krb5.conf": `includedir DIR/included
[libdefaults]
	default_realm = R.TEST
	dns_canonicalize_hostname = false
	plugin_base_dir = DIR/plugins
[dbmodules]
	db_module_dir = DIR/modules
	M = {
		database_name = DIR/database/principal
	}
`,
		"included/more.conf": "",
		"kdc/kdc.conf": `[realms]
	R.TEST = {
		database_module = M
		key_stash_file = DIR/stash/stash
		iprop_logfile = DIR/log/ulog
	}
`,
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		ok(t, os.MkdirAll(filepath.Dir(path), 0o700))
		ok(t, os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600))
	}
	t.Setenv("KRB5RCACHEDIR", dir+"/rcache")
	env := map[string]string{"KRB5_CONFIG": dir + "/conf/krb5.conf:" + dir + "/none.conf", "KRB5_KDC_PROFILE": dir + "/kdc/kdc.conf"}
	layout := profile.DetectLayout(dir)
	p := must(profile.Load(profile.Options{KDC: true, Env: func(name string) string { return env[name] }, Layout: &layout}))(t)
	o := Options{
		Profile: p, Realm: "R.TEST", Keytab: "FILE:" + dir + "/keytab", File: dir + "/dump/from_master",
		KDB5Util: dir + "/sbin/kdb5_util", ACL: dir + "/acl",
	}
	wantPlaces := func(what string, run, read, write []string) {
		t.Helper()
		got := must(New(t.Context(), o))(t).Places()
		for kind, lists := range map[string][2][]string{"run": {got.Run, run}, "read": {got.Read, read}, "write": {got.Write, write}} {
			for i, list := range lists {
				for j := range list {
					list[j] = strings.TrimPrefix(list[j], dir+"/")
				}
				slices.Sort(list)
				lists[i] = slices.Compact(list)
			}
			if diff := cmp.Diff(lists[1], lists[0]); diff != "" {
				t.Errorf("%s, %s: (-want +got)\n%s", what, kind, diff)
			}
		}
	}
	read := []string{
		"acl", "keytab", "conf/krb5.conf", "none.conf", "included", "included/more.conf", "kdc/kdc.conf",
		"modules", layout.PluginDir, "plugins", "stash/stash",
	}
	wantPlaces("as configured", []string{"sbin/kdb5_util"}, read,
		[]string{"dump/from_master", "dump/from_master.history", "database/principal", "log/ulog", "rcache/krb5_" + uid() + ".rcache2"})

	o.Database, o.HistoryDir = dir+"/other/principal", dir+"/history"
	env["KRB5RCACHENAME"] = "none:"
	wantPlaces("with options", []string{"sbin/kdb5_util"}, read, []string{"", "dump/from_master", "history", "other/principal", "log/ulog"})
}

func uid() string { return strconv.Itoa(os.Geteuid()) }
