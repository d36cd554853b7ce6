package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/profile"
)

// Receiving says what to check on a replica: kpropd's options. The zero value
// checks it with kpropd's defaults.
type Receiving struct {
	Realm  string // of -r
	Keytab string // name; empty: the default keytab
	ACL    string // path of kpropd.acl

	Config     string // path of kpropd.yaml; not looked at if empty
	ConfigMust bool   // it was asked for
	HistoryDir string // of kept dumps; empty: that of Config, or File with .history behind
	File       string // takes the received dump
	Database   string // to load into; empty: that of kdc.conf
	Engine     string // that loads: auto, db2 or kdb5_util; empty: that of Config
	KDB5Util   string // path of the program that loads; empty: that of the installation
	Named      bool   // the user has named it
	Port       string // number or service name

	Deep bool // read the whole database, however long it takes
}

// Check runs all checks in at most 15 seconds unless Deep. It changes nothing.
func (o Receiving) Check(ctx context.Context) []Item {
	deep := ctx
	ctx, cancel := context.WithTimeout(ctx, totalPatience)
	defer cancel()
	l := profile.DefaultLayout()
	for _, d := range []struct {
		value *string
		def   string
	}{{&o.ACL, l.KpropdACL}, {&o.File, l.FromMaster}, {&o.KDB5Util, l.KDB5Util}} {
		if *d.value == "" {
			*d.value = d.def
		}
	}
	h := &host{series: new(series), receiver: true, wantRealm: o.Realm, keytabOpt: o.Keytab}
	cfg := o.checkConfig(ctx, h.series)
	h.configuration(ctx)
	if o.Database != "" {
		h.settings.DatabaseName = o.Database
	}
	h.identity(ctx)
	f := &files{
		host: h, dump: o.File, history: cfg.HistoryDir, util: o.KDB5Util, path: o.Database, engine: cfg.Engine,
	}
	if o.Named {
		f.named = "-p"
	}
	h.do(ctx, "access list", []string{nameRealm, nameHost}, func(ctx context.Context) []Item { return h.checkACL(ctx, o.ACL) })
	f.checkEngines(ctx, true)
	h.do(ctx, "directory", []string{nameKDCConf}, f.checkDirectories)
	h.do(ctx, "space", []string{"directory"}, f.checkSpace)
	h.do(ctx, "received dump", []string{nameKDCConf}, f.checkReceived)
	h.do(ctx, nameStash, []string{nameKDCConf}, f.checkStash)
	h.do(ctx, nameDatabase, []string{nameKDCConf}, f.checkDatabase)
	if h.settings.DBLibrary == "klmdb" && kdb.IsUtil(o.KDB5Util, l.KDB5Util) {
		h.do(ctx, nameLMDB, []string{nameKDCConf}, f.checkLMDB)
	}
	h.do(ctx, "key files", []string{nameKDCConf}, f.checkModes)
	h.do(ctx, "iprop", []string{nameKDCConf}, h.checkIprop)
	h.do(ctx, "krb5kdc", []string{nameKeytab, nameDatabase}, f.checkOwnKDC)
	h.do(ctx, "port", nil, func(context.Context) []Item { return checkListening(o.Port) })
	if o.Deep {
		return append(h.items, h.deep(deep, f.engine, f.named, o.KDB5Util, o.Database)...)
	}
	return h.items
}

// checkConfig reads kpropd.yaml, and gives it with the options over it; the
// directory of kept dumps is filled in.
func (o Receiving) checkConfig(ctx context.Context, on *series) config.Kpropd {
	c := *config.DefaultKpropd()
	if o.Config != "" {
		read, err := config.LoadKpropd(o.Config)
		if !errors.Is(err, fs.ErrNotExist) || o.ConfigMust {
			on.do(ctx, "kpropd.yaml", nil, func(context.Context) []Item { return readItems(o.Config, err, "") })
		}
		if err == nil {
			c = *read
		}
	}
	c.HistoryDir = cmp.Or(o.HistoryDir, c.HistoryDir, o.File+".history")
	c.Engine = cmp.Or(o.Engine, c.Engine)
	return c
}

// readItems tells the outcome of reading a configuration file: an item for each
// fault.
func readItems(path string, err error, mend string) []Item {
	if err == nil {
		return okItem("read %s", path)
	}
	var items []Item
	for line := range strings.SplitSeq(err.Error(), "\n") {
		i := failItem(line)
		if mend != "" {
			i[0].Remedy = []string{mend}
		}
		items = append(items, i...)
	}
	return items
}

// checkDirectories makes sure that the received dump and the new database can
// be written.
func (f *files) checkDirectories(context.Context) []Item {
	items := checkDirectory(f.database(), "the database")
	if filepath.Dir(f.dump) != filepath.Dir(f.database()) {
		items = append(items, checkDirectory(f.dump, "the received dump")...)
	}
	return items
}

// checkDatabase says whether there is a database of a kind that kprop can
// propagate.
func (f *files) checkDatabase(ctx context.Context) []Item {
	switch f.settings.DBLibrary {
	case "kldap":
		return failItem("the realm's database is kept by LDAP (db_library = kldap), which kprop does not propagate", "replicate the directory server instead")
	case "db2", "klmdb":
	default:
		return warnItem(fmt.Sprintf("db_library = %s is not known here", f.settings.DBLibrary))
	}
	if !f.present() {
		return okItem("%s is not there yet, the first propagation brings it", f.database())
	}
	return f.opens(ctx)
}

// checkOwnKDC asks the krb5kdc of this host.
func (f *files) checkOwnKDC(ctx context.Context) []Item {
	if !f.present() {
		return skipItem("krb5kdc cannot start before the first propagation")
	}
	kdc := f.ownKDC()
	for _, r := range f.askEach(ctx, []profile.KDC{kdc}) {
		if r.silent() {
			return warnItem("krb5kdc of this host does not answer at "+kdc.Addr(), "systemctl enable --now krb5-kdc    (Red Hat: krb5kdc)", "journalctl -u krb5-kdc")
		}
	}
	return okItem("answers at %s", kdc.Addr())
}

// ownKDC is where the KDC of this host listens first, by kdc.conf.
func (f *files) ownKDC() profile.KDC {
	kdc := profile.KDC{Host: "127.0.0.1", Port: 88}
	for _, path := range [][]string{
		{"realms", f.realm, "kdc_listen"}, {"realms", f.realm, "kdc_ports"}, {"kdcdefaults", "kdc_listen"}, {"kdcdefaults", "kdc_ports"},
	} {
		value, ok := f.profile.Value(path...)
		words := strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
		if !ok || len(words) == 0 {
			continue
		}
		if n, err := strconv.Atoi(words[0]); err == nil && n > 0 && n < 1<<16 {
			kdc.Port = n
		} else if k, err := profile.ParseKDC(words[0]); err == nil {
			kdc = k
		}
		if kdc.Host == "0.0.0.0" || kdc.Host == "::" {
			kdc.Host = "127.0.0.1"
		}
		break
	}
	return kdc
}
