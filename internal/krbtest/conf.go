package krbtest

import (
	"fmt"
	"strings"
)

// krb5Conf is the text of a node's krb5.conf. Names are taken as typed: no
// resolver, no search domain, no realm found by DNS can change a principal.
func (n *Node) krb5Conf() string {
	o := &n.realm.Options
	var b strings.Builder
	fmt.Fprintf(&b, `[libdefaults]
	default_realm = %s
	dns_lookup_kdc = false
	dns_lookup_realm = false
	dns_canonicalize_hostname = false
	qualify_shortname = ""
	rdns = false
	permitted_enctypes = %s
`, n.realm.Name, strings.Join(o.enctypes(), " "))
	for _, s := range o.weakSwitches() {
		fmt.Fprintf(&b, "\t%s = true\n", s)
	}
	if o.ExtraLibdefaults != "" {
		fmt.Fprintf(&b, "%s\n", o.ExtraLibdefaults)
	}
	fmt.Fprintf(&b, `
[realms]
	%s = {
		kdc = %s
	}
`, n.realm.Name, n.KDCAddr())
	return b.String()
}

// kdcConf is the text of a node's kdc.conf. Log files are named, since the
// programs would otherwise write to the machine's syslog.
func (n *Node) kdcConf() string {
	o := &n.realm.Options
	listen := fmt.Sprintf("127.0.0.1:%d", n.KDCPort)
	if o.IPv6 {
		listen += fmt.Sprintf(",[::1]:%d", n.KDCPort)
	}
	return fmt.Sprintf(`[kdcdefaults]
	kdc_listen = %[1]s
	kdc_tcp_listen = %[1]s

[realms]
	%[2]s = {
		database_name = %[3]s
		key_stash_file = %[4]s
		acl_file = %[5]s
		master_key_type = %[6]s
		supported_enctypes = %[6]s:normal
%[7]s
	}

[logging]
	kdc = FILE:%[8]s
	default = FILE:%[9]s
`, listen, n.realm.Name, n.Database, n.Stash, n.path("kadm5.acl"), o.Enctype, o.ExtraRealm, n.KDCLog, n.path("other.log"))
}

func (o *Options) enctypes() []string {
	list := []string{o.Enctype}
	for _, e := range o.SessionEnctypes {
		if e != o.Enctype {
			list = append(list, e)
		}
	}
	return list
}

// weakSwitches names the settings without which the enctypes are refused
// (reference kprop-protocol.md 17.3).
func (o *Options) weakSwitches() []string {
	var rc4, des3 bool
	for _, e := range o.enctypes() {
		e = strings.ToLower(e)
		rc4 = rc4 || strings.HasPrefix(e, "arcfour") || strings.HasPrefix(e, "rc4")
		des3 = des3 || strings.HasPrefix(e, "des3")
	}
	var list []string
	if rc4 {
		list = append(list, "allow_rc4")
	}
	if des3 {
		list = append(list, "allow_des3")
	}
	if rc4 || des3 {
		list = append(list, "allow_weak_crypto")
	}
	return list
}
