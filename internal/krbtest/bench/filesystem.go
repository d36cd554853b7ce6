package main

import (
	"fmt"
	"os"
	"strings"
)

// fileSystem names the type of the file system that a path is on.
func fileSystem(path string) string {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "unknown file system"
	}
	point, name := "", "unknown file system"
	for _, line := range strings.Split(string(mounts), "\n") {
		f := strings.Fields(line)
		if len(f) < 3 || len(f[1]) < len(point) {
			continue
		}
		if f[1] == "/" || path == f[1] || strings.HasPrefix(path, f[1]+"/") {
			point, name = f[1], f[2]
		}
	}
	return fmt.Sprintf("files on %s", name)
}
