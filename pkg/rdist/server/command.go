package server

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/internal/osutil"
	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/wire"
)

const (
	// maxOutputLine is where lines of output are cut, in octets.
	maxOutputLine = 4096
	// maxOutput is how much output of one command the client gets, in octets.
	maxOutput = 1 << 20
	// outputGrace is how long output is taken that comes after a command has
	// ended, from what it left running.
	outputGrace = time.Second
)

// command is a shell command at work.
type command struct {
	s      *session
	cmd    *exec.Cmd
	lines  chan string
	exited chan struct{}
	stop   chan struct{} // closed when no more lines are taken
	room   int           // of maxOutput
	leash  *leash
}

// run runs a shell command in the account's home directory, sends its output
// and then answers. The values of env replace those of the same names.
func (s *session) run(text string, env []string) error { return s.runReading(text, env, "") }

// runReading is run for a command that finds data at its descriptor 3.
func (s *session) runReading(text string, env []string, data string) error {
	if strings.IndexByte(text, 0) >= 0 {
		return refuse("special: the command contains a NUL")
	}
	s.log(message.Info, "special: "+text)
	c, output, err := s.start(text, env, data)
	if err != nil {
		return refuse("special: the shell could not be run: %s", osutil.Reason(err))
	}
	defer close(c.stop)
	defer c.leash.release()
	go c.read(output)
	go c.awaitExit()
	if err := c.follow(output); err != nil {
		return err
	}
	if status, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status != 0 {
		return refuse("shell returned %d", int(status))
	}
	return s.ack()
}

func (s *session) start(text string, env []string, data string) (*command, *os.File, error) {
	output, input, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer input.Close()
	c := &command{s: s, lines: make(chan string), exited: make(chan struct{}), stop: make(chan struct{}), room: maxOutput}
	c.cmd = &exec.Cmd{
		Path:        "/bin/sh",
		Args:        []string{"sh", "-c", holdFirst, "sh", text},
		Dir:         s.homeDirectory(),
		Env:         append(s.environment(), env...),
		Stdout:      input,
		Stderr:      input,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	if c.leash, err = newLeash(); err == nil {
		if err = c.startReading(data); err != nil {
			c.leash.release()
		}
	}
	if err != nil {
		_ = output.Close()
		return nil, nil, err
	}
	return c, output, nil
}

// startReading starts the command, with data to be read if there is any.
func (c *command) startReading(data string) error {
	c.cmd.ExtraFiles = append([]*os.File{nil}, c.leash.theirs...)
	if data == "" {
		return c.startHeld()
	}
	theirs, ours, err := os.Pipe()
	if err != nil {
		return err
	}
	defer theirs.Close()
	c.cmd.ExtraFiles[0] = theirs
	if err := c.startHeld(); err != nil {
		_ = ours.Close()
		return err
	}
	go func() { // ends when all is read, or the last reader is gone
		_, _ = io.WriteString(ours, data)
		_ = ours.Close()
	}()
	return nil
}

func (c *command) startHeld() error {
	err := c.cmd.Start()
	if err == nil {
		c.leash.hold(c.cmd.Process.Pid)
	}
	return err
}

func (s *session) homeDirectory() string { return "/" + strings.Join(s.home, "/") }

// environment is that of every command: the server's, of the account, without
// values that only some commands have.
func (s *session) environment() []string {
	base := s.o.Environment
	if base == nil {
		base = os.Environ()
	}
	var env []string
	for _, value := range base {
		name, _, _ := strings.Cut(value, "=")
		switch name {
		case "FILE", "REMFILE", "BASEFILE", "FILES", "PWD", "OLDPWD":
		default:
			env = append(env, value)
		}
	}
	return append(env, "HOME="+s.o.Account.Home, "USER="+s.o.Account.Name, "LOGNAME="+s.o.Account.Name)
}

// read passes lines on until the last process that has the output closes it, or
// follow has waited enough.
func (c *command) read(output *os.File) {
	defer output.Close()
	defer close(c.lines)
	r := bufio.NewReaderSize(output, maxOutputLine)
	for {
		line, err := r.ReadSlice('\n') // a longer line comes in parts
		if text := strings.TrimSuffix(string(line), "\n"); text != "" {
			select {
			case c.lines <- text:
			case <-c.stop:
				return
			}
		}
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
	}
}

// follow sends lines until the command has ended and its output too. The
// process group is killed if it takes too long, or nobody waits for it.
func (c *command) follow(output *os.File) error {
	limit := time.NewTimer(c.s.commandTimeout())
	defer limit.Stop()
	lines, exited, done := c.lines, c.exited, c.s.ctx.Done()
	var failed error
	for lines != nil || exited != nil {
		select {
		case text, ok := <-lines:
			if !ok {
				lines = nil
			} else if failed == nil {
				if failed = c.send(text); failed != nil && exited != nil {
					c.kill()
				}
			}
		case <-exited:
			exited = nil
			_ = c.cmd.Wait() // its state is asked for later
			_ = output.SetReadDeadline(time.Now().Add(outputGrace))
		case <-limit.C:
			if exited != nil {
				c.kill()
				failed = refuse("special: the command took longer than %v and was ended", c.s.commandTimeout())
			}
		case <-done:
			if exited != nil {
				c.kill()
			}
			failed, done = c.s.ctx.Err(), nil
		}
	}
	return failed
}

// awaitExit waits until the shell has ended, but leaves it to be reaped: until
// then its number is nobody else's.
func (c *command) awaitExit() {
	_ = retry(func() error { return unix.Waitid(unix.P_PID, c.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) })
	close(c.exited)
}

// kill ends the shell, not reaped yet, with all that it runs.
func (c *command) kill() { _ = unix.Kill(-c.cmd.Process.Pid, unix.SIGKILL) }

// send gives the client a line of output, as soon as there is one.
func (c *command) send(text string) error {
	text = message.Line("", text)
	if c.room < 0 {
		return nil
	}
	if c.room -= len(text) + 2; c.room < 0 {
		text = "... (the rest of the output is left out)"
	}
	c.s.log(message.Change, text)
	if err := c.s.conn.Message(wire.OpLog, text); err != nil {
		return err
	}
	return c.s.conn.Flush()
}
