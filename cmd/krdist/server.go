package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/kprop/kprop/internal/osutil"
)

// oldRdist is the rdist from before version 6 that -Server runs; a build with
// -ldflags "-X main.oldRdist=" has none.
var oldRdist = "/usr/bin/oldrdist"

// wantsOldServer reports whether -Server stands anywhere: that is how old
// versions start the other side.
func wantsOldServer(args []string) bool { return slices.Contains(args, "-Server") }

// oldServer replaces this process by the old rdist. It returns only if that
// could not be.
func oldServer() error {
	if oldRdist == "" {
		return fmt.Errorf("Old rdist not available.")
	}
	err := syscall.Exec(oldRdist, []string{filepath.Base(oldRdist), "-Server"}, os.Environ())
	return fmt.Errorf("Exec old rdist failed: %s: %s.", oldRdist, osutil.Reason(err))
}
