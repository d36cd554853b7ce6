package krbtest

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// propagate makes a realm with one user, sends it to MIT's kpropd with MIT's
// kprop under the given host name, and checks that the replica serves it.
func propagate(t *testing.T, o Options, host string) *Realm {
	t.Helper()
	r := New(t, o)
	r.AddPrincipal("alice", "open sesame")
	r.StartKDC(t)
	d := r.StartKpropd(t, "")
	r.Dump()
	stdout, stderr, exit := r.Kprop("", r.KpropArgs(d, host)...)
	if exit != 0 || !strings.Contains(stdout, "Database propagation to "+host+": SUCCEEDED") {
		t.Fatalf("kprop %s: exit status %d\n%s%s", host, exit, stdout, stderr)
	}
	if want, got := dumpText(t, r.Primary), dumpText(t, r.Replica); !bytes.Equal(want, got) {
		t.Errorf("the replica's dump differs: primary %d bytes, replica %d bytes", len(want), len(got))
	}
	if _, err := r.Replica.StartKDC(); err != nil {
		t.Fatal(err)
	}
	if err := r.Replica.Kinit("alice", "open sesame"); err != nil {
		t.Error(err)
	}
	return r
}

func dumpText(t *testing.T, n *Node) []byte {
	t.Helper()
	text, err := n.DumpText()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestPropagation(t *testing.T) {
	tests := []struct {
		name    string
		options Options
		host    string
		etype   string // as kpropd -d names the ticket's enctype
	}{
		{"default", Options{}, "localhost", "aes256-cts-hmac-sha1-96"},
		{"address", Options{}, "127.0.0.1", "aes256-cts-hmac-sha1-96"},
		{"IPv6", Options{IPv6: true}, "::1", "aes256-cts-hmac-sha1-96"},
		{"other realm", Options{Realm: "OTHER.EXAMPLE"}, "localhost", "aes256-cts-hmac-sha1-96"},
		{"aes128", Options{Enctype: "aes128-cts-hmac-sha1-96"}, "localhost", "aes128-cts-hmac-sha1-96"},
		{"aes128-sha2", Options{Enctype: "aes128-cts-hmac-sha256-128"}, "localhost", "aes128-cts-hmac-sha256-128"},
		{"aes256-sha2", Options{Enctype: "aes256-cts-hmac-sha384-192"}, "localhost", "aes256-cts-hmac-sha384-192"},
		{"camellia", Options{Enctype: "camellia256-cts-cmac"}, "localhost", "camellia256-cts-cmac"},
		{"rc4", Options{Enctype: "arcfour-hmac"}, "localhost", "arcfour-hmac"},
		{"des3", Options{Enctype: "des3-cbc-sha1"}, "localhost", "des3-cbc-sha1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := propagate(t, test.options, test.host)
			out := r.daemons[1].Output()
			if !strings.Contains(out, "etype == "+test.etype) && !strings.Contains(out, "(etype == DEPRECATED:"+test.etype) {
				t.Errorf("kpropd did not see a %s ticket: %s", test.etype, out)
			}
		})
	}
}

func TestSessionEnctype(t *testing.T) {
	t.Parallel()
	r := New(t, Options{SessionEnctypes: []string{"aes128-cts-hmac-sha256-128"}})
	r.StartKDC(t)
	d := r.StartKpropd(t, "")
	r.Dump()
	stdout, stderr, exit := r.Kprop("", r.KpropArgs(d, "localhost")...)
	if exit != 0 {
		t.Fatalf("kprop: exit status %d\n%s%s", exit, stdout, stderr)
	}
	text, err := os.ReadFile(r.Primary.KDCLog)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "tkt=aes256-cts-hmac-sha1-96(18), ses=aes128-cts-hmac-sha256-128(19)") {
		t.Errorf("no ticket with a session key of type 19 was issued:\n%s", text)
	}
}

func TestKadmin(t *testing.T) {
	t.Parallel()
	r := New(t, Options{})
	r.Kadmin(`addprinc -pw "two words" bob`)
	if out := r.Kadmin("listprincs b*"); out != "bob@KPROP.TEST\n" {
		t.Errorf("listprincs: %q", out)
	}
	if _, err := r.Primary.Kadmin("addprinc -pw x bob"); err == nil || !strings.Contains(err.Error(), "already exists") {
		t.Errorf("principal added twice: %v", err)
	}
	if _, err := r.Replica.Kadmin("listprincs"); err == nil {
		t.Error("the replica has a database before the first propagation")
	}
	r.StartKDC(t)
	if err := r.Primary.Kinit("bob", "two words"); err != nil {
		t.Error(err)
	}
	if err := r.Primary.Kinit("bob", "other words"); err == nil {
		t.Error("kinit with a wrong password succeeded")
	}
}

