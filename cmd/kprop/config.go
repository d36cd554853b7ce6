package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kprop/kprop/internal/config"
	"github.com/kprop/kprop/pkg/schedule"
)

// newConfigCommand makes "kprop config", which looks at the configuration file
// and asks no daemon.
func newConfigCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config check|show",
		Short: "check or show the configuration of kprop serve",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("kprop config has no %q, only check and show", args[0])
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(
		configVerb("check", "tell what is wrong with the configuration",
			`Checks the configuration of kprop serve. Each thing that is wrong is printed
with its line. Exit status: 0 if the file is good, else 1.`, configCheck),
		configVerb("show", "print the configuration with every default",
			`Prints the configuration of kprop serve with every default filled in, as a
file that kprop serve would take. Of the heartbeat's URL only the host is shown.`, configShow),
	)
	return cmd
}

// configVerb makes a command that does something with a good configuration.
func configVerb(name, short, long string, do func(*cobra.Command, *config.Config) error) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   name + " [FILE]",
		Short: short,
		Long:  long,
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := file
			if len(args) > 0 {
				path = args[0]
			}
			c, err := config.LoadChecked(path, configChecks())
			if err != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), err)
				return exitCode(1)
			}
			return do(cmd, c)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", defaultConfig, "configuration `file`, if no FILE is given")
	return cmd
}

// configChecks look also at the distfile.
func configChecks() config.Checks { return config.Checks{Distfile: schedule.CheckDistfile} }

func configShow(cmd *cobra.Command, c *config.Config) error { return c.Show(cmd.OutOrStdout()) }

// configCheck prints one line: "FILE: ok, 3 replicas of EXAMPLE.COM, ...".
func configCheck(cmd *cobra.Command, c *config.Config) error {
	realms := make([]string, 0, len(c.Realms))
	for i := range c.Realms {
		realms = append(realms, realmSummary(&c.Realms[i]))
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: ok, %s\n", c.Path, strings.Join(realms, "; "))
	return err
}

func realmSummary(r *config.Realm) string {
	disabled := 0
	for i := range r.Replicas {
		if !r.Replicas[i].Enabled {
			disabled++
		}
	}
	noun, name, when := "replicas", r.Name, ""
	if len(r.Replicas) == 1 {
		noun = "replica"
	}
	if name == "" {
		name = "the default realm"
	}
	if r.OnChange {
		when = " and on change"
	}
	text := fmt.Sprintf("%d %s of %s", len(r.Replicas), noun, name)
	if disabled > 0 {
		text += fmt.Sprintf(" (%d disabled)", disabled)
	}
	return fmt.Sprintf("%s, %q%s", text, r.Schedule, when)
}
