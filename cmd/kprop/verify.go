package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kprop/kprop/pkg/dump"
)

const verifyHelp = `Checks every byte of a dump (- is standard input), as kpropd does before it
loads one: that each record is whole, that the master key and the realm's own
principals are there, and that the stash opens the master key, and that a sample
of the keys. The stash is that of kdc.conf for the realm, if this user may read
it, or the one of --stash.

Exit status: 0 if the dump is good, 1 if it is not, 2 if it could not be read.`

// verifyVerb is "kprop verify".
type verifyVerb struct {
	realm, stash    string
	noStash, asJSON bool
}

// newVerifyCommand makes "kprop verify", which asks no daemon.
func newVerifyCommand() *cobra.Command {
	var v verifyVerb
	cmd := &cobra.Command{
		Use:   "verify FILE [--stash STASH | --no-stash] [--realm REALM] [--json]",
		Short: "check that a dump is good",
		Long:  verifyHelp,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) != 1:
				return usagef("one dump is to be named, not %d", len(args))
			case v.noStash && v.stash != "":
				return usagef("--stash and --no-stash contradict each other")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return v.run(cmd, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&v.stash, "stash", "", "`file` with the master key")
	flags.BoolVar(&v.noStash, "no-stash", false, "do not try to open the keys")
	flags.StringVar(&v.realm, "realm", "", "the `realm` that it must be of (default: any)")
	flags.BoolVar(&v.asJSON, "json", false, "print a JSON object")
	return cmd
}

func (v *verifyVerb) run(cmd *cobra.Command, file string) error {
	conf := v.realmConf()
	rep, err := readDump(file, cmd.InOrStdin(), dump.VerifyOptions{
		Realm: v.realm, MasterKeyName: conf.masterKeyName(v.realm), Digest: true,
	})
	if err != nil && !isBadDump(err) {
		return notRunError{err}
	}
	o := newOutcome(file, v.realm, rep, err)
	if err == nil {
		if err := v.tryStash(o, rep, conf); err != nil {
			return notRunError{err}
		}
	}
	o.warnDumpOK(file)
	if v.asJSON {
		err = printJSON(cmd.OutOrStdout(), o, true)
	} else {
		err = o.print(cmd.OutOrStdout(), time.Now(), time.Local)
	}
	switch {
	case err != nil:
		return notRunError{err}
	case !o.Good:
		return exitFailed
	}
	return nil
}

