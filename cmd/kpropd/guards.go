package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/pkg/kdb"
	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/replica"
	"github.com/kprop/kprop/pkg/transport"
)

const defaultConfig = "/etc/kprop/kpropd.yaml"

// settings are the options that override a key of kpropd.yaml.
var settings = []struct{ option, key string }{
	{"max-shrink", "max_shrink"},
	{"refuse-older", "refuse_older"},
	{"check-space", "check_space"},
	{"read-back", "read_back"},
	{"engine", "engine"},
	{"keep-lockout", "keep_lockout"},
	{"keep", "keep"},
	{"history-dir", "history_dir"},
	{"confine", "confine"},
	{"handshake-timeout", "limits.handshake"},
	{"idle-timeout", "limits.idle"},
	{"load-timeout", "limits.load"},
	{"wait", "limits.wait"},
	{"max-unauthenticated", "limits.unauthenticated"},
	{"max-per-address", "limits.per_address"},
}

func addSettings(fs *pflag.FlagSet, o *options) {
	fs.StringVar(&o.config, "config", "", "")
	for _, s := range settings {
		fs.String(s.option, "", "")
	}
}

// loadConfig reads kpropd.yaml, which need not be there unless an option names
// it, and applies the options.
func loadConfig(o *options, fset *pflag.FlagSet) (*config.Kpropd, error) {
	path := o.config
	if path == "" {
		path = defaultConfig
	}
	c, err := config.LoadKpropd(path)
	if errors.Is(err, fs.ErrNotExist) && o.config == "" {
		c, err = config.DefaultKpropd(), nil
	}
	if err != nil {
		return nil, err
	}
	for _, s := range settings {
		f := fset.Lookup(s.option)
		if f == nil || !f.Changed {
			continue
		}
		if err := c.Override("--"+s.option, s.key, f.Value.String()); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// serverOptions are the options of a server but for what comes from the realm.
func serverOptions(o *options, l profile.Layout) replica.Options {
	c := o.conf
	return replica.Options{
		Keytab: o.keytab, File: o.file, KDB5Util: o.kdb5Util, Database: o.database, ACL: o.acl,
		Timeouts:  transport.Timeouts{Handshake: c.Limits.Handshake, Idle: c.Limits.Idle},
		LockWait:  c.Limits.Wait,
		Strangers: c.Limits.Unauthenticated, StrangersPerSource: c.Limits.PerAddress,
		LoadTimeout: c.Limits.Load,
		MaxShrink:   c.MaxShrink, RefuseOlder: c.RefuseOlder, CheckSpace: c.CheckSpace,
		MITLoader: o.loadsByMIT(l), ReadBack: c.ReadBack,
		Engine: kdb.Engine(c.Engine), Named: o.named, KeepLockout: c.KeepLockout,
		Keep: c.Keep, HistoryDir: c.HistoryDir,
		VerbArgs: verbArgs(o, l),
		Once:     o.once,
	}
}

// loadsByMIT reports whether it is MIT's kdb5_util that loads, not another
// program that -p names.
func (o *options) loadsByMIT(l profile.Layout) bool { return kdb.IsUtil(o.kdb5Util, l.KDB5Util) }

// installedLoads reports whether it is the kdb5_util of this host's packages, of
// which is known where it has its files.
func (o *options) installedLoads(l profile.Layout) bool { return sameFileAt(o.kdb5Util, l.KDB5Util) }

// sameFileAt reports whether two paths name the same file.
func sameFileAt(a, b string) bool {
	if a == b {
		return true
	}
	sa, errA := os.Stat(a)
	sb, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(sa, sb)
}

// verbArgs are the options, with a blank in front, by which accept and rollback
// find the same database.
func verbArgs(o *options, l profile.Layout) string {
	var b strings.Builder
	for _, a := range []struct{ option, value, standard string }{
		{"-r", o.realm, ""}, {"-f", o.file, l.FromMaster}, {"-F", o.database, ""},
		{"-p", o.kdb5Util, l.KDB5Util}, {"--config", o.config, ""},
	} {
		if a.value != a.standard {
			b.WriteString(" " + a.option + " " + shellWord(a.value))
		}
	}
	if o.historyDir != "" {
		b.WriteString(" --history-dir " + shellWord(o.historyDir))
	}
	return b.String()
}

// shellWord quotes a word for a shell where that is necessary.
func shellWord(s string) string {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("/._-@+:,%=", c)
	}
	if s != "" && strings.IndexFunc(s, func(c rune) bool { return !plain(c) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
