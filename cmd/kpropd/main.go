// Kpropd receives propagations of the Kerberos database on a replica KDC and
// has them loaded. It takes the place of MIT krb5's program of the same name.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/zap"

	"github.com/kprop/kprop/internal/buildinfo"
	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/internal/daemonlog"
	"github.com/kprop/kprop/internal/launch"
	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/replica"
	"github.com/kprop/kprop/pkg/transport"
)

func main() { os.Exit(run(os.Args[0], os.Args[1:], os.Stdout, os.Stderr)) }

func run(program string, args []string, stdout, stderr io.Writer) int {
	if isVerb(args) {
		return runVerb(program, args, stdout, stderr)
	}
	layout := profile.DefaultLayout()
	o, err := parse(args, layout)
	switch {
	case errors.As(err, new(*config.Error)):
		fmt.Fprintf(stderr, "%s: %v\n", program, err)
		return 1
	case err != nil:
		fmt.Fprint(stderr, usage)
		fmt.Fprintf(stderr, "%s: %v\n", program, err)
		return 1
	case o.help:
		fmt.Fprintf(stdout, help, layout.FromMaster, layout.KDB5Util, layout.KpropdACL)
		return 0
	case o.version:
		fmt.Fprintln(stdout, buildinfo.Text("kpropd"))
		return 0
	}
	in, err := launch.Find("kpropd")
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", program, err)
		return 1
	}
	if in.Kind == launch.StandAlone && !o.debug && !o.foreground && !launch.InBackground() {
		return launch.Daemonize(program, stderr)
	}
	log, onStderr := newLog(o)
	defer log.Sync()
	if err := serve(o, in, log); err != nil {
		log.Error("kpropd: " + err.Error())
		if !onStderr {
			fmt.Fprintf(stderr, "%s: %v\n", program, err)
		}
		return 1
	}
	return 0
}

// failure is an error with MIT's words for it, where MIT has some.
func failure(err error, while string) error {
	text := transport.Message(err)
	if text == err.Error() {
		return fmt.Errorf("%s: %w", while, err)
	}
	return fmt.Errorf("%s %s: %w", text, while, err)
}

// serve loads the configuration, opens what is to be served, and serves it.
func serve(o *options, in *launch.Input, log *zap.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	s, err := newServer(ctx, o, log)
	if err != nil {
		return err
	}
	ignoreHangup(ctx, log)
	launch.LeaveDirectory()
	l := in.Listener
	if in.Kind == launch.StandAlone {
		if l, err = listen(ctx, o.port); err != nil {
			return err
		}
	}
	// Bound, it needs no right to bind any port. Nobody is served yet.
	confineTo(places(s, o, in), o, in, log)
	if in.Kind == launch.Connection {
		s.ServeConn(ctx, in.Conn)
		return nil
	}
	if o.pidFile != "" {
		if err := launch.WritePidFile(o.pidFile); err != nil {
			log.Error("Could not write pid file " + o.pidFile + ": " + transport.Message(err))
		}
		defer os.Remove(o.pidFile)
	}
	if o.debug || o.foreground {
		fmt.Println("ready")
	}
	launch.AnnounceReady()
	return s.Serve(ctx, l)
}

// newLog is the log of kpropd; see daemonlog.New.
func newLog(o *options) (log *zap.Logger, stderr bool) {
	return daemonlog.New(daemonlog.Options{Program: "kpropd", Foreground: o.foreground, Debug: o.debug})
}

// listen opens the port of the option -P.
func listen(ctx context.Context, port string) (net.Listener, error) {
	n, err := transport.KpropService.LookupPort(port)
	if err != nil {
		return nil, fmt.Errorf("getaddrinfo: Servname not supported for ai_socktype: %w", err)
	}
	l, err := launch.Listen(ctx, n)
	if err != nil {
		return nil, failure(err, "while binding listener socket")
	}
	return l, nil
}

func newServer(ctx context.Context, o *options, log *zap.Logger) (*replica.Server, error) {
	ro, err := realmOptions(o, profile.DefaultLayout())
	if err != nil {
		return nil, err
	}
	ro.Log = log
	if o.debug {
		ro.Debug = func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	}
	s, err := replica.New(ctx, ro)
	if err != nil {
		return nil, failure(err, "while setting up")
	}
	reportIncremental(o, ro.Profile, ro.Realm, log)
	return s, nil
}

// realmOptions are serverOptions with what krb5.conf and kdc.conf say.
func realmOptions(o *options, l profile.Layout) (replica.Options, error) {
	ro := serverOptions(o, l)
	p, err := profile.Load(profile.Options{KDC: true, Realm: o.realm})
	if err != nil {
		return ro, failure(err, "while initializing krb5")
	}
	ro.Profile = p
	if ro.Realm, err = p.DefaultRealm(); err != nil {
		return ro, failure(err, "while getting default realm")
	}
	return ro, nil
}

// reportIncremental says what is accepted but has no effect.
func reportIncremental(o *options, p *profile.Profile, realm string, log *zap.Logger) {
	if o.adminServer != "" {
		log.Warn("option -A is accepted but has no effect: this kpropd does not poll for incremental updates", zap.String("value", o.adminServer))
	}
	if len(o.dbArgs) > 0 {
		log.Warn("option -x is accepted but has no effect: this kpropd does not poll for incremental updates", zap.Strings("value", o.dbArgs))
	}
	if r, err := p.RealmConfig(realm); err == nil && r.IpropEnable {
		log.Warn("iprop_enable is set, but this kpropd takes full propagations only: run kprop regularly on the primary", zap.String("realm", realm))
	}
}

// ignoreHangup keeps SIGHUP, which units and scripts send as a reload, from
// ending the program.
func ignoreHangup(ctx context.Context, log *zap.Logger) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	go func() {
		defer signal.Stop(hup)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hup:
				log.Info("nothing to reload: access list and keytab are read for each connection; restart for krb5.conf, kdc.conf and kpropd.yaml")
			}
		}
	}()
}
