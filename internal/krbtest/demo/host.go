package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/kprop/kprop/internal/krbtest"
)

// demo is a realm and where its story is told.
type demo struct {
	out              io.Writer
	realm            *krbtest.Realm
	primary, replica *krbtest.Node
	kpropd           *krbtest.Daemon
	fleet
	env   []string // that was exported
	steps int
}

// step begins a step with its number.
func (d *demo) step(format string, args ...any) {
	d.steps++
	fmt.Fprintf(d.out, "\n%d. %s\n\n", d.steps, fmt.Sprintf(format, args...))
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

// prompt shows a command like a shell on the node does.
func (d *demo) prompt(n *krbtest.Node, command ...string) {
	fmt.Fprintf(d.out, "%s# %s\n", filepath.Base(n.Dir), strings.Join(command, " "))
}

// do shows a command, runs it on the node and in its directory, and shows what
// it prints. A path of a program is shown without its directories. The error is
// an *exec.ExitError if the program did not end with status 0.
func (d *demo) do(ctx context.Context, n *krbtest.Node, program string, args ...string) error {
	d.prompt(n, append([]string{filepath.Base(program)}, args...)...)
	cmd := n.Command(ctx, program, args...)
	d.environment(cmd)
	cmd.Stdout, cmd.Stderr = d.out, d.out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(program), err)
	}
	return nil
}

// mustFail is do for a program that has to end with status 1.
func (d *demo) mustFail(ctx context.Context, n *krbtest.Node, program string, args ...string) error {
	err := d.do(ctx, n, program, args...)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return fmt.Errorf("%s: ended with status 0 instead of 1", filepath.Base(program))
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		return nil
	}
	return err
}

// explain adds what kpropd has logged.
func (d *demo) explain(err error) error {
	if d.kpropd == nil {
		return err
	}
	return fmt.Errorf("%w\nkpropd has printed:\n%s", err, d.kpropd.Output())
}
