package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kprop/kprop/internal/buildinfo"
	"github.com/kprop/kprop/internal/status"
	"github.com/kprop/kprop/pkg/profile"
)

// Where kprop serve keeps its things, if nothing else is said.
const (
	defaultConfig   = "/etc/kprop/kprop.yaml"
	defaultSocket   = "/run/kprop/kprop.sock"
	defaultStateDir = "/var/lib/kprop"
)

// exitCode ends the program with that status. What there is to say has been
// printed.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit status %d", int(c)) }

// Exit statuses of the verbs.
const (
	exitFailed exitCode = 1 // it was done, and the outcome is bad
	exitNotRun exitCode = 2 // it could not be asked for: wrong usage, or no daemon
)

// usageError is a command line that says nothing that can be done.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// verbs runs a command line that begins with a verb.
type verbs struct {
	stdin          *os.File // nil: there is no one who types
	stdout, stderr io.Writer
	dial           func(socket string) daemon

	socket, color string // of the options
}

// isVerb tells a verb from a host, or an option of MIT's. It is one only as
// the first argument, and as it stands; "kprop -- status" is for a host of
// that name.
func isVerb(arg string) bool {
	return slices.Contains([]string{
		"serve", "status", "now", "pause", "resume", "history", "reload", "config", "check", "verify", "diff", "dump", "load", "dbcheck",
		"help", "version",
		"completion", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd,
	}, arg)
}

// suggestVerb tells of the verb that was perhaps meant by what was taken for a
// host, in vain.
func suggestVerb(w io.Writer, host string) {
	if host == "" || strings.ContainsAny(host, ".:-") {
		return
	}
	root := (&verbs{stdout: io.Discard, stderr: io.Discard, dial: dial}).root()
	root.SuggestionsMinimumDistance = 2
	for _, verb := range root.SuggestionsFor(host) {
		fmt.Fprintf(w, "  did you mean: kprop %s\n", verb)
		return
	}
}

// runVerb gives the exit status.
func runVerb(args []string, stdout, stderr io.Writer) int {
	v := &verbs{stdin: os.Stdin, stdout: stdout, stderr: stderr, dial: dial}
	return v.run(args)
}

func (v *verbs) run(args []string) int {
	root := v.root()
	if len(args) > 0 && (args[0] == "dump" || args[0] == "load") {
		args = utilWords(args)
	}
	root.SetArgs(args)
	cmd, err := root.ExecuteC()
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	return int(v.fail(cmd, err))
}

// fail prints an error.
func (v *verbs) fail(cmd *cobra.Command, err error) exitCode {
	fmt.Fprintf(v.stderr, "kprop: %s\n", strings.Join(cleanLines(err.Error()), "\n  "))
	var usage usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(v.stderr, "  usage: %s\n", cmd.UseLine())
	}
	return exitStatus(err)
}

func (v *verbs) root() *cobra.Command {
	root := &cobra.Command{
		Use:               "kprop",
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	root.SetOut(v.stdout)
	root.SetErr(v.stderr)
	if v.stdin != nil {
		root.SetIn(v.stdin)
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.SetHelpFunc(printHelp)
	root.PersistentFlags().BoolP("help", "h", false, "print this text")
	root.AddCommand(newServeCommand(), v.statusCommand(), v.nowCommand(), v.pauseCommand(), v.resumeCommand(),
		v.historyCommand(), v.reloadCommand(), newConfigCommand(), newCheckCommand(), newVerifyCommand(), newDiffCommand(),
		newDumpCommand(), newLoadCommand(), newDBCheckCommand(), versionCommand())
	root.SetHelpCommand(helpCommand())
	for _, c := range root.Commands() {
		tellUsage(c)
	}
	return root
}

// tellUsage makes a wrong number of arguments a usageError, in a command and
// those below it.
func tellUsage(cmd *cobra.Command) {
	if args := cmd.Args; args != nil {
		cmd.Args = func(c *cobra.Command, a []string) error {
			if err := args(c, a); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	cmd.DisableFlagsInUseLine = true
	for _, c := range cmd.Commands() {
		tellUsage(c)
	}
}

// noMore permits up to n arguments.
func noMore(n int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > n {
			return usagef("%q is one argument too many", args[n])
		}
		return nil
	}
}

// socketFlag adds --socket.
func socketFlag(fs *pflag.FlagSet, p *string) {
	fs.StringVar(p, "socket", fromEnv("KPROP_SOCKET", defaultSocket), "`path` of the socket of kprop serve; environment: KPROP_SOCKET")
	fs.Lookup("socket").DefValue = defaultSocket // for the help, which tells of the environment too
}

// fromEnv gives the value of an environment variable, or if it has none, a
// default.
func fromEnv(name, otherwise string) string {
	if s := os.Getenv(name); s != "" {
		return s
	}
	return otherwise
}

// asking makes a verb one that asks the daemon.
func (v *verbs) asking(cmd *cobra.Command) *cobra.Command {
	socketFlag(cmd.Flags(), &v.socket)
	_ = cmd.RegisterFlagCompletionFunc("realm", v.completeRealms)
	return cmd
}

// completeReplicas gives the shell the names of the replicas.
func (v *verbs) completeReplicas(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	return v.complete(cmd, begun, args, func(r *status.Realm) (names []string) {
		for _, replica := range r.Replicas {
			names = append(names, replica.Name)
		}
		return names
	})
}

func (v *verbs) completeRealms(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return v.complete(cmd, begun, nil, func(r *status.Realm) []string { return []string{r.Name} })
}

func (v *verbs) complete(cmd *cobra.Command, begun string, but []string, names func(*status.Realm) []string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
	defer cancel()
	doc, err := v.dial(v.socket).Status(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var found []string
	for i := range doc.Realms {
		for _, name := range names(&doc.Realms[i]) {
			if strings.HasPrefix(name, begun) && !slices.Contains(but, name) && !slices.Contains(found, name) && name == clean(name) {
				found = append(found, name)
			}
		}
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print the version",
		Args:  noMore(0),
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintln(cmd.OutOrStdout(), buildinfo.Text("kprop"))
		},
	}
}

func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [VERB]",
		Short: "explain a verb",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usagef("there is no verb %q; kprop help lists them", strings.Join(args, " "))
			}
			return c.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, begun string) (found []string, _ cobra.ShellCompDirective) {
			c, _, err := cmd.Root().Find(args)
			if err == nil {
				for _, sub := range c.Commands() {
					if sub.IsAvailableCommand() && strings.HasPrefix(sub.Name(), begun) {
						found = append(found, sub.Name())
					}
				}
			}
			return found, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// printHelp explains a verb; that of the whole program is MIT's with the verbs.
func printHelp(cmd *cobra.Command, _ []string) {
	w := cmd.OutOrStdout()
	if !cmd.HasParent() {
		fmt.Fprintf(w, help, profile.DefaultLayout().Datatrans)
		return
	}
	text := cmd.Long
	if text == "" {
		text = upperFirst(cmd.Short) + "."
	}
	fmt.Fprintf(w, "Usage: %s\n\n%s\n", cmd.UseLine(), strings.TrimSpace(text))
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintln(w)
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(w, "  %-10s %s\n", sub.Name(), sub.Short)
			}
		}
	}
	cmd.LocalFlags() // merges those of the root
	fmt.Fprintf(w, "\n%s", cmd.Flags().FlagUsagesWrapped(80))
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
