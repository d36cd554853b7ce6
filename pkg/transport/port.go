package transport

import (
	"errors"
	"fmt"
	"net"
	"strconv"
)

// Service is a TCP service with a name in the services database, and a port
// where the database does not know it.
type Service struct {
	Name string
	Port int
}

// The services of this project. 754 is MIT's. No port is assigned to a
// Kerberized rdist; 755 is assigned to nothing, only root can take it, and it
// stands beside kpropd's in everybody's memory and packet filter.
var (
	KpropService  = Service{"krb5_prop", 754}
	KrdistService = Service{"krdist", 755}
)

// LookupPort gives the number for a port of a -P option: a number, or a name in
// the services database. An empty one is the service's own.
func (s Service) LookupPort(port string) (int, error) {
	return s.lookupPort(port, func(name string) (int, error) { return net.LookupPort("tcp", name) })
}

func (s Service) lookupPort(port string, lookup func(name string) (int, error)) (int, error) {
	if port == "" {
		if n, err := lookup(s.Name); err == nil {
			return n, nil
		}
		return s.Port, nil
	}
	n, err := strconv.Atoi(port)
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		return lookup(port)
	case err != nil, n < 0, n > 65535:
		return 0, fmt.Errorf("port %s is not between 0 and 65535", port)
	}
	return n, nil
}
