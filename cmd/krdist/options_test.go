package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kprop/kprop/pkg/rdist/message"
	"github.com/kprop/kprop/pkg/rdist/option"
)

func TestOptions(t *testing.T) {
	dir := t.TempDir()
	shell := filepath.Join(dir, "shell")
	ok(t, os.WriteFile(shell, nil, 0o600)) // it need only exist
	inPath := filepath.Join(dir, "kshell")
	ok(t, os.WriteFile(inPath, nil, 0o700))
	t.Setenv("PATH", dir)
	say := func(v ...any) string { return strings.TrimSpace(fmt.Sprintln(v...)) }
	is := func(got, want any) string {
		if fmt.Sprint(got) == fmt.Sprint(want) {
			return ""
		}
		return fmt.Sprintf("got %v, want %v", got, want)
	}
	tests := []struct {
		args  string
		check func(*options) string
	}{
		{"", func(o *options) string {
			return is(say(o.maxHosts, o.timeout, o.server, o.shell == "", o.global, o.log == message.ClientOptions(), len(o.args)),
				"4 15m0s rdistd true  true 0")
		}},
		{"-A 12 -a9000000000", func(o *options) string { return is(say(o.minFreeFiles, o.minFreeBytes), "12 9000000000") }},
		{"-nFD", func(o *options) string {
			return is(say(o.print, o.sequential, o.debug, o.log.Types[message.Stdout] == message.All|message.Debug), "true true true true")
		}},
		{"-D -l stdout=change", func(o *options) string { return is(o.log.Types[message.Stdout], message.Change) }},
		{"-lfile=x=info -l file=y=all:notify=warning", func(o *options) string {
			return is(say(o.log.File, o.log.Types[message.File] == message.All, o.log.Types[message.Notify]),
				say("y true", message.Warning))
		}},
		{"-f - -m h1 -m u@h2 one two", func(o *options) string { return is(say(o.distfile, o.hosts, o.args), "- [h1 u@h2] [one two]") }},
		{"one -n -- -n two", func(o *options) string { return is(say(o.print, o.args), "true [one -n two]") }},
		{"-d A=1 -dB=(2", func(o *options) string { return is(o.env.Vars, "map[A:[1] B:[2]]") }},
		{"-owhole,remove -o nowhole,QUIET", func(o *options) string { return is(o.global, "quiet,remove") }},
		{"-wR -onowhole", func(o *options) string { return is(o.global, "remove") }},
		{"-bhiNOqRrsvwxy", func(o *options) string {
			return is(o.global, "chknfs,chkreadonly,compare,follow,ignlnks,nodescend,noexec,quiet,remove,savetargets,verify,whole,younger")
		}},
		{"-L anything=at:all", func(o *options) string { return is(o.remoteLog, "anything=at:all") }},
		{"-M 64", func(o *options) string { return is(o.maxHosts, 64) }},
		{"-t 30", func(o *options) string { return is(o.timeout, 30*time.Second) }},
		{"-t 0", func(o *options) string { return is(o.timeout < 0, true) }},
		{"-t 9223372036854775807", func(o *options) string { return is(o.timeout > 0, true) }},
		{"-p /opt/rdistd", func(o *options) string { return is(o.server, "/opt/rdistd") }},
		{"-P /nowhere/rsh::" + shell, func(o *options) string { return is(o.shell, shell) }},
		{"-P rsh:kshell:" + shell, func(o *options) string { return is(o.shell, inPath) }},
		{"-c a b h1:/d", func(o *options) string { return is(say(o.small, o.args), "true [a b h1:/d]") }},
		{"", func(o *options) string {
			return is(say(o.transport, o.asHost, o.check, o.noDelta), "kerberos false false false")
		}},
		{"-P kshell", func(o *options) string { return is(o.transport, "rsh") }},
		{"--transport=rsh", func(o *options) string { return is(say(o.transport, o.shell), "rsh") }},
		{"--transport kerberos --port 7550 --as-host --keytab k --compress --atomic --no-delta --json", func(o *options) string {
			return is(say(o.transport, o.port, o.asHost, o.keytab, o.compress, o.atomic, o.noDelta, o.json), "kerberos 7550 true k true true true true")
		}},
		{"check -L file=x=all -oremove one", func(o *options) string {
			return is(say(o.check, o.global, o.args, o.remoteLog == ""), "true remove,verify [one] true")
		}},
		{"-- check", func(o *options) string { return is(say(o.check, o.args), "false [check]") }},
		{"--help -M 1", func(o *options) string { return is(o.help, true) }},
		{"--version", func(o *options) string { return is(o.version, true) }},
	}
	for _, test := range tests {
		o, err := parse(strings.Fields(test.args), true)
		if err != nil {
			t.Errorf("%s: %v", test.args, err)
			continue
		}
		if wrong := test.check(o); wrong != "" {
			t.Errorf("%s: %s", test.args, wrong)
		}
	}
}

// TestOptionsOfOthers: who is not root can not change owners, and rdist does
// not check them then.
func TestOptionsOfOthers(t *testing.T) {
	o, err := parse([]string{"-onochkgroup", "-oquiet"}, false)
	if err != nil || o.global != option.NoChkGroup|option.NoChkOwner|option.Quiet {
		t.Errorf("%v %v", o, err)
	}
	o, err = parse([]string{"-ononochkowner"}, false)
	if err != nil || o.global != option.NoChkGroup {
		t.Errorf("%v %v", o, err)
	}
}

