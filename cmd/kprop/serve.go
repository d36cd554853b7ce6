package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"

	"github.com/kprop/kprop/internal/buildinfo"
	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/internal/control"
	"github.com/kprop/kprop/internal/metrics"
	"github.com/kprop/kprop/internal/record"
	"github.com/kprop/kprop/internal/statuspage"
	"github.com/kprop/kprop/pkg/check"
	"github.com/kprop/kprop/pkg/schedule"
)

// serving is what kprop serve is started with.
type serving struct {
	config, socket, stateDir string
	stderr                   io.Writer
	log                      *zap.Logger
}

func newServeCommand() *cobra.Command {
	var s serving
	cmd := &cobra.Command{
		Use:   "serve [-c FILE] [--socket PATH] [--state-dir DIR]",
		Short: "keep all replicas as the primary is, by schedule and by change",
		Long: `Runs on the primary and propagates the Kerberos database to the replicas of the
configuration file, by its schedule and soon after each change of the database.
It stays in the foreground, as systemd wants it; "kprop status" asks it.

SIGHUP reads the configuration again. SIGTERM ends it: transfers have 15 seconds
to finish; a replica whose transfer is broken off keeps the database it has.

Exit status: 0 after SIGTERM, 1 if it cannot run.`,
		Args: noMore(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.stderr = cmd.ErrOrStderr()
			s.log = serveLog(os.Stderr)
			return s.run(cmd.Context())
		},
	}
	fs := cmd.Flags()
	fs.StringVarP(&s.config, "config", "c", defaultConfig, "configuration `file`")
	fs.StringVar(&s.stateDir, "state-dir", fromEnv("KPROP_STATE_DIR", defaultStateDir), "`directory` for state and dumps; environment: KPROP_STATE_DIR")
	fs.Lookup("state-dir").DefValue = defaultStateDir
	socketFlag(fs, &s.socket)
	return cmd
}

// serveLog writes lines for people on a terminal, else JSON, on standard error:
// under systemd that is the journal.
func serveLog(w *os.File) *zap.Logger {
	conf := zap.NewProductionEncoderConfig()
	conf.TimeKey = "time"
	conf.EncodeTime = zapcore.RFC3339TimeEncoder
	conf.EncodeDuration = zapcore.StringDurationEncoder
	enc := zapcore.NewJSONEncoder(conf)
	if term.IsTerminal(int(w.Fd())) {
		conf.EncodeLevel = zapcore.CapitalLevelEncoder
		conf.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05")
		enc = zapcore.NewConsoleEncoder(conf)
	}
	return zap.New(zapcore.NewCore(enc, zapcore.Lock(w), zap.InfoLevel))
}

func (s *serving) run(ctx context.Context) error {
	cfg, err := config.LoadChecked(s.config, configChecks())
	if err != nil {
		fmt.Fprintln(s.stderr, err)
		return exitFailed
	}
	if err := os.MkdirAll(s.stateDir, 0o700); err != nil {
		return fmt.Errorf("state directory: %w (run as root, or choose another with --state-dir)", err)
	}
	store, err := record.Open(filepath.Join(s.stateDir, "kprop.db"), record.Options{Keep: cfg.History})
	if err != nil {
		return err
	}
	defer store.Close()
	if moved := store.Damaged(); moved != "" {
		s.log.Warn("the state file was damaged and is moved away; every replica is sent to once", zap.String("path", moved))
	}
	tcp := &tcpListener{log: s.log}
	service, err := schedule.NewService(schedule.ServiceOptions{
		Config: cfg, Store: store, StateDir: s.stateDir, Log: s.log,
		Load:     func() (*config.Config, error) { return config.LoadChecked(s.config, configChecks()) },
		Reloaded: func(c *config.Config) error { return tcp.listen(c.Listen) },
	})
	if err != nil {
		return explained(err)
	}
	return s.serve(ctx, service, cfg, tcp)
}

// explained adds what is known of an error of Kerberos' configuration.
func explained(err error) error {
	text := err.Error()
	for _, f := range check.Configuration(err) {
		if !strings.Contains(text, f.Problem) {
			text += "\n" + f.Problem
		}
		for _, line := range f.Remedy {
			text += "\n  " + line
		}
	}
	return errors.New(text)
}

func (s *serving) serve(ctx context.Context, service *schedule.Service, cfg *config.Config, tcp *tcpListener) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := os.MkdirAll(filepath.Dir(s.socket), 0o755); err != nil {
		return fmt.Errorf("directory of the socket: %w (choose another with --socket)", err)
	}
	socket, err := control.ListenUnix(s.socket)
	if err != nil {
		return err
	}
	defer socket.Close()
	options := control.Options{
		Service: service, Page: statuspage.Handler(service.Status), Metrics: metrics.New(service.Status).Handler(),
		Panicked: func(value any, stack []byte) {
			s.log.Error("a request failed", zap.Any("panic", value), zap.ByteString("stack", stack))
		},
	}
	tcp.ctx, tcp.options = ctx, options
	if err := tcp.listen(cfg.Listen); err != nil {
		return err
	}
	var all sync.WaitGroup
	all.Go(func() { s.closed(control.Serve(ctx, socket, control.New(options).Socket())) })
	all.Go(func() { reloadOnHangup(ctx, service) })
	all.Go(func() { tellSystemd(ctx, service) })
	s.log.Info("kprop serve started", zap.String("version", buildinfo.Text("kprop")),
		zap.String("config", s.config), zap.String("socket", s.socket), zap.Int("realms", len(cfg.Realms)))
	err = service.Serve(ctx)
	all.Wait()
	tcp.wait()
	s.log.Info("kprop serve stopped")
	return err
}

func (s *serving) closed(err error) {
	if err != nil {
		s.log.Error("the socket is no longer served", zap.Error(err))
	}
}

// reloadOnHangup reads the configuration again at each SIGHUP. What is wrong with
// it is logged by the service.
func reloadOnHangup(ctx context.Context, service *schedule.Service) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			notifyReloading()
			_ = service.Reload(ctx)
			notifyReady()
		}
	}
}
