package transport

import (
	"errors"
	"net"
	"testing"
)

func TestLookupPort(t *testing.T) {
	want, err := net.LookupPort("tcp", KpropService.Name)
	if err != nil {
		want = KpropService.Port // the services database may lack it
	}
	for _, c := range []struct {
		port string
		want int
	}{
		{"", want}, {"754", 754}, {"0", 0}, {"65535", 65535}, {"0754", 754}, {"https", 443},
	} {
		if got, err := KpropService.LookupPort(c.port); err != nil || got != c.want {
			t.Errorf("%q: %d, %v; want %d", c.port, got, err, c.want)
		}
	}
	for _, port := range []string{"-1", "65536", "99999999999999999999", "nosuchservice", "754 ", "754x", "0x2f2"} {
		if got, err := KpropService.LookupPort(port); err == nil {
			t.Errorf("%q: %d, want an error", port, got)
		}
	}
}

// A services database without krb5_prop has the port nevertheless.
func TestPortFallback(t *testing.T) {
	unknown := func(string) (int, error) { return 0, errors.New("unknown port") }
	for _, s := range []Service{KpropService, KrdistService} {
		if n, err := s.lookupPort("", unknown); n != s.Port || err != nil {
			t.Errorf("%s: %d, %v", s.Name, n, err)
		}
		if n, err := s.lookupPort(s.Name, unknown); err == nil {
			t.Errorf("%s by name: %d, want an error as MIT gives it", s.Name, n)
		}
		moved := func(name string) (int, error) {
			if name != s.Name {
				t.Errorf("asked for %q", name)
			}
			return 1754, nil
		}
		if n, err := s.lookupPort("", moved); n != 1754 || err != nil {
			t.Errorf("services database with another port: %d, %v", n, err)
		}
	}
}
