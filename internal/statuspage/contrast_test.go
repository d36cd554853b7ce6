package statuspage

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// palettes reads the colours of style.css: the light ones, and the dark ones.
func palettes(t *testing.T) map[string]map[string]string {
	t.Helper()
	blocks := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(styleCSS, -1)
	if len(blocks) != 2 {
		t.Fatalf("%d palettes", len(blocks))
	}
	all := map[string]map[string]string{}
	for i, name := range []string{"light", "dark"} {
		all[name] = map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z0-9-]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(blocks[i][1], -1) {
			all[name][m[1]] = m[2]
		}
	}
	return all
}

// luminance is that of WCAG 2.2 (relative luminance) for #rrggbb.
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(strings.TrimPrefix(colour, "#"), 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	linear := func(v uint64) float64 {
		s := float64(v&0xff) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(n>>16) + 0.7152*linear(n>>8) + 0.0722*linear(n)
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// TestContrast holds the palette to WCAG 2.2, level AA: 4.5 for text (1.4.3), 3
// for what else must be seen (1.4.11).
func TestContrast(t *testing.T) {
	const text, shape = 4.5, 3.0
	type pair struct {
		front, back string
		least       float64
	}
	pairs := []pair{
		{"text", "page", text}, {"text", "card", text}, {"text", "code", text}, {"page", "text", text},
		{"muted", "page", text}, {"muted", "card", text},
		{"text", "bad-tint", text}, {"text", "warn-tint", text}, {"muted", "bad-tint", text}, {"muted", "warn-tint", text},
		{"bad", "card", text}, {"warn", "page", text},
		{"busy", "idle-tint", shape}, {"busy", "card", shape}, {"good", "idle-tint", shape}, {"bad", "idle-tint", shape},
	}
	for _, hue := range []string{"good", "warn", "bad", "busy", "idle"} {
		pairs = append(pairs, pair{hue, hue + "-tint", text}, pair{hue, "card", shape}, pair{hue, "page", shape})
	}
	for _, stage := range []string{"0", "1", "2", "3", "4", "5", "6", "x"} {
		pairs = append(pairs, pair{"stage-" + stage, "card", shape})
	}
	for name, palette := range palettes(t) {
		for _, p := range pairs {
			front, back := palette[p.front], palette[p.back]
			if front == "" || back == "" {
				t.Errorf("%s: no colour %s or %s", name, p.front, p.back)
			} else if c := contrast(t, front, back); c < p.least {
				t.Errorf("%s: %s on %s: %.2f, want %.1f", name, p.front, p.back, c, p.least)
			}
		}
	}
	if c := contrast(t, "#000000", "#ffffff"); fmt.Sprintf("%.1f", c) != "21.0" {
		t.Errorf("black on white: %v", c)
	}
}

// TestPalette sees that all colours come from the palettes, and that the dark
// one is complete.
func TestPalette(t *testing.T) {
	all := palettes(t)
	for name := range all["light"] {
		if all["dark"][name] == "" {
			t.Errorf("no dark %s", name)
		}
	}
	_, rules, _ := strings.Cut(styleCSS, "* { box-sizing")
	if c := regexp.MustCompile(`#[0-9a-fA-F]{3,8}\b|rgba?\(|hsla?\(`).FindString(rules); c != "" {
		t.Errorf("%s is not in the palettes", c)
	}
	for _, m := range regexp.MustCompile(`var\(--([a-z0-9-]+)\)`).FindAllStringSubmatch(rules, -1) {
		if m[1] != "hue" && m[1] != "tint" && all["light"][m[1]] == "" {
			t.Errorf("no colour %s", m[1])
		}
	}
}
