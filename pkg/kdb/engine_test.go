package kdb_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/profile"
)

// beginning of the files that MIT makes.
const (
	btree = "\x62\x31\x05\x00\x03\x00\x00\x00"
	hash  = "\x00\x06\x15\x61\x00\x00\x00\x03"
)

// TestEngineChoice: what is taken for each state of a realm, and why.
func TestEngineChoice(t *testing.T) {
	const db = "{DB}"
	broken := "kdb5_util: " + db + ".kadm5.lock is not there, as after a"
	tests := []struct {
		name       string
		want       kdb.Engine
		realm      profile.Realm
		named      string
		files      map[string]string // by what their names end in
		dump, load string            // the choice, or the error with ! in front; a beginning
	}{
		{name: "btree", files: map[string]string{"": btree, ".kadm5.lock": ""}, dump: "db2", load: "db2"},
		{name: "btree of a big-endian host", files: map[string]string{"": "\x00\x05\x31\x62", ".kadm5.lock": ""}, dump: "db2", load: "db2"},
		{name: "hash", files: map[string]string{"": hash, ".kadm5.lock": ""}, dump: "db2", load: "db2"},
		{name: "forced", want: kdb.DB2, files: map[string]string{"": btree, ".kadm5.lock": ""}, dump: "db2", load: "db2"},
		{name: "nothing yet", dump: "kdb5_util: " + db + " is not there", load: "db2"},
		{name: "nothing yet, forced", want: kdb.DB2, dump: "!the engine db2 cannot dump this database: " + db + " is not there; see database_name", load: "db2"},
		{name: "broken load -update", files: map[string]string{"": btree}, dump: broken, load: broken},
		{name: "broken load -update, forced", want: kdb.DB2, files: map[string]string{"": btree},
			dump: "!the engine db2 cannot dump this database: " + db + ".kadm5.lock is not there, as after a \"kdb5_util load -update\" that was broken off; make the file again with: install -m 600 /dev/null " + db + ".kadm5.lock",
			load: "!the engine db2 cannot load this database: " + db + ".kadm5.lock is not there"},
		{name: "no database", files: map[string]string{"": "SQLite format 3", ".kadm5.lock": ""},
			dump: "kdb5_util: " + db + " is no DB2 database: it begins with", load: "kdb5_util: " + db + " is no DB2 database: it begins with"},
		{name: "cut", files: map[string]string{"": "\x62", ".kadm5.lock": ""},
			dump: "kdb5_util: " + db + " is no DB2 database: it is cut", load: "kdb5_util: " + db + " is no DB2 database: it is cut"},
		{name: "iprop", realm: profile.Realm{IpropEnable: true}, files: map[string]string{"": btree, ".kadm5.lock": ""},
			dump: "kdb5_util: iprop_enable is set", load: "kdb5_util: iprop_enable is set, and only kdb5_util resets the update log"},
		{name: "iprop, forced", want: kdb.DB2, realm: profile.Realm{IpropEnable: true}, files: map[string]string{"": btree, ".kadm5.lock": ""},
			dump: "db2", load: "!the engine db2 cannot load this database: iprop_enable is set"},
		{name: "-p", named: "-p", files: map[string]string{"": btree, ".kadm5.lock": ""}, dump: "kdb5_util: -p names a program", load: "kdb5_util: -p names a program"},
		{name: "-p, forced", want: kdb.DB2, named: "-p", files: map[string]string{"": btree, ".kadm5.lock": ""}, dump: "db2", load: "db2"},
		{name: "kdb5_util", want: kdb.KDB5Util, files: map[string]string{"": btree, ".kadm5.lock": ""},
			dump: "kdb5_util: engine is set to it", load: "kdb5_util: engine is set to it"},
		{name: "LMDB", realm: profile.Realm{DBLibrary: "klmdb"}, files: map[string]string{".mdb": "x"},
			dump: "lmdb", load: "kdb5_util: only kdb5_util can load into LMDB"},
		{name: "LMDB, nothing yet", realm: profile.Realm{DBLibrary: "klmdb"}, dump: "kdb5_util: " + db + ".mdb is not there", load: "kdb5_util: only"},
		{name: "LMDB, forced", want: kdb.DB2, realm: profile.Realm{DBLibrary: "klmdb"}, files: map[string]string{".mdb": "x"},
			dump: "!the engine db2 cannot dump this database: its db_library is klmdb; set engine to auto",
			load: "!the engine db2 cannot load this database: only kdb5_util can load into LMDB"},
		{name: "LMDB, -p", named: "-p", realm: profile.Realm{DBLibrary: "klmdb"}, files: map[string]string{".mdb": "x"},
			dump: "kdb5_util: -p names a program", load: "kdb5_util: only"},
		{name: "LDAP", realm: profile.Realm{DBLibrary: "kldap"}, dump: "kdb5_util: its db_library is kldap", load: "kdb5_util: its db_library is kldap"},
		{name: "LDAP, forced", want: kdb.DB2, realm: profile.Realm{DBLibrary: "kldap"},
			dump: "!the engine db2 cannot dump this database: its db_library is kldap; set engine to auto",
			load: "!the engine db2 cannot load this database: its db_library is kldap; set engine to auto"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			database := filepath.Join(t.TempDir(), "principal")
			for suffix, text := range test.files {
				if err := os.WriteFile(database+suffix, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if test.realm.DBLibrary == "" {
				test.realm.DBLibrary = "db2"
			}
			q := kdb.EngineQuery{Want: test.want, Realm: &test.realm, Database: database, Named: test.named}
			for verb, want := range map[string]string{"dump": test.dump, "load": test.load} {
				choose := q.ChooseDump
				if verb == "load" {
					choose = q.ChooseLoad
				}
				c, err := choose()
				got := c.String()
				if err != nil {
					got = "!" + err.Error()
				}
				var e *kdb.EngineError
				if err != nil && !errors.As(err, &e) {
					t.Errorf("%s: %T", verb, err)
				}
				if want = strings.ReplaceAll(want, db, database); !strings.HasPrefix(got, want) || c.Reason == "" && got != want && err == nil {
					t.Errorf("%s: %q, want %q", verb, got, want)
				}
				if err == nil && c.Native() != (c.Reason == "") {
					t.Errorf("%s: %v is native: %v", verb, c, c.Native())
				}
			}
		})
	}
}

// TestEngineNotRegular: a directory in the place of the database is left to MIT.
func TestEngineNotRegular(t *testing.T) {
	q := kdb.EngineQuery{Realm: &profile.Realm{DBLibrary: "db2"}, Database: t.TempDir()}
	c, err := q.ChooseLoad()
	if err != nil || c.Engine != kdb.KDB5Util || !strings.Contains(c.Reason, "not a regular file") {
		t.Errorf("%v, %v", c, err)
	}
}
