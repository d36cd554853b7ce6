package config

import (
	"fmt"
	"net"
	"strings"

	"gopkg.in/yaml.v3"
)

// replicas reads the list of the realm s.
func (r *reader) replicas(m mapping, s *settings) {
	const allowed = "a list of hosts, such as [kdc2.example.com, kdc3.example.com]"
	n, ok := m.value("replicas")
	if !ok {
		r.complain(m.node, m.key("replicas"), "is missing", allowed)
		return
	}
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		r.wrongList(n, m.key("replicas"), allowed)
		return
	}
	seen := places{}
	s.Replicas = make([]Replica, 0, len(n.Content))
	for i, item := range n.Content {
		path := fmt.Sprintf("%s[%d]", m.key("replicas"), i)
		replica, ok := r.replica(item, path, s)
		if !ok {
			continue
		}
		r.twice(item, path, &replica, seen)
		s.Replicas = append(s.Replicas, replica)
	}
}

// replica reads a replica, which is a host or a mapping. False: it has none.
func (r *reader) replica(n *yaml.Node, path string, s *settings) (Replica, bool) {
	replica := Replica{Enabled: true}
	if n.Kind != yaml.MappingNode {
		text, ok := r.text(n, path, allowedReplica)
		if !ok {
			return replica, false
		}
		host, port, problem := splitHost(text)
		if problem != "" {
			r.complain(n, path, quote(text)+" "+problem, allowedReplica)
			return replica, false
		}
		replica.Host, replica.Port = host, port
		return replica, r.defaultName(n, path, &replica)
	}
	m, _ := r.mapping(n, path, replicaSection)
	m.checked("host", &replica.Host, allowedHost, replicaProblem)
	m.checked("address", &replica.Address, allowedHost, connectProblem)
	m.checked("principal", &replica.Principal, "a principal such as host/kdc2.example.com@EXAMPLE.COM", principalProblem)
	m.checked("name", &replica.Name, allowedName, nameProblem)
	m.boolean("enabled", &replica.Enabled)
	r.port(m, "port", &replica.Port)
	r.rate(m, &replica.RateLimit)
	if n, ok := m.value("schedule"); ok {
		if spec, ok := r.text(n, m.key("schedule"), allowedSchedule); ok {
			replica.Schedule = r.schedule(n, m.key("schedule"), spec, s.location)
		}
	}
	if _, ok := m.value("host"); !ok {
		r.complain(n, m.key("host"), "is missing", allowedHost)
	}
	if replica.Host == "" {
		return replica, false
	}
	return replica, r.defaultName(n, path, &replica)
}

// defaultName fills in an absent name. False: that of the host is too long.
func (r *reader) defaultName(n *yaml.Node, path string, replica *Replica) bool {
	if replica.Name != "" {
		return true
	}
	name := replica.Host
	if !isDefaultPort(replica.Port) {
		name = net.JoinHostPort(replica.Host, replica.Port)
	}
	if problem := nameProblem(name); problem != "" {
		r.complain(n, path, "a name is needed, since that of the host "+problem,
			"a mapping such as {name: kdc2, host: ...}; the name has "+allowedName)
		return false
	}
	replica.Name = name
	return true
}

func (r *reader) port(m mapping, key string, dst *string) {
	n, ok := m.value(key)
	if !ok {
		return
	}
	s, ok := r.scalar(n, m.key(key), allowedPort)
	if !ok {
		return
	}
	if problem := portProblem(s); problem != "" {
		r.complain(n, m.key(key), quote(s)+" "+problem, allowedPort)
		return
	}
	*dst = s
}

func (r *reader) rate(m mapping, dst *int64) {
	n, ok := m.value("rate_limit")
	if !ok {
		return
	}
	s, ok := r.scalar(n, m.key("rate_limit"), allowedRate)
	if !ok {
		return
	}
	rate, problem := parseRate(s)
	if problem != "" {
		r.complain(n, m.key("rate_limit"), quote(s)+" "+problem, allowedRate)
		return
	}
	*dst = rate
}

// places are the lines of what may be there only once.
type places map[string]int

// twice complains about a replica whose name, or whose host and port, another
// one of the realm has.
func (r *reader) twice(n *yaml.Node, path string, replica *Replica, seen places) {
	host, port := replica.Host, replica.Port
	if replica.Address != "" {
		host = replica.Address
	}
	if isDefaultPort(port) {
		port = "754"
	}
	// kprop pause and the like do not tell capitals from small letters.
	name, target := "name "+strings.ToLower(replica.Name), "target "+net.JoinHostPort(sameHost(host), port)
	if line, ok := seen[target]; ok {
		r.complain(n, path, fmt.Sprintf("%s, port %s, is there already in line %d", quote(host), port, line),
			"each host or address with the same port once in a realm")
	} else if line, ok := seen[name]; ok {
		r.complain(n, path, fmt.Sprintf("the name %s is there already in line %d", quote(replica.Name), line),
			"each name once in a realm, whether in capitals or not; name: gives a replica another")
	}
	for _, key := range []string{name, target} {
		if seen[key] == 0 {
			seen[key] = n.Line
		}
	}
}
