package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/kprop/kprop/pkg/rdist/client"
	"github.com/kprop/kprop/pkg/rdist/distfile"
	"github.com/kprop/kprop/pkg/rdist/message"
)

// distribute brings the files to the hosts. The exit status is 0 only if then
// all hosts are as they are wanted.
func (p *program) distribute(entries []distfile.Entry) int {
	ctx, stop := untilSignal()
	defer stop()
	if !p.sequential {
		// rdist has a process for each host then, whose errors come with the
		// rest of its output.
		p.log.MergeErrors()
	}
	together := !p.sequential && several(entries)
	if together {
		p.log.Group()
	}
	result, err := client.Run(ctx, client.Options{
		Entries: entries, Global: p.global,
		MaxHosts: p.maxHosts, Sequential: p.sequential, Atomic: p.atomic, NoDelta: p.noDelta,
		MinFreeBytes: p.minFreeBytes, MinFreeFiles: p.minFreeFiles,
		RemoteLog: p.remoteLog, Timeout: p.timeout,
		HostName: p.host, UserName: p.user, Home: p.env.Home,
		Log: p.log, Dialer: p.dialer(),
		Progress: func(e client.Event) {
			p.bars.event(e)
			if together && e.Kind == client.Finished {
				p.log.EndGroup(e.Host)
			}
		},
	})
	p.bars.clear()
	if err != nil {
		p.fail(err.Error())
		return 1
	}
	return p.conclude(ctx, result)
}

// conclude tells what came of it.
func (p *program) conclude(ctx context.Context, result *client.Result) int {
	exit := 0
	if !result.AsWanted() || ctx.Err() != nil {
		exit = 1
	}
	if p.check || p.log.Wants(message.Stdout, message.NError) {
		p.summary(result)
	}
	if p.json {
		if err := printJSON(p.stdout, result); err != nil {
			fmt.Fprintf(p.stderr, "%s: write: %v\n", p.host, err)
			exit = 1
		}
	}
	if err := p.log.Close(); err != nil {
		fmt.Fprintf(p.stderr, "%s: write: %v\n", p.host, err)
		exit = 1
	}
	return exit
}

// several reports whether there is more than one host or stamp file.
func several(entries []distfile.Entry) bool {
	for _, e := range entries {
		if e.Kind != entries[0].Kind || e.Host != entries[0].Host {
			return true
		}
	}
	return false
}

// untilSignal ends the context at the first signal, so that hosts are given up
// in order; the second one ends the program. What nohup has ignored stays so.
func untilSignal() (context.Context, context.CancelFunc) {
	var signals []os.Signal
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		if !signal.Ignored(s) {
			signals = append(signals, s)
		}
	}
	if len(signals) == 0 {
		// To Notify none means all.
		return context.WithCancel(context.Background())
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
