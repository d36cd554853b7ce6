// Package daemonlog makes the log of a daemon, for wherever it runs.
package daemonlog

import (
	"fmt"
	"log/syslog"
	"os"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Options say how the daemon runs.
type Options struct {
	Program    string // its name in syslog
	Foreground bool   // a person or a supervisor reads standard error
	Debug      bool   // a person does
}

// New gives the log: syslog like MIT's as a daemon and under inetd; standard
// error in the foreground and where systemd has connected it to the journal, as
// lines for people on a terminal and for debugging, else as JSON. It tells
// whether that is standard error.
func New(o Options) (log *zap.Logger, stderr bool) {
	if !o.Debug && !o.Foreground && !stderrIsJournal() {
		w, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_INFO, o.Program)
		if err == nil {
			return zap.New(newSyslogCore(w)), false
		}
		// Without a syslog daemon, as in a container, standard error is better
		// than silence, as far as it leads anywhere.
	}
	conf := zap.NewProductionEncoderConfig()
	conf.EncodeTime = zapcore.RFC3339TimeEncoder
	conf.EncodeDuration = zapcore.StringDurationEncoder
	conf.TimeKey = "time"
	enc := zapcore.NewJSONEncoder(conf)
	if o.Debug || term.IsTerminal(int(os.Stderr.Fd())) {
		conf.EncodeLevel = zapcore.CapitalLevelEncoder
		enc = zapcore.NewConsoleEncoder(conf)
	}
	return zap.New(zapcore.NewCore(enc, zapcore.Lock(os.Stderr), zap.InfoLevel)), true
}

// stderrIsJournal follows systemd.exec(5): the variable names the journal's
// socket, and may be inherited by programs that write elsewhere.
func stderrIsJournal() bool {
	var st unix.Stat_t
	if unix.Fstat(2, &st) != nil {
		return false
	}
	return os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// syslogCore writes to the syslog daemon: MIT's text first, since scripts look
// for it, then the fields.
type syslogCore struct {
	w   *syslog.Writer
	enc zapcore.Encoder
}

func newSyslogCore(w *syslog.Writer) *syslogCore {
	conf := zapcore.EncoderConfig{EncodeDuration: zapcore.StringDurationEncoder}
	return &syslogCore{w: w, enc: zapcore.NewJSONEncoder(conf)}
}

func (c *syslogCore) Enabled(l zapcore.Level) bool { return l >= zap.InfoLevel }

func (c *syslogCore) With(fields []zapcore.Field) zapcore.Core {
	enc := c.enc.Clone()
	for _, f := range fields {
		f.AddTo(enc)
	}
	return &syslogCore{w: c.w, enc: enc}
}

func (c *syslogCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c *syslogCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	buf, err := c.enc.EncodeEntry(e, fields)
	if err != nil {
		return err
	}
	defer buf.Free()
	text := e.Message
	if f := strings.TrimSpace(buf.String()); f != "{}" {
		text += " " + f
	}
	switch {
	case e.Level >= zap.ErrorLevel:
		return c.w.Err(text)
	case e.Level == zap.WarnLevel:
		return c.w.Warning(text)
	}
	return c.w.Info(text)
}

func (c *syslogCore) Sync() error { return nil }
