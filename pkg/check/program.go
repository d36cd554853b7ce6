package check

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kprop/kprop/pkg/profile"
	"github.com/kprop/kprop/pkg/transport"
)

// checkProgram looks for kdb5_util; an empty path is that of the installation.
// Where it is needed, one that is not there is a failure.
func checkProgram(path string, needed bool) []Item {
	layout := profile.DefaultLayout()
	if path == "" {
		path = layout.KDB5Util
	}
	err := executable(path)
	if err != nil {
		text := path + " cannot be run: " + transport.Message(err)
		remedy := []string{"apt-get install krb5-kdc    (Red Hat: dnf install krb5-server)", "or name the program with -p, or kdb5_util in kprop.yaml"}
		if needed {
			return failItem(text, remedy...)
		}
		return warnItem(text, remedy...)
	}
	if brand, lib := krb5Brand(path, layout); brand != "" {
		return okItem("%s, with the library of %s (%s)", path, brand, lib)
	}
	return okItem("%s is there", path)
}

func executable(path string) error {
	st, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case st.IsDir():
		return unix.EISDIR
	}
	return unix.Access(path, unix.X_OK)
}

// maxLibrary bounds the size of the library that is read, in bytes.
const maxLibrary = 16 << 20

// krb5Brand finds the release of MIT krb5 in its library. kdb5_util itself
// does not tell one, but the library carries a line for the "what" of old.
func krb5Brand(program string, l profile.Layout) (brand, library string) {
	prefix := filepath.Dir(filepath.Dir(program))
	for _, dir := range []string{l.LibDir, filepath.Join(prefix, "lib"), filepath.Join(prefix, "lib64"), "/usr/lib64"} {
		path := filepath.Join(dir, "libkrb5.so.3")
		st, err := os.Stat(path)
		if err != nil || st.Size() > maxLibrary {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if b := brandIn(data); b != "" {
			return b, path
		}
	}
	return "", ""
}

func brandIn(data []byte) string {
	_, rest, ok := bytes.Cut(data, []byte("KRB5_BRAND: "))
	if !ok {
		return ""
	}
	text, _, _ := bytes.Cut(rest[:min(len(rest), 128)], []byte{0})
	word, _, _ := strings.Cut(string(text), " ")
	return word
}

// checkDirectory makes sure that files can be made in the directory of a path.
func checkDirectory(path, what string) []Item {
	dir := filepath.Dir(path)
	st, err := os.Stat(dir)
	switch {
	case os.IsNotExist(err):
		return failItem(fmt.Sprintf("there is no directory %s, %s belongs there", dir, what), "install -d -m 700 "+dir)
	case err != nil:
		return failItem(dir+": "+transport.Message(err), "run it as root")
	case !st.IsDir():
		return failItem(dir+" is not a directory", "mv "+dir+" "+dir+".old; install -d -m 700 "+dir)
	}
	switch err := unix.Access(dir, unix.W_OK|unix.X_OK); err {
	case nil:
		return okItem("%s can be written", dir)
	case unix.EROFS:
		return failItem(dir+" is on a file system that is read-only", "findmnt -T "+dir, "mount -o remount,rw ...    (and look why: journalctl -k)",
			"systemctl cat kpropd    (ReadWritePaths= must have "+dir+")")
	default:
		return failItem("this user cannot write into "+dir+": "+transport.Message(err), "run it as root", "chmod u+rwx "+dir)
	}
}
