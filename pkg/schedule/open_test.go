package schedule

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/internal/record"
	"github.com/kprop/kprop/pkg/kdb"
)

// kerberos writes configuration files of Kerberos and names them in the
// environment, as an administrator does for all verbs.
func kerberos(t *testing.T, krb5, kdc string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"krb5.conf": krb5, "kdc.conf": kdc} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	t.Setenv("KRB5_CONFIG", filepath.Join(dir, "krb5.conf"))
	t.Setenv("KRB5_KDC_PROFILE", filepath.Join(dir, "kdc.conf"))
}

// parsed is the configuration of a text.
func parsed(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("kprop.yaml", []byte(text))
	must(t, err)
	return c
}

func opened(t *testing.T, text string) ([]*plan, error) {
	t.Helper()
	store, err := record.Open(filepath.Join(t.TempDir(), "kprop.db"), record.Options{})
	must(t, err)
	defer store.Close()
	s := &Service{o: ServiceOptions{StateDir: "/var/lib/kprop", open: (*Service).openRealm}, store: store, now: time.Now}
	return s.openAll(parsed(t, text))
}

// What krb5.conf and kdc.conf say fills what the file leaves open.
func TestOpenRealm(t *testing.T) {
	kerberos(t, "[libdefaults]\n default_realm = A.TEST\n",
		"[realms]\n A.TEST = {\n database_name = /srv/a\n }\n B.TEST = {\n database_name = /srv/b\n master_key_name = KEY\n }\n")
	plans, err := opened(t, "replicas: [kdc2]\n")
	must(t, err)
	p := plans[0]
	if sender, source := p.sender.(*Sender), p.source.(*source); p.name != "A.TEST" || p.database != "/srv/a" ||
		sender.Realm != "A.TEST" || sender.Keytab != "" || sender.Timeouts.Idle != time.Minute || sender.ConnectTimeout != 30*time.Second ||
		source.path != "/var/lib/kprop/dumps/A.TEST.dump" || !source.own || source.util.Realm != "A.TEST" || source.util.Database != "" || source.masterKeyName != "K/M" ||
		source.query.Database != "/srv/a" || source.query.Want != kdb.Auto || source.query.Named != "" || source.query.Realm.Name != "A.TEST" || source.util.Stall != time.Minute {
		t.Errorf("%+v\n%+v\n%+v", p, sender, source)
	}
	plans, err = opened(t, `
realm: B.TEST
replicas: [kdc2]
idle_timeout: 5m
keytab: FILE:/srv/keytab
dump: /srv/dump
database: /srv/elsewhere
engine: db2
kdb5_util: /opt/kdb5_util
`)
	must(t, err)
	p = plans[0]
	if sender, source := p.sender.(*Sender), p.source.(*source); p.name != "B.TEST" || p.database != "/srv/elsewhere" ||
		sender.Realm != "B.TEST" || sender.Keytab != "FILE:/srv/keytab" || sender.Timeouts.Idle != 5*time.Minute || sender.ConnectTimeout != 30*time.Second ||
		source.path != "/srv/dump" || source.own || source.util.Realm != "B.TEST" || source.util.Database != "/srv/elsewhere" ||
		source.util.Path != "/opt/kdb5_util" || source.masterKeyName != "KEY" ||
		source.query.Database != "/srv/elsewhere" || source.query.Want != kdb.DB2 || source.query.Named != "kdb5_util in kprop.yaml" || source.util.Stall != 5*time.Minute {
		t.Errorf("%+v\n%+v\n%+v", p, sender, source)
	}
}

// A realm that nobody names is asked for by the name of the file it belongs in.
func TestOpenNoRealm(t *testing.T) {
	kerberos(t, "[libdefaults]\n", "")
	_, err := opened(t, "replicas: [kdc2]\n")
	if err == nil || !strings.HasPrefix(err.Error(), "kprop.yaml names no realm, and there is no default_realm in [libdefaults] of /") ||
		!strings.Contains(err.Error(), "realm: EXAMPLE.COM") || strings.Contains(err.Error(), "-r") {
		t.Errorf("%v", err)
	}
}
