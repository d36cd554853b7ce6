package main

import (
	"errors"

	"go.uber.org/zap"

	"github.com/kprop/kprop/internal/confine"
	"github.com/kprop/kprop/internal/launch"
	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/replica"
)

// portDomain is that of DNS over TCP.
const portDomain = 53

// places are what this process needs from now on. What listens is open.
func places(s *replica.Server, o *options, in *launch.Input) confine.Places {
	p := s.Places()
	p.Connect = []uint16{portDomain}
	if in.Kind != launch.Connection {
		p.Write = append(p.Write, o.pidFile)
	}
	return p
}

// confineTo gives up the rest, unless that is off. It is one protection of
// several, so kpropd goes on without it, and says so. A process for one
// connection says only what went wrong, since it would say the rest each time,
// and so does one in the background, whose starter wants to hear nothing.
func confineTo(p confine.Places, o *options, in *launch.Input, log *zap.Logger) {
	if !o.conf.Confine {
		return
	}
	tell := log.Info
	if in.Kind == launch.Connection || launch.InBackground() {
		tell = log.Debug
	}
	if !o.installedLoads(profile.DefaultLayout()) {
		tell(confine.ErrNot.Error() + ": what the program of the option -p needs is not known")
		return
	}
	version, err := p.Apply()
	switch {
	case errors.Is(err, confine.ErrNot):
		tell(err.Error())
	case err != nil:
		log.Warn("kpropd goes on without being confined", zap.Error(err))
	default:
		tell("confined by Landlock", zap.Int("version", version), zap.Strings("writable", p.Writable()))
	}
}
