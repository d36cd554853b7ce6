package krbtest

import (
	"bytes"
	"testing"
)

func TestInetd(t *testing.T) {
	t.Parallel()
	Require(t, "xinetd")
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			r := New(t, Options{})
			r.StartKDC(t)
			d, err := r.Replica.StartInetd("")
			if err != nil {
				t.Fatal(err)
			}
			r.Dump()
			if stdout, stderr, exit := r.Kprop("", r.KpropArgs(d, host)...); exit != 0 {
				t.Fatalf("kprop: exit status %d\n%s%s", exit, stdout, stderr)
			}
			if !bytes.Equal(dumpText(t, r.Primary), dumpText(t, r.Replica)) {
				t.Error("the replica's dump differs")
			}
		})
	}
}
