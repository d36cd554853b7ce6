package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/kprop/kprop/pkg/check"
)

// newCheckCommand makes "kprop check", which looks for what would keep a
// propagation from going through, and changes nothing.
func newCheckCommand() *cobra.Command {
	var (
		s      check.Sending
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "check [REPLICA...]",
		Short: "tell what would keep a propagation from going through",
		Long: `Checks this host as the sender: configuration, names, keytab, KDC, clock, dump,
stash, database, space and the files with keys; and each REPLICA: name, ticket,
port, authentication, access list and clock. No database is sent and nothing is
changed.

Each finding is a line: ok, warning, fail or skipped, what was checked, what was
found; below it the commands that mend it. The first failure is the cause, what
depends on it is skipped. Without REPLICA those of the configuration file are
checked, if it is there. On a replica, use kpropd check.

Exit status: 0 if all is well, 1 if there are warnings, 2 if something failed or
the command line is wrong.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			s.Replicas, s.ConfigMust = args, cmd.Flags().Changed("config")
			s.Socket = fromEnv("KPROP_SOCKET", defaultSocket)
			s.StateDir = fromEnv("KPROP_STATE_DIR", defaultStateDir)
			return reportChecks(cmd.OutOrStdout(), s.Check(contextOf(cmd)), asJSON)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&s.Config, "config", "c", defaultConfig, "configuration `file` of kprop serve")
	fs.StringVarP(&s.Realm, "realm", "r", "", "`realm` of the database (default: default_realm of krb5.conf)")
	fs.StringVarP(&s.Port, "port", "P", "", "`port` of kpropd, a number or a service name (default: the replica's own, krb5_prop, 754)")
	fs.StringVarP(&s.Keytab, "keytab", "s", "", "`keytab` with the key of host/<this host> (default: the default keytab)")
	fs.StringVarP(&s.Dump, "file", "f", "", "dump `file` to propagate")
	fs.BoolVar(&s.Deep, "deep", false, "also read the whole database, and verify it")
	fs.BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// contextOf is the context of a command, which has none if it runs without
// one.
func contextOf(cmd *cobra.Command) context.Context {
	if ctx := cmd.Context(); ctx != nil {
		return ctx
	}
	return context.Background()
}

// reportChecks prints findings; the error is the exit status.
func reportChecks(w io.Writer, items []check.Item, asJSON bool) error {
	write := check.WriteText
	if asJSON {
		write = check.WriteJSON
	}
	if err := write(w, items); err != nil {
		return err
	}
	if status := check.ExitStatus(items); status != 0 {
		return exitCode(status)
	}
	return nil
}
