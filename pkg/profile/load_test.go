package profile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLoadOrder(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		"kdc.conf":  "[a]\nx = kdc\n",
		"krb5.conf": "[a]\nx = krb5\n",
		"more.conf": "include @DIR@/inc\n[a]\nx = more\n",
		"inc":       "[a]\nx = inc\n",
	})
	o := testOptions()
	o.Layout.KDCConf = dir + "/kdc.conf"
	o.Layout.Krb5Conf = []string{dir + "/krb5.conf", dir + "/missing", dir + "/more.conf"}
	for _, c := range []struct {
		kdc  bool
		env  []string
		want string
	}{
		{false, nil, "krb5 inc more"},
		{true, nil, "kdc krb5 inc more"},
		{true, []string{"KRB5_KDC_PROFILE", dir + "/none"}, "krb5 inc more"},
		{true, []string{"KRB5_KDC_PROFILE", dir + "/inc:" + dir + "/kdc.conf", "KRB5_CONFIG", dir + "/none:"}, "inc kdc"},
		{false, []string{"KRB5_CONFIG", dir + "/more.conf", "KRB5_KDC_PROFILE", dir + "/kdc.conf"}, "inc more"},
		{false, []string{"KRB5_CONFIG", "~/krb5.conf", "HOME", dir}, "krb5"},
		{false, []string{"KRB5_CONFIG", "/dev/null"}, ""},
	} {
		o.KDC, o.Env = c.kdc, env(c.env...)
		p, err := Load(o)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(p.Values("a", "x"), " "); got != c.want {
			t.Errorf("KDC %v, %v: %q, want %q", c.kdc, c.env, got, c.want)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"a": "include @DIR@/b\n", "b": "", "c": ""})
	p, err := loadList(dir+"/none", dir+"/a", dir+"/c")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{dir + "/a", dir + "/b", dir + "/c"}; !slices.Equal(p.Files(), want) {
		t.Errorf("Files() = %v, want %v", p.Files(), want)
	}
}

func TestSources(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"a": "include @DIR@/b\nincludedir @DIR@/empty\n", "b": "", "full/c.conf": ""})
	if err := os.Mkdir(dir+"/empty", 0o700); err != nil {
		t.Fatal(err)
	}
	p, err := loadList(dir+"/none", dir+"/a", dir+"/full")
	if err != nil {
		t.Fatal(err)
	}
	got := p.Sources()
	slices.Sort(got)
	got = slices.Compact(got)
	want := []string{dir + "/a", dir + "/b", dir + "/empty", dir + "/full", dir + "/full/c.conf", dir + "/none"}
	if !slices.Equal(got, want) {
		t.Errorf("Sources() = %v, want %v", got, want)
	}
}

// A file without permission is skipped as long as another one can be read.
func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"ok": "[a]\nx = 1\n", "inc": "include @DIR@/secret\n"})
	open := func(name string) (*os.File, error) {
		if filepath.Base(name) == "secret" {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
		}
		return openFile(name)
	}
	for _, c := range []struct {
		list []string
		ok   bool
	}{
		{[]string{"secret", "ok"}, true},
		{[]string{"ok", "secret"}, true},
		{[]string{"secret"}, false},
		{[]string{"secret", "missing"}, false},
		{[]string{"inc"}, false},
	} {
		var list []string
		for _, n := range c.list {
			list = append(list, filepath.Join(dir, n))
		}
		err := newProfile(testOptions()).loadFiles(&loader{open: open}, list)
		if (err == nil) != c.ok {
			t.Errorf("%v: %v", c.list, err)
		}
		if err != nil && !strings.Contains(err.Error(), "secret") {
			t.Errorf("%v: error without the file's name: %v", c.list, err)
		}
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		"a":   "[a]\nx = 1\ninclude @DIR@/b\n",
		"b":   "\n[a]\n" + strings.Repeat("v", 1000) + "=1\nbad\n",
		"mod": "# none\nmodule /x.so:\n",
		"val": "[libdefaults]\n\nallow_rc4 = perhaps\n",
		"mis": "[a]\ninclude /nonexistent\n",
	})
	for name, want := range map[string]string{
		"a":   dir + "/b:4: ",
		"mod": dir + "/mod:2: ",
		"val": dir + "/val:3: [libdefaults] allow_rc4 = \"perhaps\"",
		"mis": dir + "/mis:2: ",
	} {
		if _, err := loadList(dir + "/" + name); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: error %v, want %s...", name, err, want)
		}
	}
	if _, err := loadList(dir + "/mod"); !errors.Is(err, ErrModule) {
		t.Errorf("module: %v", err)
	}
	if _, err := loadList(dir + "/val"); !errors.As(err, new(*ValueError)) {
		t.Errorf("unreadable switch: %v", err)
	}
}

