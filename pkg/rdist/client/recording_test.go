package client

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/pkg/rdist/wire"
)

// sessions is absolute, since tests change the working directory.
var sessions, _ = filepath.Abs("../../../testdata/rdist/sessions")

const (
	recordedRoot = "/tmp/rd"
	// accessTime takes the place of times of access, which nobody can set for
	// a file that is read.
	accessTime = 1234567890
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// row is a line of a table of info.md.
type row struct {
	path, link, kind string
	mode             uint32
	owner, group     string
	size             int
	mtime            string // "-": not told; "now": of the recording
	links            int
	sum              string
}

// readTree reads the table of what was there before.
func readTree(t *testing.T, dir string) []row {
	t.Helper()
	info, err := os.ReadFile(filepath.Join(sessions, dir, "info.md"))
	must(t, err)
	_, text, _ := strings.Cut(string(info), "## Tree before\n")
	text, _, _ = strings.Cut(text, "\n## ")
	var rows []row
	for _, line := range strings.Split(text, "\n| `")[1:] {
		name, rest, _ := strings.Cut(line, "`")
		cells := strings.Split(strings.TrimRight(rest, " |\n"), " | ")
		if strings.Contains(cells[0], "(absent)") {
			continue
		}
		r := row{path: strings.ReplaceAll(name, `\xe9`, "\xe9"), link: strings.TrimPrefix(cells[0], " -> "), kind: cells[1], mtime: cells[5], sum: cells[7]}
		mode, err := strconv.ParseUint(cells[2], 8, 32)
		must(t, err)
		r.mode = uint32(mode)
		r.owner, r.group, _ = strings.Cut(cells[3], ":")
		r.size, _ = strconv.Atoi(cells[4])
		r.links, _ = strconv.Atoi(cells[6])
		rows = append(rows, r)
	}
	return rows
}

// makeTree makes what the table lists below root, and gives the owners, which
// only root could set.
func makeTree(t *testing.T, rows []row, root string, known map[string][]byte) map[string]row {
	t.Helper()
	owners := map[string]row{}
	first := map[string]string{} // of files with several names
	for _, r := range rows {
		path := root + strings.TrimPrefix(r.path, recordedRoot)
		owners[path] = r
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		switch r.kind {
		case "dir":
			must(t, os.MkdirAll(path, 0o755))
		case "link":
			must(t, os.Symlink(r.link, path))
		case "fifo":
			must(t, unix.Mkfifo(path, 0o600))
		case "file":
			key := r.sum + strconv.FormatBool(strings.Contains(path, "/src/"))
			if r.links > 1 && first[key] != "" {
				must(t, os.Link(first[key], path))
				continue
			}
			first[key] = path
			data, ok := known[r.sum]
			if !ok {
				data = bytes.Repeat([]byte{'?'}, r.size) // it was never sent
			}
			must(t, os.WriteFile(path, data, 0o600))
		}
		if r.kind != "link" {
			must(t, unix.Chmod(path, r.mode))
		}
		if seconds, err := strconv.ParseInt(r.mtime, 10, 64); err == nil {
			times := []unix.Timespec{{Sec: seconds}, {Sec: seconds}}
			must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, times, unix.AT_SYMLINK_NOFOLLOW))
		}
	}
	return owners
}

// contents has what the files of the recordings contained, by digest, as far as
// it was ever sent.
func contents(t *testing.T) map[string][]byte {
	t.Helper()
	known := map[string][]byte{}
	add := func(data []byte) {
		sum := sha256.Sum256(data)
		known[hex.EncodeToString(sum[:])] = data
	}
	// The a.out of 40, which was never sent: it is told to have this magic.
	known["a3f74859690f50907bb362095801d3d61b5d97606750e427f95766d06e4f3cda"] = append([]byte{0o407 & 0xff, 0o407 >> 8}, make([]byte, 62)...)
	streams, err := filepath.Glob(filepath.Join(sessions, "*", "client-to-server*.bin"))
	must(t, err)
	for _, name := range streams {
		octets, err := os.ReadFile(name)
		must(t, err)
		for len(octets) > 0 {
			line, rest, _ := bytes.Cut(octets, []byte("\n"))
			octets = rest
			if len(line) == 0 || line[0] != wire.OpRegular {
				continue
			}
			if o, err := wire.ParseObject(string(line[1:])); err == nil && o.Size <= int64(len(rest)) {
				add(rest[:o.Size])
			}
		}
	}
	return known
}

// turn is what the client sends before it waits, and what the server answers.
type turn struct{ client, server string }

