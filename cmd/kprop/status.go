package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kprop/kprop/internal/status"
)

const statusHelp = `Shows how the replicas stand, as kprop serve knows them: all, or those named.

REPLICA is a name or a host of the configuration. On a terminal the table fits
the window, and a wide one has more columns; otherwise it is plain, and two
blanks or more separate its columns.

Exit status: 0 if none lacks the database for longer than its schedule allows,
1 if one does, 2 if kprop serve cannot be asked. This makes kprop status --check
a check for Nagios and its kin.`

// statusOptions are the options of kprop status.
type statusOptions struct {
	names       []string
	realm       string
	json, check bool
	watch       bool
	every       time.Duration
}

func (v *verbs) statusCommand() *cobra.Command {
	var o statusOptions
	cmd := &cobra.Command{
		Use:               "status [REPLICA...] [--realm REALM] [--json] [--check] [--watch]",
		Short:             "show how the replicas stand",
		Long:              statusHelp,
		ValidArgsFunction: v.completeReplicas,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.names, o.watch = args, cmd.Flags().Changed("watch")
			return v.runStatus(cmd.Context(), &o)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&o.realm, "realm", "", "only this `realm`")
	fs.BoolVar(&o.json, "json", false, "print the document of kprop serve")
	fs.BoolVar(&o.check, "check", false, "print one line with performance data, as Nagios wants it")
	fs.DurationVar(&o.every, "watch", 2*time.Second, "show it again every `interval`, 2s if none is given")
	fs.Lookup("watch").NoOptDefVal = "2s"
	fs.Lookup("watch").DefValue = "0s" // the help is not to say that it is on
	v.colorFlag(cmd)
	return v.asking(cmd)
}

// shortestWatch keeps a watcher from being a burden.
const shortestWatch = 100 * time.Millisecond

func (o *statusOptions) validate() error {
	switch {
	case o.json && o.check:
		return usagef("--json and --check exclude each other")
	case o.check && o.watch:
		return usagef("--check and --watch exclude each other")
	case o.every < shortestWatch:
		return usagef("--watch takes an interval of at least %v, not %v", shortestWatch, o.every)
	}
	for _, name := range o.names {
		if _, err := time.ParseDuration(name); err == nil && o.watch {
			return usagef("the interval stands behind =: --watch=%s", name)
		}
	}
	return nil
}

func (v *verbs) runStatus(ctx context.Context, o *statusOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	s, err := v.surface()
	if err != nil {
		return err
	}
	switch {
	case o.check:
		return v.checkStatus(ctx, o)
	case o.watch:
		return v.watchStatus(ctx, o)
	}
	doc, err := v.wanted(ctx, o)
	if err != nil {
		return err
	}
	if err := v.printStatus(doc, o, s); err != nil {
		return err
	}
	return verdict(doc)
}

// verdict is the exit status for a document.
func verdict(doc *status.Document) error {
	for i := range doc.Realms {
		if f := doc.Realms[i].Files; f != nil && f.Overdue {
			return exitFailed
		}
		for _, r := range doc.Realms[i].Replicas {
			if r.Overdue {
				return exitFailed
			}
		}
	}
	return nil
}

// wanted asks for the document, and keeps what is asked for.
func (v *verbs) wanted(ctx context.Context, o *statusOptions) (*status.Document, error) {
	doc, err := v.status(ctx)
	if err != nil {
		return nil, notRunError{err}
	}
	if err := keep(doc, o.realm, o.names); err != nil {
		return nil, notRunError{err}
	}
	return doc, nil
}

// keep leaves only a realm, if one is named, and only the replicas that are
// named, if any are, by name or host, without the files then. Each must be there.
func keep(doc *status.Document, realm string, names []string) error {
	if realm != "" && !slices.ContainsFunc(doc.Realms, func(r status.Realm) bool { return r.Name == realm }) {
		return fmt.Errorf("kprop serve has no realm %q; it has: %s", realm, list(doc.Realms, func(r status.Realm) string { return r.Name }))
	}
	var all []status.Replica
	found := make(map[string]bool)
	realms := doc.Realms[:0:0]
	for _, r := range doc.Realms {
		if realm != "" && r.Name != realm {
			continue
		}
		all = append(all, r.Replicas...)
		if len(names) > 0 {
			r.Replicas = named(r.Replicas, names, found)
			if len(r.Replicas) == 0 {
				continue
			}
			r.Files = nil
		}
		realms = append(realms, r)
	}
	for _, name := range names {
		if !found[name] {
			return fmt.Errorf("kprop serve has no replica %q; it has: %s", name, list(all, func(r status.Replica) string { return r.Name }))
		}
	}
	doc.Realms = realms
	return nil
}

func named(replicas []status.Replica, names []string, found map[string]bool) []status.Replica {
	var kept []status.Replica
	for _, r := range replicas {
		wanted := false
		for _, name := range names {
			if strings.EqualFold(r.Name, name) || strings.EqualFold(r.Host, name) {
				found[name], wanted = true, true
			}
		}
		if wanted {
			kept = append(kept, r)
		}
	}
	return kept
}

// list gives the names of some things, of many only the first.
func list[T any](all []T, name func(T) string) string {
	const most = 10
	var names []string
	for _, x := range all {
		if n := clean(name(x)); !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > most:
		names = append(names[:most], fmt.Sprintf("and %d more", len(names)-most))
	}
	return strings.Join(names, ", ")
}

func (v *verbs) printStatus(doc *status.Document, o *statusOptions, s surface) error {
	if o.json {
		return printJSON(v.stdout, doc, !o.watch)
	}
	_, err := fmt.Fprintln(v.stdout, strings.Join(statusLines(doc, s), "\n"))
	return err
}
