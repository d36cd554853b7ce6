package message

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/kprop/kprop/internal/osutil"
)

// SystemLog is the system's log; *syslog.Writer is one. It adds time and
// program itself.
type SystemLog interface {
	Info(string) error
	Notice(string) error
	Debug(string) error
}

// Sinks are where the facilities end. What is nil takes nothing.
type Sinks struct {
	Stdout io.Writer
	Stderr io.Writer // for the errors of the facility Stdout
	Syslog SystemLog

	// OpenFile makes or empties the file of the facility File. Nil: os.Create.
	OpenFile func(name string) (io.WriteCloser, error)
}

// Logger gives messages to facilities. Several goroutines may use one: lines
// come one after the other and are never mixed. The zero value drops all.
type Logger struct {
	mu      sync.Mutex
	options Options
	sinks   Sinks
	file    io.WriteCloser
	merged  bool
	groups  map[string]*held // by prefix; nil: lines are not held back
	err     error
}

// New returns a logger. It opens, and empties, the file that the options name.
func New(o Options, s Sinks) (*Logger, error) {
	l := &Logger{sinks: s}
	return l, l.Configure(o)
}

// Configure changes the options. A file is opened anew, and so emptied, only if
// its name changed.
func (l *Logger) Configure(o Options) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o.Types[File] == 0 {
		o.File = ""
	}
	if o.File != l.options.File {
		if err := l.open(o.File); err != nil {
			return err
		}
	}
	l.options = o
	return nil
}

// open replaces the file; without a name there is none.
func (l *Logger) open(name string) error {
	var file io.WriteCloser
	if name != "" {
		open := l.sinks.OpenFile
		if open == nil {
			open = func(name string) (io.WriteCloser, error) { return os.Create(name) }
		}
		var err error
		if file, err = open(name); err != nil {
			return &FileError{Name: name, Err: err}
		}
	}
	if l.file != nil {
		l.note(l.file.Close())
	}
	l.file = file
	return nil
}

// FileError is a log file that can not be opened.
type FileError struct {
	Name string
	Err  error
}

func (e *FileError) Error() string {
	return fmt.Sprintf("Cannot open log file for writing: %s: %s.", e.Name, osutil.Reason(e.Err))
}

func (e *FileError) Unwrap() error { return e.Err }

// MergeErrors has the errors of the facility Stdout go to standard output like
// the rest, as rdist does it for what its children say.
func (l *Logger) MergeErrors() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.merged = true
}

// Wants reports whether a facility takes a type of messages.
func (l *Logger) Wants(f Facility, t Type) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.options.Types[f]&t != 0
}

// Log gives a message, in the form of Line, to the facilities that want its
// type, except Notify: who sends mail collects what Wants it. It returns the
// line. An error of writing is kept for Close.
func (l *Logger) Log(t Type, prefix, text string) string {
	line := Line(prefix, text)
	l.mu.Lock()
	defer l.mu.Unlock()
	types := &l.options.Types
	if types[Stdout]&t != 0 {
		out := l.sinks.Stdout
		if t&(NError|FError) != 0 && !l.merged {
			out = l.sinks.Stderr
		}
		l.show(out, prefix, line)
	}
	if types[File]&t != 0 && l.file != nil {
		l.write(l.file, line)
	}
	if types[Syslog]&t != 0 {
		l.system(t, line)
	}
	return line
}

// System gives a message to the system's log alone, whatever the options say.
func (l *Logger) System(t Type, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.system(t, Line("", text))
}

// system uses the priorities of rdist.
func (l *Logger) system(t Type, line string) {
	s := l.sinks.Syslog
	switch {
	case s == nil:
	case t&Debug != 0:
		l.note(s.Debug(line))
	case t&Notice != 0:
		l.note(s.Notice(line))
	default:
		l.note(s.Info(line))
	}
}

func (l *Logger) write(w io.Writer, line string) {
	if w != nil {
		_, err := io.WriteString(w, line+"\n")
		l.note(err)
	}
}

// note keeps the first error.
func (l *Logger) note(err error) {
	if l.err == nil {
		l.err = err
	}
}

// Close lets out what is held back, closes the file, and tells the first error
// of writing that there was. Without a file the logger can be used further.
func (l *Logger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.releaseAll()
	if l.file != nil {
		l.note(l.file.Close())
		l.file = nil
		l.options.File, l.options.Types[File] = "", 0
	}
	return l.err
}
