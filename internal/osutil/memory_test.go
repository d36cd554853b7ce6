package osutil

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestAvailableMemory(t *testing.T) {
	total, ok := field("/proc/meminfo", "MemTotal:")
	if got := AvailableMemory(); !ok || got <= 0 || got > total<<10 {
		t.Errorf("%d bytes of %d KiB", got, total)
	}
}

// TestMachineRoomHidden: a unit may hide the file.
func TestMachineRoomHidden(t *testing.T) {
	total, _ := field("/proc/meminfo", "MemTotal:")
	if got := machineRoom("/nonexistent"); got <= 0 || got > total<<10 {
		t.Errorf("%d bytes of %d KiB", got, total)
	}
}

func TestGroupRoom(t *testing.T) {
	root := t.TempDir()
	write := func(group, limit, stat string) {
		dir := filepath.Join(root, group)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"memory.max": limit, "memory.stat": stat} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("system", "1000", "anon 300\nfile 700")
	write("system/kprop", "max", "anon 10")
	write("system/small", "100", "file 5\nanon 40")
	write("system/full", "100", "anon 140")
	for path, want := range map[string]int64{
		"/system/kprop": 700,
		"/system/small": 60,
		"/system/full":  0,
		"/other":        math.MaxInt64,
		"/":             math.MaxInt64,
	} {
		if got := groupRoom(root, path); got != want {
			t.Errorf("%s has room for %d, want %d", path, got, want)
		}
	}
}
