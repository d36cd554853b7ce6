// Krdistd receives what krdist distributes: over a port of its own, on which
// clients authenticate by Kerberos, or, as krdistd -S, on standard input and
// output for a remote shell.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"go.uber.org/zap"

	"github.com/kprop/kprop/internal/buildinfo"
	"github.com/kprop/kprop/internal/daemonlog"
	"github.com/kprop/kprop/internal/launch"
	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/rdist/acl"
	"github.com/kprop/kprop/pkg/rdist/daemon"
	"github.com/kprop/kprop/pkg/transport"
)

func main() { os.Exit(run(os.Args[0], os.Args[1:], os.Stdout, os.Stderr)) }

// protocolVersion is what -V prints: the line of the rdist whose protocol this
// is.
const protocolVersion = "Version 6.1.5 (RELEASE) - Protocol Version 6, Release 6.1, Patch level 5"

func run(program string, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == daemon.SessionArg {
		return daemon.RunSession(stderr)
	}
	layout := profile.DefaultLayout()
	o, err := parse(args, layout)
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "%s%s: %v\n", usage, program, err)
		return 1
	case o.help:
		fmt.Fprintf(stdout, help, daemon.ACLPath(layout))
		return 0
	case o.version:
		fmt.Fprintln(stdout, buildinfo.Text("krdistd"))
		return 0
	case o.protocol:
		fmt.Fprintln(stdout, protocolVersion)
		return 0
	case o.standard:
		return daemon.RunStandard(o.foreground, stderr)
	case filepath.Base(program) == "rdistd":
		return 1 // as rdistd does it, without a word
	}
	in, err := launch.Find("krdistd")
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", program, err)
		return 1
	}
	if in.Kind == launch.StandAlone && !o.debug && !o.foreground && !launch.InBackground() {
		return launch.Daemonize(program, stderr)
	}
	log, onStderr := daemonlog.New(o.log())
	defer log.Sync()
	if err := serve(o, in, log); err != nil {
		log.Error(err.Error())
		if !onStderr {
			fmt.Fprintf(stderr, "%s: %v\n", program, err)
		}
		return 1
	}
	return 0
}

// serve loads the configuration, opens what is to be served, and serves it.
func serve(o *options, in *launch.Input, log *zap.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	s, err := newServer(ctx, o, log)
	if err != nil {
		return err
	}
	// It is read for each client; what is wrong with it is better told now.
	if _, err := acl.Load(o.acl); err != nil && in.Kind != launch.Connection {
		log.Warn("nobody can be served: the access list cannot be used", zap.Error(err))
	}
	signal.Ignore(syscall.SIGHUP) // there is nothing to reload
	launch.LeaveDirectory()
	l := in.Listener
	switch in.Kind {
	case launch.Connection:
		s.ServeConn(ctx, in.Conn)
		return nil
	case launch.StandAlone:
		if l, err = listen(ctx, o.port); err != nil {
			return err
		}
	}
	if o.pidFile != "" {
		if err := launch.WritePidFile(o.pidFile); err != nil {
			log.Error("the pid file cannot be written", zap.String("path", o.pidFile), zap.Error(err))
		}
		defer os.Remove(o.pidFile)
	}
	if o.debug || o.foreground {
		fmt.Println("ready")
	}
	launch.AnnounceReady()
	return s.Serve(ctx, l)
}

func listen(ctx context.Context, port string) (net.Listener, error) {
	n, err := transport.KrdistService.LookupPort(port)
	if err != nil {
		return nil, fmt.Errorf("port %s: %w (give a number, or a name of /etc/services)", port, err)
	}
	l, err := launch.Listen(ctx, n)
	if err != nil {
		return nil, fmt.Errorf("port %d cannot be opened: %w (if another program has it, give another with -P)", n, err)
	}
	return l, nil
}

func newServer(ctx context.Context, o *options, log *zap.Logger) (*daemon.Server, error) {
	p, err := profile.Load(profile.Options{Realm: o.realm})
	if err != nil {
		return nil, err
	}
	do := daemon.Options{
		Profile: p, Keytab: o.keytab, ACL: o.acl,
		Timeouts: transport.Timeouts{Handshake: o.handshake}, Silence: o.silence,
		Strangers: o.strangers, StrangersPerSource: o.perSource, Sessions: o.sessions,
		Log: log, SessionLog: o.log(),
	}
	if do.Realm, err = p.DefaultRealm(); err != nil {
		return nil, err
	}
	if o.debug {
		do.Debug = func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	}
	return daemon.New(ctx, do)
}
