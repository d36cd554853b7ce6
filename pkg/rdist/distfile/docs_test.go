package distfile

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	samplePath = "../../../configs/distfile.sample"
	manPath    = "../../../docs/man/distfile.5"
)

// TestSample: the sample says what its comments say, and what is commented out
// is right as well.
func TestSample(t *testing.T) {
	text, err := os.ReadFile(samplePath)
	if err != nil {
		t.Fatal(err)
	}
	env, _ := testEnv(t)
	var want strings.Builder
	for _, host := range []string{"kdc2.example.com", "kdc3.example.com"} {
		const install = ` | install compare "" | `
		const notify = `notify ["root@kdc1.example.com"]` + "\n"
		want.WriteString(`[client] ["/etc/krb5.conf"] -> ` + host + install + notify +
			`[kdc] ["/etc/krb5kdc/kdc.conf"] -> ` + host + install + `cmdspecial "systemctl restart krb5-kdc" | ` + notify +
			`[acl] ["/etc/krb5kdc/kadm5.acl"] -> ` + host + install + notify)
	}
	positions := regexp.MustCompile(`(?m)^df:\d+:1 |(\| )\d+:2 `)
	if got := positions.ReplaceAllString(outline(parse(t, env, string(text))), "$1"); got != want.String() {
		t.Errorf("got\n%s\nwant\n%s", got, want.String())
	}
	live, commented, _ := strings.Cut(string(text), "# More that you may want.")
	whole := live + "#" + regexp.MustCompile(`(?m)^#     `).ReplaceAllString(commented, "")
	if n := len(parse(t, env, whole)); n != 3*2+2*2+1 {
		t.Errorf("with the commented entries there are %d, want 11:\n%s", n, whole)
	}
}

// TestManualPage: the examples of the page are right, and the message it shows
// is the one that is told.
func TestManualPage(t *testing.T) {
	text, err := os.ReadFile(manPath)
	if err != nil {
		t.Fatal(err)
	}
	env, dir := testEnv(t)
	for _, name := range []string{"usr/include/stand", "usr/include/sys", "usr/include/pascal", "usr/include/machine", "usr/man"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	examples := 0
	for _, block := range regexp.MustCompile(`(?ms)^\.Bd -literal.*?\n(.*?)^\.Ed$`).FindAllStringSubmatch(string(text), -1) {
		source := strings.NewReplacer(`\e`, `\`, `\&`, ``).Replace(block[1])
		switch {
		case strings.HasPrefix(source, "NAME = list"):
		case strings.Contains(source, "LOCAL ERROR"):
			_, err := Parse("distfile", strings.NewReader("/etc/krb5.conf kdc2\n/b -> h"), env)
			want := strings.Split(source, "\n")
			if e := err.(Errors)[0]; e.Detail() != want[1] || !strings.HasSuffix(want[0], "LOCAL ERROR: Error in distfile: line 2: syntax error") {
				t.Errorf("the page shows\n%s\nbut it is\n%s", source, e.Detail())
			}
		default:
			examples++
			// The directories of its patterns have to be there.
			parse(t, env, strings.NewReplacer("/usr/include", dir+"/usr/include", "/usr/man", dir+"/usr/man").Replace(source))
		}
	}
	if examples < 6 {
		t.Errorf("%d examples were tried", examples)
	}
}
