package main

import (
	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/rdist/client"
	"github.com/kprop/kprop/pkg/transport"
)

// kerberos is the way to krdistd: with the tickets of who runs this, or with
// the key of this host.
func (p *program) kerberos() (client.Dialer, error) {
	conf, err := profile.Load(profile.Options{})
	if err != nil {
		return nil, err
	}
	d := &transport.Dialer{Profile: conf, AsHost: p.asHost || p.keytab != "", Keytab: p.keytab, Port: p.port}
	if p.compress {
		d.Compress = []string{transport.CompressZstd}
	}
	return client.Kerberos{Dialer: d}, nil
}
