package main

import (
	"os"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// keyboard is a terminal that somebody types on. A nil one is none.
type keyboard struct {
	file   *os.File
	before *unix.Termios
}

func newKeyboard(f *os.File) *keyboard {
	if f == nil || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	before, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return nil
	}
	return &keyboard{file: f, before: before}
}

// hush keeps what is typed from being shown between our lines, and with keys
// gives it byte by byte. Ctrl-C and its kin still are signals.
func (k *keyboard) hush(keys bool) {
	if k == nil {
		return
	}
	now := *k.before
	now.Lflag &^= unix.ECHO
	if keys {
		now.Lflag &^= unix.ICANON
		now.Cc[unix.VMIN], now.Cc[unix.VTIME] = 1, 0
	}
	k.set(&now)
}

func (k *keyboard) restore() {
	if k != nil {
		k.set(k.before)
	}
}

// set does nothing in the background, where it would stop the program
// (termios(3), SIGTTOU).
func (k *keyboard) set(t *unix.Termios) {
	fd := int(k.file.Fd())
	if group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP); err == nil && group == unix.Getpgrp() {
		_ = unix.IoctlSetTermios(fd, unix.TCSETS, t)
	}
}
