// Demo propagates a throw-away realm from one directory of this machine to
// others with bin/kprop and bin/kpropd, by hand at first and then by kprop
// serve, and shows each command and what it prints. "make demo" builds the programs and runs it. Nothing outside a
// temporary directory is read or changed; it ends with status 1 if anything
// goes otherwise than told.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/kprop/kprop/internal/krbtest"
)

func main() {
	start := time.Now()
	// SIGINT ends the program that is running, and thereby the demo, which
	// then cleans up.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Stdout)
	if ctx.Err() != nil {
		err = fmt.Errorf("interrupted")
	}
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		os.Exit(1)
	}
	fmt.Printf("\nAll of this took %.1f seconds; the realm is removed again.\n", time.Since(start).Seconds())
}

// run makes the realm, shows everything, and removes it.
func run(ctx context.Context, out *os.File) (err error) {
	for _, program := range []string{kprop, kpropd} {
		if _, err := os.Stat(program); err != nil {
			return fmt.Errorf("%w: run make build first, and this from the top of the repository", err)
		}
	}
	dir, err := os.MkdirTemp("", "kprop-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	realm, err := krbtest.Create(dir, krbtest.Options{})
	if err != nil {
		return err
	}
	defer realm.Close()
	d := &demo{out: out, realm: realm, primary: realm.Primary, replica: realm.Replica}
	for _, step := range []func(context.Context) error{
		d.showRealm, d.startDaemons, d.addUser, d.propagate, d.compare, d.ticket, d.refusal, d.change, d.primaryDown,
		d.moreReplicas, d.startServe, d.changeArrives, d.downComesUp, d.stopServe,
	} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := step(ctx); err != nil {
			return d.explain(err)
		}
	}
	return nil
}
