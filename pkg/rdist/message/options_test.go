package message

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// show writes options as -l has them.
func show(o Options) string {
	var parts []string
	for f, set := range o.Types {
		var names []string
		for _, t := range types {
			if t.is != All && set&t.is != 0 {
				names = append(names, t.name)
			}
		}
		list := strings.Replace(strings.Join(names, ","), "change,info,notice,nerror,ferror,warning,verbose", "all", 1)
		if set == 0 {
			continue
		}
		if Facility(f) == File {
			list = o.File + "=" + list
		}
		parts = append(parts, fmt.Sprintf("%s=%s", Facility(f), list))
	}
	return strings.Join(parts, ":")
}

func TestParseLogOpts(t *testing.T) {
	const rest = ":syslog=nerror,ferror:notify=all"
	tests := []struct{ text, want string }{
		{"", "stdout=all" + rest},
		// The sample of the manual page.
		{"stdout=all:syslog=change,notice:file=/tmp/krdist.log=all",
			"stdout=all:file=/tmp/krdist.log=all:syslog=change,notice:notify=all"},
		{"stdout=change", "stdout=change" + rest},
		// The types are a set, not a threshold.
		{"stdout=debug", "stdout=debug" + rest},
		{"stdout=ferror", "stdout=ferror" + rest},
		{"stdout=all,debug", "stdout=all,debug" + rest},
		{"stdout=change,info,notice,nerror,ferror,warning,verbose", "stdout=all" + rest},
		{"STDOUT=Change,NERROR", "stdout=change,nerror" + rest},
		{"stdout=change:stdout=info", "stdout=info" + rest}, // replaced, not added
		{"::stdout=,,change,,:", "stdout=change" + rest},
		{"stdout=,", "syslog=nerror,ferror:notify=all"},
		{"notify=change:syslog=all", "stdout=all:syslog=all:notify=change"},
		{"file=x=warning", "stdout=all:file=x=warning" + rest},
		{"stdout", "No '=' found"},
		{"=all", "No message facility specified"},
		{"stdout=", "No message type specified"},
		{"file=x=", "No message type specified"},
		{"nofac=all", "nofac is not a valid message facility"},
		{"stdout =all", "stdout  is not a valid message facility"},
		{"stdout=bogus", `Message type "bogus" is invalid`},
		{"stdout=all=x", `Message type "all=x" is invalid`},
		{"stdout=all:syslog=change,b", `Message type "b" is invalid`},
		{"file=all", `No file name found for "file" message facility`},
		{"file==all", `No file name found for "file" message facility`},
	}
	for _, test := range tests {
		o, err := ParseLogOpts(test.text, ClientOptions())
		got := show(o)
		if err != nil {
			var bad *OptionError
			if !errors.As(err, &bad) || got != show(ClientOptions()) {
				t.Errorf("%q: %v, and the options are %s", test.text, err, got)
			}
			got = bad.Reason
			if want := `Bad log option "` + test.text + `": ` + got + "."; err.Error() != want {
				t.Errorf("%q: %s, want %s", test.text, err, want)
			}
		}
		if got != test.want {
			t.Errorf("%q is %s, want %s", test.text, got, test.want)
		}
	}
}

func TestParseLogOptsOfServer(t *testing.T) {
	if got := show(ServerOptions()); got != "syslog=ferror" {
		t.Errorf("the default is %s", got)
	}
	o, err := ParseLogOpts("syslog=all:file=x=change", ServerOptions())
	if err != nil || show(o) != "file=x=change:syslog=all" || !o.Server {
		t.Errorf("%s %v", show(o), err)
	}
	for _, f := range []string{"stdout", "notify"} {
		_, err := ParseLogOpts(f+"=all", ServerOptions())
		want := "Bad message option string (" + f + `=all): The "` + f + `" message facility cannot be used by the server.`
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func FuzzParseLogOpts(f *testing.F) {
	f.Add("stdout=all:syslog=change,notice:file=/tmp/krdist.log=all", false)
	f.Add("file==all:=:,", true)
	f.Fuzz(func(t *testing.T, text string, server bool) {
		base := ClientOptions()
		base.Server = server
		o, err := ParseLogOpts(text, base)
		if err != nil {
			if o != base {
				t.Errorf("%q is refused and changes something: %s", text, show(o))
			}
			return
		}
		if server && (o.Types[Stdout] != base.Types[Stdout] || o.Types[Notify] != base.Types[Notify]) {
			t.Errorf("%q gives a server %s", text, show(o))
		}
		if strings.ContainsAny(o.File, ":=") {
			t.Errorf("%q names the file %q", text, o.File)
		}
		again, err := ParseLogOpts(show(o), Options{})
		if o.Types[File] != 0 && (err != nil || again.File != o.File) || err == nil && show(again) != show(o) {
			t.Errorf("%q is %s, and that is %s (%v)", text, show(o), show(again), err)
		}
	})
}
