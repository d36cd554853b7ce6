package schedule

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// maxSources bounds the files and directories that are looked at, and
	// maxSourceDirs those directories of which the kernel tells. What is beyond
	// goes by the schedule.
	maxSources    = 10000
	maxSourceDirs = 256
	// lookPause is how long a look waits after the first event: others are in
	// these directories, too, and may write all the time.
	lookPause = 500 * time.Millisecond
)

// watch calls changed when the distfile or a source that it names has changed,
// until ctx ends, and ready once it would notice. It watches directories, since
// editors replace files, and polls as well.
func (s *distfileSender) watch(ctx context.Context, poll time.Duration, ready, changed func()) {
	var events <-chan fsnotify.Event
	var errs <-chan error
	w, err := fsnotify.NewWatcher()
	if err == nil {
		defer w.Close()
		events, errs = w.Events, w.Errors
	}
	look := func() uint64 {
		l := lookAt(s.path)
		follow(w, l.dirs)
		return l.Sum64()
	}
	look()         // begins to watch
	last := look() // what it has missed
	ready()
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	var pause <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
			if pause == nil {
				pause = time.After(lookPause)
			}
			continue
		case err := <-errs:
			if errors.Is(err, fsnotify.ErrEventOverflow) && pause == nil {
				pause = time.After(lookPause)
			}
			continue
		case <-pause:
			pause = nil
		case <-ticker.C:
		}
		if now := look(); now != last {
			last = now
			changed()
		}
	}
}

// follow makes the kernel tell of these directories, and of no others. One that
// cannot be watched is polled.
func follow(w *fsnotify.Watcher, dirs []string) {
	if w == nil {
		return
	}
	for _, dir := range w.WatchList() {
		if !slices.Contains(dirs, dir) {
			_ = w.Remove(dir)
		}
	}
	for _, dir := range dirs {
		_ = w.Add(dir) // again if another directory has its name now
	}
}

// sources is a look at what a distfile distributes: a sum that changes with it,
// and the directories in which that would happen.
type sources struct {
	hash.Hash64
	left int // of maxSources
	dirs []string
}

// lookAt looks at a distfile and all that it names. A ~ with a user's name is
// left to the schedule.
func lookAt(path string) *sources {
	s := &sources{Hash64: fnv.New64a(), left: maxSources}
	s.file(path)
	entries, err := readDistfile(path)
	if err != nil {
		fmt.Fprintf(s, "%v\n", err)
		return s
	}
	seen := map[string]bool{}
	for i := range entries {
		for _, name := range entries[i].Files {
			if rest, ok := strings.CutPrefix(name, "~"); ok {
				home, err := os.UserHomeDir()
				if err != nil || rest != "" && rest[0] != '/' {
					continue
				}
				name = home + rest
			}
			if !seen[name] { // once, for however many hosts
				seen[name] = true
				s.tree(name)
			}
		}
	}
	return s
}

// file takes in one file, which is watched by its directory.
func (s *sources) file(path string) {
	s.dir(filepath.Dir(path))
	s.stat(path, os.Lstat)
	s.stat(path, os.Stat) // it may be a link
}

// tree takes in a file, or a directory with all below it.
func (s *sources) tree(path string) {
	s.file(path)
	_ = filepath.WalkDir(path, func(path string, e fs.DirEntry, err error) error {
		if s.left--; s.left < 0 {
			return fs.SkipAll
		}
		if err == nil && e.IsDir() {
			s.dir(path)
		}
		s.stat(path, os.Lstat)
		return nil
	})
}

func (s *sources) dir(path string) {
	if len(s.dirs) < maxSourceDirs && !slices.Contains(s.dirs, path) {
		s.dirs = append(s.dirs, path)
	}
}

func (s *sources) stat(path string, stat func(string) (fs.FileInfo, error)) {
	info, err := stat(path)
	if err != nil {
		fmt.Fprintf(s, "%q absent\n", path)
		return
	}
	size, mtime := info.Size(), info.ModTime().UnixNano()
	if info.IsDir() {
		size, mtime = 0, 0 // its entries tell; others may come and go in it
	}
	var inode uint64
	var uid, gid uint32
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		inode, uid, gid = sys.Ino, sys.Uid, sys.Gid
	}
	fmt.Fprintf(s, "%q %v %d %d %d %d %d\n", path, info.Mode(), inode, uid, gid, size, mtime)
}
