// Package ccache reads credential caches of the type FILE, in which kinit and
// other programs keep a user's tickets: versions 3 and 4 of MIT's format, as
// the documentation of MIT krb5 describes it.
package ccache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/kprop/kprop/internal/keytab"
	"github.com/kprop/kprop/internal/principal"
)

// MaxSize is the largest cache that Parse and Load accept, in bytes.
const MaxSize = 4 << 20

var (
	// ErrFormat says that a cache is malformed. MIT's text.
	ErrFormat = errors.New("Bad format in credentials cache")
	// ErrType says that the type of a cache cannot be used here.
	ErrType = errors.New("unknown credential cache type")
)

// Credential is a ticket and what belongs to it.
type Credential struct {
	Client, Server principal.Name
	EType          int32
	Key            []byte
	EndTime        time.Time
	Ticket         []byte // DER
}

// Cache is what a file holds.
type Cache struct {
	Name        string // as given to Load
	Client      principal.Name
	Credentials []Credential // without those that were removed, and settings
	// Offset is the KDC's clock less this host's, as it was noted when the
	// cache was made.
	Offset time.Duration
}

// Find gives the credential for a server that is valid longest.
func (c *Cache) Find(server principal.Name) (best Credential, ok bool) {
	for _, cred := range c.Credentials {
		if cred.Server.Equal(server) && cred.Client.Equal(c.Client) && (!ok || cred.EndTime.After(best.EndTime)) {
			best, ok = cred, true
		}
	}
	return best, ok
}

// Path gives the path of the file of a cache's name: a path, one after FILE:,
// or one that DIR: leads to.
func Path(name string) (string, error) {
	typ, rest, typed := strings.Cut(name, ":")
	switch {
	case !typed, strings.HasPrefix(name, "/"):
		return name, nil
	case typ == "FILE":
		return rest, nil
	case typ == "DIR" && strings.HasPrefix(rest, ":"):
		return rest[1:], nil
	case typ == "DIR":
		return primary(rest)
	}
	return "", fmt.Errorf("credential cache %s: %w; give a file: kinit -c FILE:/path, and KRB5CCNAME=FILE:/path", name, ErrType)
}

// primary gives the current cache of a directory of caches: the one that its
// file primary names, else tkt.
func primary(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "primary"))
	if errors.Is(err, fs.ErrNotExist) {
		return filepath.Join(dir, "tkt"), nil
	}
	if err != nil {
		return "", err
	}
	name, _, _ := strings.Cut(string(text), "\n")
	if !strings.HasPrefix(name, "tkt") || strings.Contains(name, "/") {
		return "", fmt.Errorf("%s/primary: %w", dir, ErrFormat)
	}
	return filepath.Join(dir, name), nil
}

// Load reads the cache of that name, see Path, and waits for a program that is
// writing it. A missing file makes errors.Is(err, fs.ErrNotExist) true.
func Load(name string) (*Cache, error) {
	path, err := Path(name)
	if err != nil {
		return nil, err
	}
	data, err := keytab.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read credential cache %s: %w", name, err)
	}
	c, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("read credential cache %s: %w", name, err)
	}
	c.Name = name
	return c, nil
}

// Parse reads the bytes of a cache. The error wraps ErrFormat.
func Parse(data []byte) (*Cache, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrFormat, MaxSize)
	}
	r := reader{s: data}
	c := r.cache()
	if r.problem != "" {
		return nil, fmt.Errorf("%w: %s", ErrFormat, r.problem)
	}
	return c, nil
}

// reader reads the parts of a file. After the first problem it gives zero
// values.
type reader struct {
	s       cryptobyte.String
	version byte
	problem string
}

func (r *reader) fail(what string) {
	if r.problem == "" {
		r.problem = what
	}
	r.s = nil
}

func (r *reader) need(ok bool, what string) {
	if !ok {
		r.fail(what + " is cut off")
	}
}

func (r *reader) uint16(what string) (v uint16) {
	r.need(r.s.ReadUint16(&v), what)
	return v
}

func (r *reader) uint32(what string) (v uint32) {
	r.need(r.s.ReadUint32(&v), what)
	return v
}

func (r *reader) bytes(what string) (b []byte) {
	n := r.uint32(what)
	if uint64(n) > uint64(len(r.s)) {
		r.fail(what + " is cut off")
		return nil
	}
	r.need(r.s.ReadBytes(&b, int(n)), what)
	return b
}

// count reads how many elements follow, each of which takes at least so many
// bytes.
func (r *reader) count(what string, least int) int {
	n := r.uint32(what)
	if uint64(n) > uint64(len(r.s)/least) {
		r.fail(what + " are cut off")
		return 0
	}
	return int(n)
}

// time reads a time, which MIT takes for seconds without a sign.
func (r *reader) time(what string) time.Time { return time.Unix(int64(r.uint32(what)), 0) }

func (r *reader) cache() *Cache {
	var c Cache
	var magic byte
	if !r.s.ReadUint8(&magic) || !r.s.ReadUint8(&r.version) || magic != 5 {
		r.fail("it is no credential cache")
		return nil
	}
	switch r.version {
	case 4:
		c.Offset = r.header()
	case 3:
	default:
		r.fail(fmt.Sprintf("version %d cannot be read, only 3 and 4; get new tickets by kinit", r.version))
		return nil
	}
	c.Client = r.principal("the principal")
	for len(r.s) > 0 && r.problem == "" {
		cred := r.credential()
		if !strings.HasPrefix(cred.Server.Realm, "X-CACHECONF:") && cred.EndTime.Unix() != 0 {
			c.Credentials = append(c.Credentials, cred)
		}
	}
	return &c
}

// header reads the tags of version 4, of which there is one.
func (r *reader) header() (offset time.Duration) {
	const kdcOffset = 1
	var fields cryptobyte.String
	r.need(r.s.ReadUint16LengthPrefixed(&fields), "the header")
	for len(fields) > 0 {
		var tag uint16
		var value cryptobyte.String
		if !fields.ReadUint16(&tag) || !fields.ReadUint16LengthPrefixed(&value) {
			r.fail("the header is cut off")
			return 0
		}
		var seconds, micros uint32
		if tag == kdcOffset && value.ReadUint32(&seconds) && value.ReadUint32(&micros) {
			offset = time.Duration(int32(seconds))*time.Second + time.Duration(int32(micros))*time.Microsecond
		}
	}
	return offset
}

func (r *reader) principal(what string) (n principal.Name) {
	r.uint32(what) // its type
	count := r.count(what+"'s components", 4)
	n.Realm = string(r.bytes(what + "'s realm"))
	for range count {
		n.Components = append(n.Components, string(r.bytes(what+"'s components")))
	}
	return n
}

func (r *reader) credential() (c Credential) {
	c.Client = r.principal("a client")
	c.Server = r.principal("a server")
	c.EType = int32(int16(r.uint16("a key")))
	if r.version == 3 {
		r.uint16("a key") // once more
	}
	c.Key = r.bytes("a key")
	r.time("a ticket's times")
	r.time("a ticket's times")
	c.EndTime = r.time("a ticket's times")
	r.time("a ticket's times")
	var flags []byte
	r.need(r.s.ReadBytes(&flags, 1+4), "a ticket's flags")
	for _, what := range []string{"addresses", "authorization data"} {
		for range r.count(what, 2+4) {
			r.uint16(what)
			r.bytes(what)
		}
	}
	c.Ticket = r.bytes("a ticket")
	r.bytes("a second ticket")
	return c
}
