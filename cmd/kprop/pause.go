package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kprop/kprop/internal/status"
)

const pauseHelp = `Keeps kprop serve from sending to the replicas, until kprop resume. A
propagation that is under way goes on. It is remembered when kprop serve, or
the machine, starts anew.

Exit status: 0, or 1 if it was refused, or 2 if kprop serve does not know a
replica or cannot be asked.`

func (v *verbs) pauseCommand() *cobra.Command {
	return v.pausing("pause", "send no more to a replica", pauseHelp, true)
}

const resumeHelp = `Lets kprop serve send to the replicas again, after kprop pause. One that lacks
the database gets it at once.

Exit status: 0, or 1 if it was refused, or 2 if kprop serve does not know a
replica or cannot be asked.`

func (v *verbs) resumeCommand() *cobra.Command {
	return v.pausing("resume", "send to it again", resumeHelp, false)
}

func (v *verbs) pausing(verb, short, long string, paused bool) *cobra.Command {
	return v.asking(&cobra.Command{
		Use:   verb + " REPLICA...",
		Short: short,
		Long:  long,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("name the replicas to %s", verb)
			}
			return nil
		},
		ValidArgsFunction: v.completeReplicas,
		RunE: func(cmd *cobra.Command, args []string) error {
			err := v.ask(cmd.Context(), quickly, func(ctx context.Context, d daemon) error {
				return d.SetPaused(ctx, args, paused)
			})
			if err != nil {
				return err
			}
			for _, name := range args {
				if name = clean(name); paused {
					fmt.Fprintf(v.stdout, "%s: paused; nothing is sent to it until: kprop resume %s\n", name, name)
				} else {
					fmt.Fprintf(v.stdout, "%s: resumed\n", name)
				}
			}
			return nil
		},
	})
}

const reloadHelp = `Lets kprop serve read its configuration again, as systemctl reload kprop and
SIGHUP do, and prints what is in force. Transfers go on. With a fault in the
new configuration the former one stays in force.

Exit status: 0 if it is in force, 1 if it was refused, 2 if kprop serve cannot
be asked.`

func (v *verbs) reloadCommand() *cobra.Command {
	return v.asking(&cobra.Command{
		Use:               "reload",
		Short:             "let kprop serve read its configuration again",
		Long:              reloadHelp,
		Args:              noMore(0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return v.reload(cmd.Context())
		},
	})
}

func (v *verbs) reload(ctx context.Context) error {
	err := v.ask(ctx, thoroughly, func(ctx context.Context, d daemon) error { return d.Reload(ctx) })
	if err != nil {
		if code := exitStatus(err); code != exitFailed {
			return err
		}
		fmt.Fprintln(v.stderr, "kprop: the new configuration was refused, the former one stays in force:")
		for _, line := range cleanLines(err.Error()) {
			fmt.Fprintf(v.stderr, "  %s\n", line)
		}
		return exitFailed
	}
	doc, err := v.status(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(v.stdout, "%s is in force\n", clean(doc.Config))
	for i := range doc.Realms {
		fmt.Fprintln(v.stdout, "  "+inForce(&doc.Realms[i]))
	}
	return nil
}

// inForce is the configuration of a realm, in short.
func inForce(r *status.Realm) string {
	const most = 6
	text := fmt.Sprintf("%s: %s (%s)", clean(r.Name), clean(r.Schedule), clean(r.Timezone))
	if r.OnChange {
		text += " and on each change"
	}
	var names []string
	for i, replica := range r.Replicas {
		if i == most && len(r.Replicas) > most+1 {
			names = append(names, fmt.Sprintf("and %d more", len(r.Replicas)-most))
			break
		}
		name := clean(replica.Name)
		if replica.State == status.Disabled || replica.State == status.Paused {
			name += " (" + string(replica.State) + ")"
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return text + ", to no replica"
	}
	return text + ", to " + strings.Join(names, ", ")
}
