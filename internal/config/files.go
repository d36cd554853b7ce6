package config

import (
	"fmt"
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v3"
)

const (
	theDump     = "the dump"
	theDatabase = "the database"
)

// named is a file that the configuration names.
type named struct {
	at   *yaml.Node
	key  string // in full
	what string
	path string
}

// note remembers the file that a key of m names, if it is there and good.
func (r *reader) note(m mapping, key, what, path string) {
	if n, ok := m.value(key); ok && path != "" {
		path = strings.TrimPrefix(strings.TrimPrefix(path, "WRFILE:"), "FILE:")
		r.files = append(r.files, named{n, m.key(key), what, filepath.Clean(path)})
	}
}

// databaseFiles are the endings of the files that belong to a database
// (reference kdb-formats.md 4 and kdb-lmdb.md 3).
var databaseFiles = []string{"", ".ok", ".kadm5", ".kadm5.lock", ".ulog", ".mdb", ".lockout.mdb"}

// overwritten complains about dumps that would take the place of a file that
// is needed.
func (r *reader) overwritten() {
	needed := map[string]named{}
	for _, f := range r.files {
		endings := []string{""}
		switch f.what {
		case theDump:
			continue
		case theDatabase:
			endings = databaseFiles
		}
		for _, end := range endings {
			if _, ok := needed[f.path+end]; !ok {
				needed[f.path+end] = f
			}
		}
	}
	for _, dump := range r.files {
		if f, ok := needed[dump.path]; ok && dump.what == theDump {
			r.complain(dump.at, dump.key, fmt.Sprintf("%s would overwrite %s of line %d", quote(dump.path), f.what, f.at.Line),
				"a path of its own, such as /var/lib/kprop/dump")
		}
	}
}
