package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/kprop/kprop/pkg/kdb/lmdb"
)

// fakeEnv names the directory of a stand-in for kdb5_util whose database is of
// LMDB, which Debian's does not know (reference kdb-lmdb.md 5.1, 5.3). It holds
//
//	database   its name
//	how        what a load comes to
//	calls      written: the arguments, a line for each call
//	waits      written when it waits to be killed
const fakeEnv = "KPROPD_TEST_FAKE"

// What a load comes to.
const (
	loadGood    = "good"    // another recorded database is in the files
	loadDeletes = "deletes" // it fails and deletes the database
	loadKilled  = "killed"  // it is killed before that
	loadTorn    = "torn"    // it is killed while it deletes
	loadWaits   = "waits"   // it has deleted the database and does not end
)

// fakeUtil is the stand-in. It ends the process.
func fakeUtil(args []string) error {
	dir := os.Getenv(fakeEnv)
	database, err := os.ReadFile(filepath.Join(dir, "database"))
	if err != nil {
		return err
	}
	how, err := os.ReadFile(filepath.Join(dir, "how"))
	if err != nil {
		return err
	}
	calls, err := os.OpenFile(filepath.Join(dir, "calls"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	fmt.Fprintln(calls, strings.Join(args, " "))
	if len(args) != 4 || args[0] != "-r" || args[2] != "load" {
		return fmt.Errorf("arguments %q", args)
	}
	if err := fakeLoad(string(database), string(how), args[3], dir); err != nil {
		return err
	}
	os.Exit(0)
	return nil
}

func fakeLoad(d, how, dump, dir string) error {
	switch how {
	case loadGood:
		return replaceContents(d, dump)
	case loadKilled:
		return killSelf()
	case loadTorn:
		if err := zero(lmdb.Files(d)[0], 1); err != nil {
			return err
		}
		return killSelf()
	case loadDeletes, loadWaits:
		for _, path := range lmdb.Files(d) {
			if err := errors.Join(zero(path, -1), os.Remove(path)); err != nil {
				return err
			}
			_ = os.Remove(path + "-lock")
		}
		if how == loadDeletes {
			return errors.New("kdb5_util: LMDB write failure (path: " + lmdb.Files(d)[0] + "): MDB_MAP_FULL: Environment mapsize limit reached")
		}
		if err := os.WriteFile(filepath.Join(dir, "waits"), nil, 0o600); err != nil {
			return err
		}
		select {}
	}
	return fmt.Errorf("how: %q", how)
}

func killSelf() error {
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		return err
	}
	select {}
}

// zero fills the first blocks of a file with zeros, all if there are less than
// that, or blocks is negative.
func zero(path string, blocks int) error {
	const block = 8192 // BUFSIZ
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	for at := int64(0); at < st.Size() && blocks != 0; at += block {
		if _, err := f.WriteAt(make([]byte, min(block, st.Size()-at)), at); err != nil {
			return err
		}
		blocks--
	}
	return nil
}

// recorded are the databases that MIT's kdb5_util has loaded, and their dumps.
var recorded = map[string]string{"loaded": "../kdb/dump.v7", "changed": "changed.dump"}

// replaceContents puts the recorded database of which the dump is into the files.
func replaceContents(d, dump string) error {
	want, err := os.ReadFile(dump)
	if err != nil {
		return err
	}
	for name, file := range recorded {
		text, err := os.ReadFile(lmdbVector(file))
		if err != nil {
			return err
		}
		if !bytes.Equal(text, want) {
			continue
		}
		for i, path := range lmdb.Files(d) {
			content, err := os.ReadFile(lmdbVector(filepath.Base(lmdb.Files(name)[i])))
			if err != nil {
				return err
			}
			if err := os.WriteFile(path, content, 0o600); err != nil {
				return err
			}
		}
		return nil
	}
	return errors.New("no database was recorded of that dump")
}

// vectorEnv is where the recorded databases are.
const vectorEnv = "KPROPD_TEST_VECTORS"

func lmdbVector(name string) string {
	dir := os.Getenv(vectorEnv)
	if dir == "" {
		dir = filepath.Join("..", "..", "testdata", "kdb-lmdb")
	}
	return filepath.Join(dir, name)
}