func TestMistakes(t *testing.T) {
	tests := []struct {
		args, want string
		usage      bool
	}{
		{"-Z", "krdist: invalid option -- 'Z'", true},
		{"-nZ", "krdist: invalid option -- 'Z'", true},
		{"--nothing", "krdist: unrecognized option '--nothing'", true},
		{"-f", "krdist: option requires an argument -- 'f'", true},
		{"--distfile", "krdist: option '--distfile' requires an argument", true},
		{"-M x", `HOST: LOCAL ERROR: "x" is not a number.`, true},
		{"-A -1", `HOST: LOCAL ERROR: "-1" is not a number.`, true},
		{"-a +1", `HOST: LOCAL ERROR: "+1" is not a number.`, true},
		{"-t 1h", `HOST: LOCAL ERROR: "1h" is not a number.`, true},
		{"-a 9223372036854775808", `HOST: LOCAL ERROR: "9223372036854775808" is not a number.`, true},
		{"-M 0", `HOST: LOCAL ERROR: "0" is not a number of hosts to work on at once: -M takes 1 and more.`, true},
		{"-o bogus", "HOST: LOCAL ERROR: Dist option \"bogus\" is not valid.\nHOST: LOCAL ERROR: Bad dist option string \"bogus\".", true},
		{"-P /none:none", `HOST: LOCAL ERROR: No component of path "/none:none" exists.`, true},
		{"-P :", `HOST: LOCAL ERROR: No component of path ":" exists.`, true},
		{"-l x=all", `HOST: LOCAL ERROR: Bad log option "x=all": x is not a valid message facility.`, true},
		{"-c h1", "", true},
		{"--transport=telnet", `HOST: LOCAL ERROR: "telnet" is no way to a host: --transport takes kerberos or rsh.`, true},
		{"--transport=kerberos -P /", `HOST: LOCAL ERROR: -P names a remote shell, which --transport=kerberos does not use.`, false},
		{"check -n", `HOST: LOCAL ERROR: The -n flag and "verify" mode may not both be used.`, false},
		{"-d A=1 -d A=2", "HOST: LOCAL ERROR: Error in distfile: line 1: A redefined\n-d A=2: only one -d may define A", false},
		{"-nv", `HOST: LOCAL ERROR: The -n flag and "verify" mode may not both be used.`, false},
		{"-l file=/none/x=all -n", "HOST: LOCAL ERROR: Cannot open log file for writing: /none/x: No such file or directory.", false},
		{"-n -f /", "HOST: LOCAL ERROR: /: Cannot access file: Is a directory.", false},
		{"-n -f \x1b", "HOST: LOCAL ERROR: ?: Cannot access file: No such file or directory.", false},
	}
	t.Setenv("PATH", "")
	for _, test := range tests {
		var stdout, stderr bytes.Buffer
		exit := run("krdist", strings.Fields(test.args), strings.NewReader(""), &stdout, &stderr)
		want := strings.ReplaceAll(test.want, "HOST", shortHostName())
		if want != "" {
			want += "\n"
		}
		if test.usage {
			want += usage()
		}
		if exit != 1 || stdout.String() != "" || stderr.String() != want {
			t.Errorf("%q: exit status %d, printed %q and\n%s\nwant\n%s", test.args, exit, stdout.String(), stderr.String(), want)
		}
	}
}

// TestDetail: below the line of rdist stands where it is and what is wanted.
func TestDetail(t *testing.T) {
	tests := []struct{ args, text, want string }{
		{"-n -f -", "/a h1\n", "HOST: LOCAL ERROR: Error in distfile: line 1: syntax error\n" +
			"standard input:1:4: expected '=', ':', '->' or '::', found the name \"h1\"\n"},
		{"-n -f - x", "/a -> h1\n", "HOST: LOCAL ERROR: Label \"x\" is not defined in the distfile.\n" +
			"\"x\" is neither a label nor a file of the distfile; a file is named as the distfile has it once " +
			"variables and patterns are expanded (krdist -n prints them)\n"},
		{"-n -l stdout=change -f -", "/a h1\n", ""},
	}
	for _, test := range tests {
		var stdout, stderr bytes.Buffer
		exit := run("krdist", strings.Fields(test.args), strings.NewReader(test.text), &stdout, &stderr)
		want := strings.ReplaceAll(test.want, "HOST", shortHostName())
		if exit != 1 || stdout.String() != "" || stderr.String() != want {
			t.Errorf("%s: exit status %d, printed %q and\n%s\nwant\n%s", test.args, exit, stdout.String(), stderr.String(), want)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// TestPrintIsWritten: what could not be printed is no success.
func TestPrintIsWritten(t *testing.T) {
	var stderr bytes.Buffer
	if exit := run("krdist", []string{"-n", "-f", "-"}, strings.NewReader("/a -> h1"), full{}, &stderr); exit != 1 ||
		!strings.Contains(stderr.String(), "disk full") {
		t.Errorf("exit status %d: %s", exit, stderr.String())
	}
}

// TestOldServer: -Server is for the rdist from before version 6.
func TestOldServer(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "oldrdist")
	ok(t, os.WriteFile(old, []byte("#!/bin/sh\necho \"$@\"\n"), 0o700))
	for value, want := range map[string]string{
		old: "-Server\n",
		"":  shortHostName() + ": LOCAL ERROR: Old rdist not available.\n",
	} {
		program := filepath.Join(dir, "krdist")
		build := exec.Command("go", "build", "-ldflags", "-X main.oldRdist="+value, "-o", program, ".")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		out, err := exec.Command(program, "-n", "-f", "none", "-Server").CombinedOutput()
		if string(out) != want || (err == nil) != (value != "") {
			t.Errorf("with %q: %q %v, want %q", value, out, err, want)
		}
	}
}
