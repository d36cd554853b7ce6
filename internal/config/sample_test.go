package config

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

const (
	samplePath = "../../configs/kprop.yaml"
	manPath    = "../../docs/man/kprop.yaml.5"
)

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSampleAsItIs(t *testing.T) {
	c, err := Load(samplePath)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(c.Realms[0].Replicas); got != 2 {
		t.Errorf("%d replicas, want 2", got)
	}
}

// sampleBlocks gives the sample's keys, with the # in front of them taken off,
// as pieces that each begin with a key of the top level. Prose has a blank
// behind its first #.
func sampleBlocks(t *testing.T) []string {
	t.Helper()
	var blocks []string
	code := regexp.MustCompile(`^#?( *(- )?[a-z_0-9]+:(?: .*)?|  +- .*)$`)
	for line := range strings.Lines(readFile(t, samplePath)) {
		found := code.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		switch {
		case found == nil:
		case found[1][0] != ' ':
			blocks = append(blocks, found[1]+"\n")
		case len(blocks) > 0:
			blocks[len(blocks)-1] += found[1] + "\n"
		}
	}
	if len(blocks) < 20 {
		t.Fatalf("only %d keys are found in the sample", len(blocks))
	}
	return blocks
}

// TestSampleUncommented takes each commented key as an administrator would who
// removes the # in front, and checks the defaults that the sample tells.
func TestSampleUncommented(t *testing.T) {
	standard, err := Parse("x", []byte(Example))
	if err != nil {
		t.Fatal(err)
	}
	var plain strings.Builder
	if err := standard.Show(&plain); err != nil {
		t.Fatal(err)
	}
	examples := []string{"replicas", "realms", "realm", "keytab", "dump", "database", "kdb5_util", "files", "files_port", "listen", "hooks"}
	for i, block := range sampleBlocks(t) {
		key, _, _ := strings.Cut(block, ":")
		text := block
		if key != "replicas" && key != "realms" {
			text += Example
		}
		c, err := Parse("x", []byte(text))
		if err != nil {
			t.Errorf("%v\n%s", err, text)
			continue
		}
		var shown strings.Builder
		if err := c.Show(&shown); err != nil {
			t.Fatal(err)
		}
		// The first is the list that is not commented out.
		wantDefault := i == 0 || !slices.Contains(examples, key)
		if isDefault := shown.String() == plain.String(); isDefault != wantDefault {
			t.Errorf("is what the sample says of %s the default? %v, want %v\n%s", key, isDefault, wantDefault, block)
		}
	}
}

// TestSampleAtOnce takes all that can stand together.
func TestSampleAtOnce(t *testing.T) {
	blocks := map[string]string{} // of two with the same key the second, which is the longer
	for _, block := range sampleBlocks(t) {
		key, _, _ := strings.Cut(block, ":")
		blocks[key] = block
	}
	var single, several strings.Builder
	for key, block := range blocks {
		if key != "realms" {
			single.WriteString(block)
		}
		if !slices.Contains(realmIdentity, key) {
			several.WriteString(block)
		}
	}
	for _, text := range []string{single.String(), several.String()} {
		if _, err := Parse("x", []byte(text)); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
}

// TestEveryKeyIsDocumented looks for each key in the section of the sample
// where it belongs, and in the manual page.
func TestEveryKeyIsDocumented(t *testing.T) {
	seen := map[string]bool{}
	for _, block := range sampleBlocks(t) {
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(block), &doc); err != nil {
			t.Fatalf("%v\n%s", err, block)
		}
		collect(doc.Content[0], "", seen)
	}
	man := readFile(t, manPath)
	for prefix, s := range map[string]section{
		"": topLevel, "replicas[].": replicaSection, "retry.": retrySection, "listen.": listenSection,
		"hooks.": hooksSection, "hooks.failure.": failureSection, "hooks.recovery.": hookSection, "hooks.success.": hookSection,
	} {
		for _, key := range s.keys {
			if !seen[prefix+key] {
				t.Errorf("%s has no %s%s", samplePath, prefix, key)
			}
			if !regexp.MustCompile(`(?m)^\.I[ct] (Ic )?(\w+ , )*` + key + `( ,)?$`).MatchString(man) {
				t.Errorf("%s has no %s", manPath, key)
			}
		}
	}
}

// collect notes the keys of n with those above them.
func collect(n *yaml.Node, path string, seen map[string]bool) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := path + n.Content[i].Value
			seen[key] = true
			collect(n.Content[i+1], key+".", seen)
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			collect(item, strings.TrimSuffix(path, ".")+"[].", seen)
		}
	}
}

// TestManualTellsRanges holds the ranges in the manual page to those in force,
// as the messages tell them.
func TestManualTellsRanges(t *testing.T) {
	man := strings.Join(strings.Fields(readFile(t, manPath)), " ")
	for key, bad := range map[string]string{
		"settle": "-1s", "min_interval": "-1s", "refresh": "-1s", "idle_timeout": "-1s",
		"parallel": "-1", "history": "-1",
		"initial": "retry: {initial: -1s}", "factor": "retry: {factor: -1}", "jitter": "retry: {jitter: -1}",
		"after": "hooks: {failure: {after: -1, command: [/x]}}", "timeout": "hooks: {timeout: -1s}",
	} {
		text := bad
		if !strings.Contains(bad, ":") {
			text = key + ": " + bad
		}
		_, err := Parse("x", []byte(Example+"\n"+text))
		if err == nil {
			t.Fatalf("%s is accepted", text)
		}
		found := regexp.MustCompile(`from (\S+) to ([^,)]+)`).FindStringSubmatch(err.Error())
		if found == nil {
			t.Fatalf("no range in %v", err)
		}
		if want := found[1] + " to " + found[2]; !strings.Contains(man, want) {
			t.Errorf("%s: the manual page does not tell the range %s", key, want)
		}
	}
}
