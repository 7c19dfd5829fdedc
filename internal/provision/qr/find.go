package qr

import (
	"cmp"
	"context"
	"fmt"
	"image"
	"slices"
)

// smallest is how many pixels wide the smallest code (21 modules) is at two thirds of a pixel each.
const smallest = 14

// Find finds the QR codes in a picture of the screen or of paper, and reads them: dark on light and light
// on dark, however turned, of any size that their modules take two pixels in. Codes come in the order of
// reading, from above and from the left, each once; what cannot be read is left out, so that there may be
// none. Its errors wrap ErrTooLarge or what ctx said.
func Find(ctx context.Context, img image.Image) ([]Code, error) {
	size := img.Bounds().Size()
	if size.X < smallest || size.Y < smallest {
		return nil, nil
	}
	if int64(size.X) > maxPixels/int64(size.Y) {
		return nil, ErrTooLarge
	}
	var f search
	g, clear := greyOf(img, 255)
	err := f.sizes(ctx, g)
	if err == nil && clear {
		g, _ = greyOf(img, 0)
		err = f.sizes(ctx, g)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot look for QR codes: %w", err)
	}
	codes := make([]Code, len(f.found))
	for i, found := range f.found {
		codes[i] = Code{Text: found.text, Bounds: found.bounds().Add(img.Bounds().Min).Intersect(img.Bounds())}
	}
	order(codes)
	return codes, nil
}

// search is the codes found so far, in the whole picture's pixels.
type search struct {
	found []placed
}

// placed is a code with its corners, from the upper left one on around it.
type placed struct {
	text    []byte
	corners [4]point
}

// sizes looks for codes in a picture, and in it at half the size and so on, for whose thresholds large
// codes are too large.
func (s *search) sizes(ctx context.Context, g *grey) error {
	pyramid := []*grey{g}
	for g := g; g.w >= 2*smallest && g.h >= 2*smallest; {
		g = g.half()
		pyramid = append(pyramid, g)
	}
	for i, g := range pyramid {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.size(ctx, g, pyramid[i:]); err != nil {
			return err
		}
	}
	return nil
}

// covers reports whether a place in the picture is inside a code that was found.
func (s *search) covers(p point) bool {
	return slices.ContainsFunc(s.found, func(c placed) bool {
		for i, a := range c.corners {
			b := c.corners[(i+1)%4]
			if b.sub(a).cross(p.sub(a)) < 0 {
				return false
			}
		}
		return true
	})
}

func (c placed) bounds() image.Rectangle {
	r := image.Rectangle{}
	for i, p := range c.corners {
		// To whole pixels, from a tenth of one on.
		q := image.Rect(int(p.x+0.1), int(p.y+0.1), int(p.x+0.9), int(p.y+0.9))
		if i == 0 {
			r = q
			continue
		}
		r.Min.X, r.Min.Y = min(r.Min.X, q.Min.X), min(r.Min.Y, q.Min.Y)
		r.Max.X, r.Max.Y = max(r.Max.X, q.Max.X), max(r.Max.Y, q.Max.Y)
	}
	return r
}

// order sorts codes into lines, from above, and each line from the left. What begins above the middle of
// a line's first is in that line.
func order(codes []Code) {
	slices.SortFunc(codes, func(a, b Code) int {
		return cmp.Or(cmp.Compare(a.Bounds.Min.Y, b.Bounds.Min.Y), cmp.Compare(a.Bounds.Min.X, b.Bounds.Min.X))
	})
	for from := 0; from < len(codes); {
		middle := (codes[from].Bounds.Min.Y + codes[from].Bounds.Max.Y) / 2
		to := from + 1
		for to < len(codes) && codes[to].Bounds.Min.Y < middle {
			to++
		}
		slices.SortStableFunc(codes[from:to], func(a, b Code) int { return cmp.Compare(a.Bounds.Min.X, b.Bounds.Min.X) })
		from = to
	}
}
