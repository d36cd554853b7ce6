package statuspage

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"slices"
)

// shrink makes a PNG of 256 colours: enough for flat areas and letters, and a
// third of the size.
func shrink(picture []byte) ([]byte, error) {
	img, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		return nil, err
	}
	paletted := image.NewPaletted(img.Bounds(), palette(img))
	draw.Draw(paletted, img.Bounds(), img, img.Bounds().Min, draw.Src)
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, paletted)
	return out.Bytes(), err
}

// palette takes the most frequent colours that differ enough from those
// already taken.
func palette(img image.Image) color.Palette {
	counts := map[color.RGBA]int{}
	for y := img.Bounds().Min.Y; y < img.Bounds().Max.Y; y++ {
		for x := img.Bounds().Min.X; x < img.Bounds().Max.X; x++ {
			counts[color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)]++
		}
	}
	colours := make([]color.RGBA, 0, len(counts))
	for c := range counts {
		colours = append(colours, c)
	}
	slices.SortFunc(colours, func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	var taken color.Palette
	for apart := 8; len(taken) < 256 && apart >= 0; apart -= 4 {
		for _, c := range colours {
			if len(taken) < 256 && !near(taken, c, apart) {
				taken = append(taken, c)
			}
		}
	}
	return taken
}

func near(taken color.Palette, c color.RGBA, apart int) bool {
	return slices.ContainsFunc(taken, func(t color.Color) bool {
		o := t.(color.RGBA)
		return max(distance(c.R, o.R), distance(c.G, o.G), distance(c.B, o.B)) <= apart
	})
}

func distance(a, b uint8) int { return max(int(a)-int(b), int(b)-int(a)) }
