package server

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/pkg/rdist/message"
)

// log records what was done, on this host. The client is told of most of it
// too, but the client may be the one that somebody wants to look after.
func (s *session) log(t message.Type, text string) {
	for _, l := range []*message.Logger{s.o.Log, s.fileLog} {
		if l != nil {
			l.Log(t, s.o.HostName, text)
		}
	}
}

// logInstalled records a change of which the client gets an acknowledgement
// alone.
func (s *session) logInstalled(text string) {
	if s.update != nil {
		s.log(message.Change, text+": staged")
		return
	}
	s.log(message.Change, text+": installed")
}

// configLog sets what is recorded, by the client's -L (reference 6.4).
func (s *session) configLog(value string) error {
	o, err := message.ParseLogOpts(value, message.ServerOptions())
	if err != nil {
		return &fatal{err.Error()}
	}
	file := message.Options{File: o.File}
	file.Types[message.File] = o.Types[message.File]
	o.File, o.Types[message.File] = "", 0
	if s.fileLog != nil {
		_ = s.fileLog.Close() // replaced by the new one
	}
	if s.fileLog, err = message.New(file, message.Sinks{OpenFile: s.openLog}); err != nil {
		s.fileLog = nil
		return &fatal{err.Error()}
	}
	if s.o.Log == nil {
		return nil
	}
	if err := s.o.Log.Configure(o); err != nil {
		return &fatal{err.Error()}
	}
	return nil
}

// openLog makes or empties a log file. It is in what the client may write, or
// else the option would empty any file of the account.
func (s *session) openLog(name string) (io.WriteCloser, error) {
	p, err := s.locate(name)
	if err != nil {
		return nil, err
	}
	e, err := s.entry(p, false)
	if err != nil {
		return nil, err
	}
	defer e.close()
	f, err := e.dir.file(e.name, unix.O_WRONLY|unix.O_CREAT|unix.O_NONBLOCK, 0o666)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a plain file")
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}
