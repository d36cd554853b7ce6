// Package buildinfo tells which build of a program is running.
package buildinfo

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Text is what --version prints: the program's name, the module's version, the
// commit if the build knows it, and the Go release.
func Text(program string) string {
	version, commit := "unknown", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && len(s.Value) >= 12:
				commit = ", commit " + s.Value[:12]
			case s.Key == "vcs.modified" && s.Value == "true":
				commit += " with changes"
			}
		}
	}
	return fmt.Sprintf("%s %s%s, %s %s/%s", program, version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
