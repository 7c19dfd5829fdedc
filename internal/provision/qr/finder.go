package qr

import (
	"math"
	"runtime"
	"slices"
)

// finder is a finder pattern (ISO/IEC 18004, 6.3.3), one of the three squares in a code's corners, by the
// pixels of the grey picture that it was seen in.
type finder struct {
	x, y   float64 // its middle
	module float64 // a seventh of the way through it along a row or a column
	light  bool    // light on dark
	hits   int     // how many rows it was seen in
}

// maxFinders bounds how many are looked at in a picture of each size, which is more than a page of codes has.
const maxFinders = 300

// finders finds what looks like a finder pattern along a row and a column.
func (g *grey) finders() []finder {
	g.threshold()
	parts := make([][]finder, runtime.GOMAXPROCS(0))
	split((g.h+block-1)/block, func(part, from, to int) {
		var found []finder
		for y := from * block; y < min(to*block, g.h); y++ {
			found = g.finderRow(found, y)
		}
		parts[part] = found
	})
	var all []finder
	for _, part := range parts {
		for _, f := range part {
			all = merge(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b finder) int { return b.hits - a.hits })
	return all[:min(len(all), maxFinders)]
}

// finderRow adds what it finds in the row to found.
func (g *grey) finderRow(found []finder, y int) []finder {
	row := g.pix[y*g.w : (y+1)*g.w]
	thr := g.thr[y/block*g.bw:][:g.bw]
	var e [6]int // where the last runs of dark or light pixels began
	edges := 0
	dark := false
	for bx, t := range thr {
		x0 := bx * block
		for i, p := range row[x0:min(x0+block, g.w)] {
			if (p < t) == dark {
				continue
			}
			dark = !dark
			e[0], e[1], e[2], e[3], e[4], e[5] = e[1], e[2], e[3], e[4], e[5], x0+i
			if edges++; edges < 6 || !roughly(e) {
				continue
			}
			if f, ok := g.confirm((e[2]+e[3])/2, y, e[5]-e[0], dark); ok {
				found = merge(found, f)
			}
		}
	}
	if edges >= 5 { // a pattern at the edge
		e[0], e[1], e[2], e[3], e[4], e[5] = e[1], e[2], e[3], e[4], e[5], g.w
		if roughly(e) {
			if f, ok := g.confirm((e[2]+e[3])/2, y, e[5]-e[0], !dark); ok {
				found = merge(found, f)
			}
		}
	}
	return found
}

// roughly reports whether five runs of whole pixels may be as 1:1:3:1:1.
func roughly(e [6]int) bool {
	total := e[5] - e[0]
	if total < 7 {
		return false
	}
	// In 14ths of a module: twice the run's pixels, times seven.
	out := func(run, modules int) bool {
		d := 14*run - 2*modules*total
		return max(d, -d) > modules*total+14
	}
	return !out(e[3]-e[2], 3) && !out(e[1]-e[0], 1) && !out(e[2]-e[1], 1) && !out(e[4]-e[3], 1) && !out(e[5]-e[4], 1)
}

// confirm looks at the column and the row of a pattern that is about so wide, by parts of pixels.
func (g *grey) confirm(x, y, about int, light bool) (f finder, ok bool) {
	fy, _, ok := g.cross(x, y, 0, 1, about, light)
	if !ok {
		return f, false
	}
	y = int(fy)
	fx, width, ok := g.cross(x, y, 1, 0, about, light)
	if !ok {
		return f, false
	}
	fy, height, ok := g.cross(int(fx), y, 0, 1, about, light)
	if !ok || max(width, height) > 1.5*min(width, height) {
		return f, false
	}
	return finder{x: fx, y: fy, module: (width + height) / 14, light: light, hits: 1}, true
}

// cross measures the pattern through the pixel along a row (dx) or a column (dy): where its middle is
// and how wide it is, which is about so much.
func (g *grey) cross(x, y, dx, dy, about int, light bool) (middle, width float64, ok bool) {
	start, end, stride := x, g.w, 1
	pix := g.pix[y*g.w:]
	if dy != 0 {
		start, end, stride = y, g.h, g.w
		pix = g.pix[x:]
	}
	flip := 0
	if light {
		flip = 255
	}
	at := func(i int) int { return flip ^ int(pix[i*stride]) } // as if the pattern was dark on light
	level := flip ^ int(g.thr[y/block*g.bw+x/block])
	if at(start) >= level {
		return 0, 0, false
	}
	dark, white := at(start), 0
	// edges walks out from the middle through three runs.
	edges := func(step int) (e [3]float64, ok bool) {
		i, n := start, 0
		for run := range e {
			for want := run == 1; ; i += step {
				if i < 0 || i >= end {
					if run < 2 {
						return e, false
					}
					e[run] = float64(max(i, 0))
					return e, true
				}
				v := at(i)
				if (v >= level) != want {
					break
				}
				if n++; n > 2*about {
					return e, false
				}
				if want {
					white = max(white, v)
				} else {
					dark = min(dark, v)
				}
			}
			a, b := at(i-step), at(i)
			part := float64(a-level) / float64(a-b)
			e[run] = float64(i-step) + 0.5 + part*float64(step)
		}
		return e, true
	}
	// Once to see how dark and how light it is, and again to measure at the brightness between these.
	for step := range 2 {
		if _, ok = edges(2*step - 1); !ok {
			return 0, 0, false
		}
	}
	level = (dark + white + 1) / 2
	before, ok := edges(-1)
	if !ok {
		return 0, 0, false
	}
	after, ok := edges(1)
	if !ok {
		return 0, 0, false
	}
	m := (after[2] - before[2]) / 7
	fits := func(run, modules, slack float64) bool { return math.Abs(run-modules*m) <= slack*m }
	ok = fits(after[0]-before[0], 3, 1.2) && fits(before[0]-before[1], 1, 0.7) && fits(before[1]-before[2], 1, 0.7) &&
		fits(after[1]-after[0], 1, 0.7) && fits(after[2]-after[1], 1, 0.7)
	return (before[0] + after[0]) / 2, 7 * m, ok
}

// merge adds f to those found, into one where it is the same.
func merge(found []finder, f finder) []finder {
	for i := len(found) - 1; i >= max(0, len(found)-maxFinders); i-- {
		o := &found[i]
		if o.light != f.light || math.Abs(o.x-f.x) > 1.5*o.module || math.Abs(o.y-f.y) > 1.5*o.module ||
			max(o.module, f.module) > 1.6*min(o.module, f.module) {
			continue
		}
		a, b := float64(o.hits), float64(f.hits)
		o.x, o.y, o.module = (a*o.x+b*f.x)/(a+b), (a*o.y+b*f.y)/(a+b), (a*o.module+b*f.module)/(a+b)
		o.hits += f.hits
		return found
	}
	return append(found, f)
}
