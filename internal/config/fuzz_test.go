package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kprop/kprop/internal/config"
)

// FuzzParse: whatever the text, there is a configuration that survives being
// shown, or errors that keep their form.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(badFolder, "*.yaml"))
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds: ", err)
	}
	for _, file := range append(files, "../../configs/kprop.yaml") {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(everyKey))
	f.Add([]byte("realms: [{realm: A, replicas: [a]}, {realm: B, replicas: ['[::1]:1']}]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<16 {
			return
		}
		c, err := config.Parse("fuzz.yaml", text)
		if err != nil {
			checkErrors(t, err, "fuzz.yaml")
			return
		}
		sameAgain(t, c)
	})
}