func readDump(file string, stdin io.Reader, opts dump.VerifyOptions) (*dump.Report, error) {
	if file == "-" {
		return dump.Verify(stdin, opts)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return dump.Verify(f, opts)
}

// isBadDump tells a fault of the dump from a failure to read it.
func isBadDump(err error) bool {
	var fault *dump.FaultError
	return errors.As(err, &fault) || errors.Is(err, dump.ErrEmpty) || errors.Is(err, dump.ErrNoKM) ||
		errors.Is(err, dump.ErrNoKrbtgt) || errors.Is(err, dump.ErrWrongRealm)
}

// verifyOutcome is what a verification found; it is printed as it is for
// programs.
type verifyOutcome struct {
	File       string    `json:"file"`
	Good       bool      `json:"good"`
	Problem    *problem  `json:"problem,omitempty"`
	Realm      string    `json:"realm,omitempty"`
	Header     string    `json:"header,omitempty"`
	Principals int       `json:"principals"`
	Policies   int       `json:"policies"`
	Keys       int       `json:"keys"`
	Bytes      int64     `json:"bytes"`
	Newest     time.Time `json:"newest_change,omitzero"`
	// Digest is that of all but what a login changes, and so equal on hosts
	// that hold the same database.
	Digest          string       `json:"digest,omitempty"`
	Stash           stashOutcome `json:"stash"`
	MissingPolicies []string     `json:"missing_policies,omitempty"`
	Warnings        []string     `json:"warnings,omitempty"`
	MoreWarnings    int          `json:"more_warnings,omitempty"`
}

// problem is why a dump is not good.
type problem struct {
	Text      string   `json:"text"`
	Line      int      `json:"line,omitempty"`
	Column    int      `json:"column,omitempty"`
	Field     string   `json:"field,omitempty"`
	Principal string   `json:"principal,omitempty"`
	Policy    string   `json:"policy,omitempty"`
	Mend      []string `json:"mend,omitempty"`
}

func newOutcome(file, realm string, rep *dump.Report, err error) *verifyOutcome {
	o := &verifyOutcome{
		File: file, Good: err == nil, Realm: rep.Realm, Principals: rep.Principals, Policies: rep.Policies, Keys: rep.Keys,
		Bytes: rep.Bytes, MissingPolicies: rep.MissingPolicies, MoreWarnings: rep.MoreWarnings,
	}
	if rep.Header.Version > 0 {
		o.Header = rep.Header.String()
	}
	if rep.NewestMod > 0 {
		o.Newest = time.Unix(int64(rep.NewestMod), 0).UTC()
	}
	for _, w := range rep.Warnings {
		text := w.Msg
		if w.Record != "" {
			text = w.String()
		}
		o.Warnings = append(o.Warnings, text)
	}
	if err == nil {
		o.Digest = fmt.Sprintf("%x", rep.Digest)
		return o
	}
	o.Stash.Why = "the dump is not good"
	o.fail(err, dumpMend(file, realm, err)...)
	return o
}

// fail makes the outcome a bad one.
func (o *verifyOutcome) fail(err error, mend ...string) {
	o.Good = false
	o.Problem = &problem{Text: err.Error(), Mend: mend}
	var fault *dump.FaultError
	if errors.As(err, &fault) {
		o.Problem.Line, o.Problem.Column, o.Problem.Field = fault.Line, fault.Column, fault.Field
		o.Problem.Principal, o.Problem.Policy = fault.Principal, fault.Policy
	}
}

// dumpMend tells what to do about a dump that is not good.
func dumpMend(file, realm string, err error) []string {
	if file == "-" {
		file = "FILE"
	}
	if errors.Is(err, dump.ErrWrongRealm) {
		return []string{"name the realm that it is of with --realm, or take the dump of " + realm + ":  kdb5_util -r " + realm + " dump " + file}
	}
	if errors.Is(err, dump.ErrNoKM) || errors.Is(err, dump.ErrNoKrbtgt) {
		return []string{"do not load it: it holds a part of a realm only; make a whole one on the primary:  kdb5_util dump " + file}
	}
	return []string{
		"do not load it; make it anew on the primary:  kdb5_util dump " + file,
		"see whether the disk was full, there or where it was copied to:  df -h " + file,
		"if the new one is the same, the database is damaged: compare with a replica's  (kprop diff)",
	}
}

// warnDumpOK looks at the mark that kdb5_util leaves of a finished dump.
func (o *verifyOutcome) warnDumpOK(file string) {
	if file == "-" {
		return
	}
	mark := file + ".dump_ok"
	mend := "; if it is to be sent, make it anew:  kdb5_util dump " + file
	st, err := os.Stat(mark)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !o.Good:
		return
	case errors.Is(err, fs.ErrNotExist):
		o.warn("there is no " + mark + ", without which kprop does not send the dump" + mend)
		return
	case err != nil:
		o.warn(err.Error())
		return
	}
	if st.Size() == 0 {
		o.warn(mark + " is empty: a dump is being made, or failed, or a script made the mark" + mend)
	}
	if f, err := os.Stat(file); err == nil && f.ModTime().Unix() > st.ModTime().Unix() {
		o.warn(mark + " is older than the dump, so kprop does not send it" + mend)
	}
}

func (o *verifyOutcome) warn(text string) { o.Warnings = append(o.Warnings, text) }

// fileSize is a number of bytes for people and for those who count.
func fileSize(n int64) string {
	if n < 1024 {
		return amount(n)
	}
	return fmt.Sprintf("%s (%d bytes)", amount(n), n)
}

// print writes the outcome for people.
func (o *verifyOutcome) print(w io.Writer, now time.Time, zone *time.Location) error {
	var b strings.Builder
	line := func(name, text string) { fmt.Fprintf(&b, "  %-15s%s\n", name, onOneLine(text)) }
	verdict := "good"
	if !o.Good {
		verdict = "NOT GOOD"
	}
	fmt.Fprintf(&b, "%s: %s\n", onOneLine(o.File), verdict)
	if o.Problem != nil {
		fmt.Fprintf(&b, "  %s\n", onOneLine(o.Problem.Text))
		for _, m := range o.Problem.Mend {
			fmt.Fprintf(&b, "      %s\n", onOneLine(m))
		}
	}
	line("realm", orNone(o.Realm))
	line("format", orNone(o.Header))
	counted := fmt.Sprintf("%d, with %s", o.Principals, plural(o.Keys, "key"))
	if !o.Good {
		counted += ", as far as it was read"
	}
	line("principals", counted)
	line("policies", fmt.Sprint(o.Policies))
	line("size", fileSize(o.Bytes))
	if !o.Newest.IsZero() {
		line("newest change", fmt.Sprintf("%s, %s", o.Newest.In(zone).Format("2006-01-02 15:04:05 MST"), ago(o.Newest, now)))
	}
	if o.Digest != "" {
		line("digest", o.Digest)
	}
	line("stash", o.Stash.text())
	if len(o.MissingPolicies) > 0 {
		fmt.Fprintf(&b, "  warning: principals name policies that are not there, and are not restricted by them: %s\n",
			onOneLine(strings.Join(o.MissingPolicies, ", ")))
	}
	for _, text := range o.Warnings {
		fmt.Fprintf(&b, "  warning: %s\n", onOneLine(text))
	}
	if o.MoreWarnings > 0 {
		fmt.Fprintf(&b, "  and %s more\n", plural(o.MoreWarnings, "warning"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
