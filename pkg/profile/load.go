package profile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Limits on configuration files. MIT has none, besides the number of open
// files for includes that never end.
const (
	maxFileSize  = 16 << 20 // bytes of one file
	maxTotalSize = 64 << 20 // bytes of all files, each counted as often as it is read
	maxFiles     = 1024     // files read, included ones too
	maxDepth     = 32       // includes within each other
	maxNesting   = 256      // braces within each other
)

// Options say how to load. The zero value is a client's view (krb5.conf only)
// with this machine's environment.
type Options struct {
	// KDC puts kdc.conf in front of krb5.conf, as kpropd and kdb5_util do.
	KDC bool
	// Env replaces os.Getenv. A variable that is set but empty counts as unset.
	Env func(string) string
	// Realm, if not empty, is the default realm, whatever the files say (-r).
	Realm string

	// Layout replaces DefaultLayout().
	Layout *Layout
	// Resolver replaces the system's resolver.
	Resolver Resolver
	// Hostname replaces os.Hostname.
	Hostname func() (string, error)
	// SearchDomains replaces the search list of /etc/resolv.conf.
	SearchDomains func() []string
}

// Load reads the files that MIT's krb5_init_context reads (with KDC,
// kadm5_init_krb5_context): the colon-separated list in KRB5_CONFIG or
// /etc/krb5.conf, and with KDC in front of it the list in KRB5_KDC_PROFILE or
// the kdc.conf of the layout. Missing files are skipped, files that may not be
// read too unless no file can be read at all. A directory stands for the files
// in it that includedir would take. No file gives an empty Profile.
//
// Errors are *SyntaxError for syntax, *ValueError for one of the values that
// make MIT's library refuse to start, and errors that name the file else.
func Load(o Options) (*Profile, error) {
	p := newProfile(o)
	var list []string
	if o.KDC {
		list = fileList(p.env("KRB5_KDC_PROFILE"), []string{p.layout.KDCConf})
	}
	list = append(list, fileList(p.env("KRB5_CONFIG"), p.layout.Krb5Conf)...)

	l := &loader{open: openFile}
	if err := p.loadFiles(l, list); err != nil {
		return nil, err
	}
	if err := p.checkInit(); err != nil {
		return nil, err
	}
	return p, nil
}

// Parse reads text as the only configuration file; name stands for it in
// errors. Options.KDC has no effect.
func Parse(name, text string, o Options) (*Profile, error) {
	p := newProfile(o)
	root := newSection()
	l := &loader{open: openFile, root: root}
	if err := l.parse(name, []byte(text)); err != nil {
		return nil, err
	}
	p.files = []*file{{root: root}}
	p.read, p.sources = l.read, l.sources
	if err := p.checkInit(); err != nil {
		return nil, err
	}
	return p, nil
}

func newProfile(o Options) *Profile {
	p := &Profile{env: o.Env, realm: o.Realm, resolver: o.Resolver, hostname: o.Hostname,
		domains: o.SearchDomains, user: currentUser}
	if p.env == nil {
		p.env = os.Getenv
	}
	if o.Layout != nil {
		p.layout = *o.Layout
	} else {
		p.layout = DefaultLayout()
	}
	if p.resolver == nil {
		p.resolver = SystemResolver()
	}
	if p.hostname == nil {
		p.hostname = os.Hostname
	}
	if p.domains == nil {
		p.domains = systemSearchDomains
	}
	return p
}

// fileList splits the value of an environment variable, or takes the default.
func fileList(env string, def []string) []string {
	if env == "" {
		return def
	}
	return strings.Split(env, ":")
}

// loadFiles reads each file of the list into a tree of its own.
func (p *Profile) loadFiles(l *loader, list []string) error {
	var denied error
	for _, name := range list {
		if home := p.env("HOME"); home != "" && strings.HasPrefix(name, "~/") {
			name = filepath.Join(home, name[2:])
		}
		l.root = newSection()
		l.sources = append(l.sources, name)
		err := l.top(name)
		switch {
		case errors.Is(err, errSkip) && errors.Is(err, fs.ErrPermission):
			denied = err
			continue
		case errors.Is(err, errSkip):
			continue
		case err != nil:
			return err
		}
		p.files = append(p.files, &file{root: l.root})
	}
	p.read, p.sources = l.read, l.sources
	if len(p.files) == 0 && denied != nil {
		return fmt.Errorf("read configuration: %w", denied)
	}
	return nil
}