var (
	escape     = regexp.MustCompile(`\\([0-7]{3}|n|\\)`)
	longRead   = regexp.MustCompile(`\.\.\. \[(\d+) bytes in this read\]$`)
	objectLine = regexp.MustCompile(`^([RK]\d+ \d+ \d+ -?\d+) -?\d+ `)
)

// readTurns reads a recorded session. number is empty, or ".2" for the second
// connection.
func readTurns(t *testing.T, dir, number string) []turn {
	t.Helper()
	read := func(name string) []byte {
		octets, err := os.ReadFile(filepath.Join(sessions, dir, name))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return octets
	}
	client, server := read("client-to-server"+number+".bin"), read("server-to-client"+number+".bin")
	turns := []turn{{}}
	for line := range strings.Lines(string(read("dialogue" + number + ".txt"))) {
		stream := &client
		if line[0] == 'S' {
			stream = &server
		}
		text := take(stream, strings.TrimSuffix(line[3:], "\n"))
		last := &turns[len(turns)-1]
		switch {
		case line[0] == 'S':
			last.server += text
		case last.server != "":
			turns = append(turns, turn{client: text})
		default:
			last.client += text
		}
	}
	if len(client) > 0 || len(server) > 0 {
		t.Fatalf("%s: %d and %d octets are not in the dialogue", dir, len(client), len(server))
	}
	for i := range turns {
		if i > 0 && strings.ContainsAny(turns[i-1].server[:1], "YN") {
			turns[i].client = objectLine.ReplaceAllString(turns[i].client, fmt.Sprintf("$1 %d ", accessTime))
		}
	}
	return turns
}

// take takes what a line of the dialogue stands for from the stream. Of sessions
// that were over before they began there is no stream.
func take(stream *[]byte, line string) string {
	text := escape.ReplaceAllStringFunc(line, func(e string) string {
		switch e[1:] {
		case "n":
			return "\n"
		case "\\":
			return "\\"
		}
		octet, _ := strconv.ParseUint(e[1:], 8, 8)
		return string([]byte{byte(octet)})
	})
	if *stream == nil {
		return text
	}
	size := len(text)
	if m := longRead.FindStringSubmatch(line); m != nil {
		size, _ = strconv.Atoi(m[1])
	}
	octets := (*stream)[:size]
	*stream = (*stream)[size:]
	return string(octets)
}

// player is a server that plays turns, and compares what it gets.
type player struct {
	turns []turn
	done  chan error
}

func play(turns []turn) *player { return &player{turns: turns, done: make(chan error, 1)} }

func (p *player) serve(conn net.Conn) {
	defer conn.Close()
	p.done <- p.play(conn)
}

func (p *player) play(conn net.Conn) error {
	if len(p.turns) == 1 && p.turns[0] == (turn{}) {
		return nil // it was never there
	}
	for i, turn := range p.turns {
		must := []byte(turn.client)
		got := make([]byte, len(must))
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		n, err := readAsLong(conn, got, must)
		if err != nil || !bytes.Equal(got[:n], must) {
			return fmt.Errorf("turn %d: got %q, want %q (%v)", i, got[:n], must, err)
		}
		if turn.server == "" {
			continue
		}
		if _, err := conn.Write([]byte(turn.server)); err != nil {
			return err
		}
	}
	rest, err := io.ReadAll(conn)
	if len(rest) > 0 {
		return fmt.Errorf("at the end came %q (%v)", rest, err)
	}
	return nil
}

// readAsLong reads as long as it is what must come.
func readAsLong(r io.Reader, got, must []byte) (n int, err error) {
	for n < len(got) && err == nil && bytes.Equal(got[:n], must[:n]) {
		var m int
		m, err = r.Read(got[n:])
		n += m
	}
	return n, err
}

// pipe is a stream with deadlines, of which both ends can be closed halfway.
func pipe(t testing.TB) (client, server net.Conn) {
	t.Helper()
	conn, file, err := socketPair()
	must(t, err)
	defer file.Close()
	server, err = net.FileConn(file)
	must(t, err)
	return conn, server
}

// ranks has the order in which names were asked for, which is that of the
// recorded readdir.
func ranks(turns []turn, before []string) map[string]int {
	rank := map[string]int{}
	for i, name := range before {
		rank[name] = i - len(before)
	}
	for _, turn := range turns {
		for line := range strings.Lines(turn.client) {
			if name, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "Q"); ok {
				if _, ok := rank[name]; !ok {
					rank[name] = len(rank)
				}
			}
		}
	}
	return rank
}

func inOrder(rank map[string]int) func(string) ([]string, error) {
	return func(dir string) ([]string, error) {
		names, err := systemReadDir(dir)
		slices.SortStableFunc(names, func(a, b string) int { return rank[a] - rank[b] })
		return names, err
	}
}