func TestSplitQuery(t *testing.T) {
	tests := []struct {
		query string
		want  []string
	}{
		{"listprincs", []string{"listprincs"}},
		{"  a \t b ", []string{"a", "b"}},
		{`addprinc -pw "a b" c`, []string{"addprinc", "-pw", "a b", "c"}},
		{`setstr p key ""`, []string{"setstr", "p", "key", ""}},
		{"", nil},
	}
	for _, test := range tests {
		if got := splitQuery(test.query); !slices.Equal(got, test.want) {
			t.Errorf("%q: %q, want %q", test.query, got, test.want)
		}
	}
}

func TestEnvInheritsNothing(t *testing.T) {
	t.Setenv("KRB5_CONFIG", "/nowhere")
	t.Setenv("KRB5_TRACE", "/dev/stderr")
	t.Setenv("LC_ALL", "de_DE")
	r := &Realm{Dir: t.TempDir()}
	defer r.Close()
	n, err := r.newNode("n")
	if err != nil {
		t.Fatal(err)
	}
	stdout, _, _, err := output(n.Command(context.Background(), "env"))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"/nowhere", "KRB5_TRACE", "de_DE"} {
		if strings.Contains(stdout, bad) {
			t.Errorf("%s got through:\n%s", bad, stdout)
		}
	}
	if !strings.Contains(stdout, "KRB5_CONFIG="+n.Krb5Conf+"\n") {
		t.Errorf("KRB5_CONFIG is not the node's:\n%s", stdout)
	}
}

func TestDaemonEnds(t *testing.T) {
	t.Parallel()
	r := New(t, Options{})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	d := r.StartKpropd(t, "")
	if err := d.WaitOutput(ctx, "waiting for a kprop connection"); err != nil {
		t.Error(err)
	}
	d.Stop()
	if d.Running() || listening(d.Port) {
		t.Error("kpropd runs after Stop")
	}
	if err := d.WaitOutput(ctx, "no such text"); err == nil {
		t.Error("text found that was not printed")
	}

	again, err := r.Replica.StartDaemon(d.Port, "kpropd", r.Replica.KpropdArgs(d.Port)...)
	if err != nil {
		t.Fatal(err)
	}
	again.Kill()
	if exit, err := again.Wait(ctx); exit != -1 || err != nil {
		t.Errorf("killed kpropd: exit status %d, %v", exit, err)
	}

	frozen := r.StartKpropd(t, "")
	if err := frozen.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	frozen.Stop()
	if took := time.Since(start); took >= stopTimeout {
		t.Errorf("a frozen kpropd took %v to stop", took)
	}

	if _, err := r.Replica.StartKpropd("", "-Z"); err == nil || !strings.Contains(err.Error(), "ended before it was listening") {
		t.Errorf("kpropd with a wrong option: %v", err)
	}
	if _, err := r.Replica.StartKDC(); err == nil || !strings.Contains(err.Error(), "krb5kdc") {
		t.Errorf("KDC without a database: %v", err)
	}
}

func TestStopKillsGroup(t *testing.T) {
	t.Parallel()
	r := &Realm{Dir: t.TempDir()}
	defer r.Close()
	n, err := r.newNode("n")
	if err != nil {
		t.Fatal(err)
	}
	cmd := n.Command(context.Background(), "/bin/sh", "-c", "sleep 1000 & echo $! started; wait")
	d, err := r.startDaemon(cmd, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.until("started", func() bool { return strings.Contains(d.Output(), "started") }); err != nil {
		t.Fatal(err)
	}
	d.Stop()
	child := strings.Fields(d.Output())[0]
	deadline := time.Now().Add(10 * time.Second)
	for alive(child) {
		if time.Now().After(deadline) {
			t.Fatal("a child of the program survived Stop")
		}
	}
}

// alive reports whether a process exists and is more than a zombie, which the
// machine's init may be slow to reap, or never does in some containers.
func alive(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestKillGroupOnContext(t *testing.T) {
	t.Parallel()
	r := &Realm{Dir: t.TempDir()}
	defer r.Close()
	n, err := r.newNode("n")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, _, exit, err := output(n.Command(ctx, "/bin/sh", "-c", "sleep 1000 & wait"))
	if exit != -1 {
		t.Errorf("exit status %d, %v; want -1", exit, err)
	}
	if d := time.Since(start); d > 4*time.Second {
		t.Errorf("the child that held the output was not killed: took %v", d)
	}
}
