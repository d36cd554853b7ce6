package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/kprop/kprop/internal/timetable"
)

// settings are a realm's, and where its schedule stands: that is read again
// for each realm, since the time zone may be another.
type settings struct {
	Realm
	location *time.Location
	spec     string
	specAt   *yaml.Node
	specKey  string
}

func newSettings() settings {
	return settings{Realm: defaultRealm(), location: time.UTC, spec: defaultSchedule}
}

// settings puts the keys of m over those that s has.
func (r *reader) settings(m mapping, s *settings) {
	m.duration("jitter", &s.Jitter, 0, day, "")
	m.boolean("on_change", &s.OnChange)
	m.duration("settle", &s.Settle, 0, 10*time.Minute, "")
	m.duration("min_interval", &s.MinInterval, 0, day, "")
	m.duration("refresh", &s.Refresh, time.Minute, 366*day, "never")
	m.integer("parallel", &s.Parallel, 1, 256)
	r.retry(m, &s.Retry)
	m.duration("idle_timeout", &s.IdleTimeout, time.Second, time.Hour, "")
	m.checked("keytab", &s.Keytab, "an absolute path, which may have FILE: or WRFILE: in front", keytabProblem)
	m.engine(&s.Engine)
	m.file("kdb5_util", &s.KDB5Util)
	r.port(m, "files_port", &s.FilesPort)
	r.note(m, "keytab", "the keytab", s.Keytab)
	r.note(m, "kdb5_util", "the program", s.KDB5Util)
	r.timezone(m, s)
	if n, ok := m.value("schedule"); ok {
		if text, ok := r.text(n, m.key("schedule"), allowedSchedule); ok {
			s.spec, s.specAt, s.specKey = text, n, m.key("schedule")
		}
	}
	s.Schedule = r.schedule(s.specAt, s.specKey, s.spec, s.location)
}

const allowedSchedule = `a text such as "*/5 * * * *", "@hourly" or "@every 5m"`

// schedule reads a specification; nil if it is wrong, which is complained
// about.
func (r *reader) schedule(at *yaml.Node, key, spec string, loc *time.Location) *timetable.Schedule {
	s, err := timetable.Parse(spec, loc)
	if err == nil {
		return s
	}
	problem := err.Error()
	var e *timetable.SpecError
	if errors.As(err, &e) {
		problem = quote(e.Spec) + ": "
		if e.Field != "" {
			problem += e.Field + ": "
		}
		problem += e.Reason
	}
	r.complain(at, key, problem, "")
	return nil
}

func (r *reader) timezone(m mapping, s *settings) {
	loc := s.location
	m.checked("timezone", &s.Timezone, "UTC, Local, or a name such as Europe/Berlin of the time zone database", func(name string) string {
		if name == "" {
			return "is empty"
		}
		l, err := time.LoadLocation(name)
		if err != nil {
			return "is not a known time zone"
		}
		loc = l
		return ""
	})
	s.location = loc
}

func (r *reader) retry(parent mapping, retry *Retry) {
	n, ok := parent.value("retry")
	if !ok {
		return
	}
	m, ok := r.mapping(n, parent.key("retry"), retrySection)
	if !ok {
		return
	}
	m.duration("initial", &retry.Initial, 100*time.Millisecond, day, "")
	m.duration("max", &retry.Max, 100*time.Millisecond, 7*day, "")
	m.float("factor", &retry.Factor, 1, 100)
	m.float("jitter", &retry.Jitter, 0, 1)
	if retry.Max < retry.Initial {
		key, at := "initial", m.places["initial"]
		if m.places["max"] != nil {
			key, at = "max", m.places["max"]
		}
		if at == nil {
			return
		}
		r.complain(at, m.key(key), fmt.Sprintf("the longest wait, %s, is shorter than the first, %s",
			formatDuration(retry.Max), formatDuration(retry.Initial)), "max as long as initial, or longer")
		retry.Max = retry.Initial
	}
}

// identity reads what each realm has for itself.
func (r *reader) identity(m mapping, s *settings) {
	m.checked("realm", &s.Name, allowedRealm, realmProblem)
	m.file("dump", &s.Dump)
	m.file("database", &s.Database)
	m.file("files", &s.Files)
	r.note(m, "files", "the distfile", s.Files)
	r.note(m, "dump", theDump, s.Dump)
	r.note(m, "database", theDatabase, s.Database)
	r.replicas(m, s)
	if n, ok := m.value("files"); ok && s.Files != "" && r.checks.Distfile != nil {
		if err := r.checks.Distfile(s.Files); err != nil {
			r.complain(n, m.key("files"), err.Error(), "")
		}
	}
}

// realms reads the list n, for which the keys beside it are defaults.
func (r *reader) realms(top mapping, n *yaml.Node) []Realm {
	for _, key := range realmIdentity {
		if at := top.places[key]; at != nil {
			r.complain(at, key, fmt.Sprintf("cannot stand beside realms (line %d): move it into the realm it belongs to",
				top.places["realms"].Line), "")
		}
	}
	base := newSettings()
	r.settings(top, &base)
	const allowed = "a list of mappings, each with realm and replicas"
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		r.wrongList(n, "realms", allowed)
		return nil
	}
	var (
		realms = make([]Realm, 0, len(n.Content))
		names  = map[string]int{} // lines
		dumps  = map[string]int{}
		bases  = map[string]int{}
	)
	for i, item := range n.Content {
		m, ok := r.mapping(item, fmt.Sprintf("realms[%d]", i), realmSection)
		if !ok {
			continue
		}
		s := base
		r.settings(m, &s)
		r.identity(m, &s)
		if _, named := m.value("realm"); !named {
			r.complain(item, m.key("realm"), "is missing", allowedRealm)
		}
		r.once(m, "realm", s.Name, names, "is there already")
		r.once(m, "dump", s.Dump, dumps, "is already the dump of the realm")
		r.once(m, "database", s.Database, bases, "is already the database of the realm")
		realms = append(realms, s.Realm)
	}
	return realms
}

// once complains if text is among those seen, and else adds it.
func (r *reader) once(m mapping, key, text string, seen map[string]int, problem string) {
	if text == "" {
		return
	}
	if key != "realm" {
		text = filepath.Clean(text)
	}
	n := m.values[key]
	if line, ok := seen[text]; ok {
		r.complain(n, m.key(key), fmt.Sprintf("%s %s in line %d", quote(text), problem, line), "")
		return
	}
	seen[text] = n.Line
}

// wrongList complains about what is not a list, or an empty one.
func (r *reader) wrongList(n *yaml.Node, key, allowed string) {
	if n.Kind == yaml.SequenceNode {
		r.complain(n, key, "is an empty list", allowed)
		return
	}
	r.wrongKind(n, key, allowed)
}