// errSkip marks a file of the list, not an included one, that cannot be opened.
var errSkip = errors.New("file skipped")

// loader reads files, follows includes and keeps the limits.
type loader struct {
	open    func(string) (*os.File, error)
	root    *section
	read    []string
	sources []string // files and directories of the list, and included directories
	total   int64
	stack   []os.FileInfo // the files being read, each included by the one before
}

// top reads a file or directory of the list.
func (l *loader) top(name string) error {
	f, err := l.open(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: %w", errSkip, err)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.IsDir() {
		return l.directory(name, f)
	}
	return l.file(name, f)
}

// file reads and parses an open file.
func (l *loader) file(name string, f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	for _, above := range l.stack {
		if st.Mode().IsRegular() && os.SameFile(above, st) {
			return &SyntaxError{File: name, Msg: "the file includes itself"}
		}
	}
	if len(l.stack) == maxDepth {
		return &SyntaxError{File: name, Msg: fmt.Sprintf("more than %d files include each other", maxDepth)}
	}
	data, err := l.content(name, f)
	if err != nil {
		return err
	}
	l.stack = append(l.stack, st)
	defer func() { l.stack = l.stack[:len(l.stack)-1] }()
	return l.parse(name, data)
}

func (l *loader) parse(name string, data []byte) error {
	if len(l.read) == maxFiles {
		return &SyntaxError{File: name, Msg: fmt.Sprintf("more than %d configuration files", maxFiles)}
	}
	l.read = append(l.read, name)
	return (&parser{l: l, name: name, root: l.root}).parse(data)
}

// content reads at most maxFileSize bytes. A directory has none: MIT finds
// nothing to read there and goes on.
func (l *loader) content(name string, f io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if errors.Is(err, unix.EISDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	l.total += int64(len(data))
	if len(data) > maxFileSize {
		return nil, &SyntaxError{File: name, Msg: fmt.Sprintf("the file is larger than %d bytes", maxFileSize)}
	}
	if l.total > maxTotalSize {
		return nil, &SyntaxError{File: name, Msg: fmt.Sprintf("the configuration files together are larger than %d bytes", maxTotalSize)}
	}
	return data, nil
}

// include reads the file that a line of p names. Unlike a file of the list, it
// must be there.
func (l *loader) include(p *parser, name string) error {
	f, err := l.open(name)
	if err != nil {
		return p.fail("include: " + err.Error())
	}
	defer f.Close()
	return l.file(name, f)
}

func (l *loader) includeDir(p *parser, name string) error {
	f, err := l.open(name)
	if err != nil {
		return p.fail("includedir: " + err.Error())
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.IsDir() {
		return p.fail("includedir: " + name + " is not a directory")
	}
	l.sources = append(l.sources, name)
	return l.directory(name, f)
}

// directory reads the files of a directory in byte order of their names.
func (l *loader) directory(name string, dir *os.File) error {
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("read directory %s: %w", name, err)
	}
	for _, entry := range sortedIncludes(names) {
		if err := l.entry(name + "/" + entry); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) entry(path string) error {
	f, err := l.open(path)
	if err != nil {
		return &SyntaxError{File: path, Msg: "includedir: " + err.Error()}
	}
	defer f.Close()
	return l.file(path, f)
}

// sortedIncludes picks the names that includedir takes: those that end in
// .conf and do not begin with a dot, and those of letters, digits, - and _.
func sortedIncludes(names []string) []string {
	picked := map[string]bool{}
	for _, n := range names {
		plain := strings.IndexFunc(n, func(r rune) bool {
			return !(r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
		}) < 0
		if plain || strings.HasSuffix(n, ".conf") && n[0] != '.' {
			picked[n] = true
		}
	}
	return sortedKeys(picked)
}

func openFile(name string) (*os.File, error) { return os.Open(name) }