func TestLimits(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{"last": "[a]\nx = 1\n", "many": strings.Repeat("include @DIR@/last\n", maxFiles), "fan": strings.Repeat("include @DIR@/last\n", maxFiles-1)}
	for i := range maxDepth {
		files[fmt.Sprint(i)] = fmt.Sprintf("include @DIR@/%d\n", i+1)
	}
	files[fmt.Sprint(maxDepth)] = ""
	files["deep"] = "[a]\n" + strings.Repeat("x = {\n", maxNesting+1)
	files["nested"] = "[a]\n" + strings.Repeat("x = {\n", maxNesting)
	writeFiles(t, dir, files)
	big, err := os.Create(dir + "/big")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(big.Truncate(maxFileSize+1), big.Close()); err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{"many": false, "fan": true, "0": false, "1": true, "deep": false, "nested": true, "big": false} {
		if _, err := loadList(filepath.Join(dir, name)); (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTotalLimit(t *testing.T) {
	l := &loader{total: maxTotalSize - 1}
	if _, err := l.content("x", strings.NewReader("ab")); err == nil {
		t.Error("more than maxTotalSize bytes were read")
	}
}

func TestTypedValues(t *testing.T) {
	p := mustParse(t, "[a]\nb = YES\nc = oFF\nn = -12\nd = 1h30m\nbad = \"\"\nhex = 0x10\nb = no\n")
	if v, err := p.Bool(false, "a", "b"); !v || err != nil {
		t.Errorf("b: %v, %v", v, err)
	}
	if v, err := p.Bool(true, "a", "c"); v || err != nil {
		t.Errorf("c: %v, %v", v, err)
	}
	if v, err := p.Bool(true, "a", "missing"); !v || err != nil {
		t.Errorf("missing: %v, %v", v, err)
	}
	if v, err := p.Int(7, "a", "n"); v != -12 || err != nil {
		t.Errorf("n: %v, %v", v, err)
	}
	if v, err := p.Duration(0, "a", "d"); v != 90*time.Minute || err != nil {
		t.Errorf("d: %v, %v", v, err)
	}
	if v, ok := p.LastValue("a", "b"); v != "no" || !ok {
		t.Errorf("last b: %q", v)
	}
	for _, tag := range []string{"bad", "hex"} {
		b, errB := p.Bool(true, "a", tag)
		i, errI := p.Int(7, "a", tag)
		if errB == nil || errI == nil || !b || i != 7 {
			t.Errorf("%s: %v, %v, %v, %v", tag, b, errB, i, errI)
		}
	}
	if d, err := p.Duration(5, "a", "bad"); d != 5 || err == nil || err.Error() != `krb5.conf:6: [a] bad = "": `+errNotDuration.Error() {
		t.Errorf("bad: %v, %v", d, err)
	}
	if _, ok := p.Value(); ok {
		t.Error("a value without a path")
	}
}

func TestClockSkew(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 300, "clockskew = 60": 60, "clockskew = 5m": 300, "clockskew = 7x": 300} {
		if got := mustParse(t, "[libdefaults]\n"+text).ClockSkew(); got != want*time.Second {
			t.Errorf("%q: %v, want %d s", text, got, want)
		}
	}
}
