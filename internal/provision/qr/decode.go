package qr

import (
	"cmp"
	"context"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode/decoder"
	"github.com/makiuchi-d/gozxing/qrcode/detector"
)

type point struct{ x, y float64 }

func (p point) add(q point) point     { return point{p.x + q.x, p.y + q.y} }
func (p point) sub(q point) point     { return point{p.x - q.x, p.y - q.y} }
func (p point) times(f float64) point { return point{p.x * f, p.y * f} }
func (p point) cross(q point) float64 { return p.x*q.y - p.y*q.x }
func (p point) dot(q point) float64   { return p.x*q.x + p.y*q.y }
func (p point) length() float64       { return math.Sqrt(p.dot(p)) }
func (f finder) point() point         { return point{f.x, f.y} }
func likeness(a, b float64) float64   { return max(a, b)/min(a, b) - 1 }

// triple is three finder patterns that stand as those of a code do, by their number.
type triple struct {
	corner, right, below int
	odd                  float64 // how far from how they should stand
}

// Bounds of a code's size in modules, and of what is tried in a picture of each size.
const (
	minDim     = 21
	maxDim     = 177
	maxTriples = 2000
	maxTries   = 200
)

// size looks for the codes whose finder patterns are seen in g. pyramid is g and what is smaller.
func (s *search) size(ctx context.Context, g *grey, pyramid []*grey) error {
	finders := slices.DeleteFunc(g.finders(), func(f finder) bool { return s.covers(f.point().times(g.step)) })
	tries := 0
	for _, t := range triples(finders) {
		if err := ctx.Err(); err != nil {
			return err
		}
		fs := [3]finder{finders[t.corner], finders[t.right], finders[t.below]}
		if slices.ContainsFunc(fs[:], func(f finder) bool { return s.covers(f.point().times(g.step)) }) {
			continue
		}
		c, likely := g.read(fs, pyramid)
		if c != nil {
			s.found = append(s.found, *c)
		}
		if likely && c == nil {
			if tries++; tries == maxTries {
				break
			}
		}
	}
	return nil
}

// triples gives those that could be a code's, the likeliest first.
func triples(finders []finder) (all []triple) {
	for i, a := range finders {
		var near []int
		for j, b := range finders {
			if j != i && match(a, b) {
				near = append(near, j)
			}
		}
		for _, j := range near {
			b := finders[j]
			right := b.point().sub(a.point())
			for _, k := range near {
				c := finders[k]
				below := c.point().sub(a.point())
				if right.cross(below) <= 0 {
					continue
				}
				l, m := right.length(), below.length()
				if max(l, m) > 1.4*min(l, m) || math.Abs(right.dot(below)) > 0.3*l*m {
					continue
				}
				odd := likeness(l, m) + math.Abs(right.dot(below))/(l*m) + (likeness(a.module, b.module)+likeness(a.module, c.module))/4
				all = append(all, triple{i, j, k, odd})
			}
		}
	}
	slices.SortFunc(all, func(a, b triple) int {
		if a.odd != b.odd {
			return cmp.Compare(a.odd, b.odd)
		}
		return cmp.Or(a.corner-b.corner, a.right-b.right, a.below-b.below)
	})
	return all[:min(len(all), maxTriples)]
}

// match reports whether two finder patterns may be of one code.
func match(a, b finder) bool {
	if a.light != b.light || max(a.module, b.module) > 1.5*min(a.module, b.module) {
		return false
	}
	distance, module := b.point().sub(a.point()).length(), (a.module+b.module)/2
	return distance > 9*module && distance < 1.5*maxDim*module
}

// read reads the code between three finder patterns. likely says whether one seems to be there.
func (g *grey) read(fs [3]finder, pyramid []*grey) (c *placed, likely bool) {
	corner := fs[0].point()
	right, below := fs[1].point().sub(corner), fs[2].point().sub(corner)
	// A turned pattern is longer along rows and columns.
	long := right.length() / max(math.Abs(right.x), math.Abs(right.y))
	module := (fs[0].module + fs[1].module + fs[2].module) / 3 / long
	about := (right.length()+below.length())/2/module + 7
	for _, f := range fs {
		if !g.square(f, right.times(module/right.length()), below.times(module/below.length())) {
			return nil, false
		}
	}

	// Where modules are large, smaller pictures have them more evenly.
	from := g
	for _, p := range pyramid {
		if module*g.step/p.step >= 3 {
			from = p
		}
	}
	scale := g.step / from.step
	grid := grid{g: from, corner: corner.times(scale), right: right.times(scale), below: below.times(scale), light: fs[0].light}
	dims := dimensions(about)
	timing := map[int]float64{}
	for _, dim := range dims {
		timing[dim] = grid.of(dim).timing()
	}
	slices.SortStableFunc(dims, func(a, b int) int { return cmp.Compare(timing[b], timing[a]) })
	for _, dim := range dims {
		if timing[dim] < 0.7 {
			break
		}
		likely = true
		grid := grid.of(dim)
		text := grid.text()
		if text == nil {
			continue
		}
		grid.corner, grid.right, grid.below = corner.times(g.step), right.times(g.step), below.times(g.step)
		return &placed{text, grid.corners()}, true
	}
	return nil, likely
}

// square reports whether a finder pattern is one as a whole, whose modules are so far apart.
func (g *grey) square(f finder, right, below point) bool {
	var seen [7][7]float64
	dark, light := 0.0, 0.0
	for j := range seen {
		for i := range seen[j] {
			p := f.point().add(right.times(float64(i - 3))).add(below.times(float64(j - 3)))
			seen[j][i] = g.at(p.x, p.y)
			if f.light {
				seen[j][i] = 255 - seen[j][i]
			}
			if ring(i, j) == 2 {
				light += seen[j][i] / 16
			} else {
				dark += seen[j][i] / 33
			}
		}
	}
	good := 0
	for j := range seen {
		for i := range seen[j] {
			if seen[j][i] > (dark+light)/2 == (ring(i, j) == 2) {
				good++
			}
		}
	}
	return good >= 42
}

// ring is how far a finder pattern's module is from its middle.
func ring(i, j int) int { return max(i-3, 3-i, j-3, 3-j) }

// dimensions are the numbers of modules that a code may have which seems to have so many.
func dimensions(about float64) (dims []int) {
	version := int(math.Round((about - 17) / 4))
	slack := 1 + version/8
	for v := max(version-slack, 1); v <= min(version+slack, 40); v++ {
		dims = append(dims, 17+4*v)
	}
	return dims
}

// grid is where a code's modules are.
type grid struct {
	g            *grey
	corner       point // the middle of the upper left finder pattern
	right, below point // from there to the others
	dim          int
	light        bool
	level        float64 // the brightness between dark and light
}

// of is the grid with so many modules.
func (g grid) of(dim int) grid {
	g.dim = dim
	dark, light := 0.0, 0.0
	for _, at := range [][2]int{{0, 0}, {dim - 7, 0}, {0, dim - 7}} {
		for i := 1; i < 6; i++ {
			dark += g.at(at[0]+i, at[1]) + g.at(at[0], at[1]+i)
			light += g.at(at[0]+i, at[1]+1) + g.at(at[0]+1, at[1]+i)
		}
	}
	g.level = (dark + light) / 60
	return g
}

// place is where a module's upper left corner plus so much of it is.
func (g grid) place(x, y float64) point {
	n := float64(g.dim - 7)
	return g.corner.add(g.right.times((x - 3.5) / n)).add(g.below.times((y - 3.5) / n))
}

// at is the module's brightness, as if the code was dark on light.
func (g grid) at(x, y int) float64 {
	p := g.place(float64(x)+0.5, float64(y)+0.5)
	v := g.g.at(p.x, p.y)
	if g.light {
		v = 255 - v
	}
	return v
}

func (g grid) corners() [4]point {
	n := float64(g.dim)
	return [4]point{g.place(0, 0), g.place(n, 0), g.place(n, n), g.place(0, n)}
}

// timing is the part of the two timing patterns that is as it should be (ISO/IEC 18004, 6.3.5).
func (g grid) timing() float64 {
	good, n := 0, 0
	for i := 8; i < g.dim-8; i++ {
		for _, v := range []float64{g.at(i, 6), g.at(6, i)} {
			if v < g.level == (i%2 == 0) {
				good++
			}
			n++
		}
	}
	return float64(good) / float64(n)
}

// text reads the code by several ways to tell dark from light and to find its modules; nil: it cannot be
// read.
func (g grid) text() []byte {
	bits := make([][]float64, g.dim)
	for y := range bits {
		bits[y] = make([]float64, g.dim)
		for x := range bits[y] {
			bits[y][x] = g.at(x, y)
		}
	}
	if text := decodeBits(g.dim, func(x, y int) bool { return bits[y][x] < g.level }); text != nil {
		return text
	}
	if text := decodeBits(g.dim, func(x, y int) bool { return bits[y][x] < around(bits, x, y) }); text != nil {
		return text
	}
	return g.perspective()
}

// around is the brightness between the darkest and the lightest module near one.
func around(bits [][]float64, x, y int) float64 {
	const near = 4
	low, high := 255.0, 0.0
	for _, row := range bits[max(y-near, 0):min(y+near+1, len(bits))] {
		for _, v := range row[max(x-near, 0):min(x+near+1, len(row))] {
			low, high = min(low, v), max(high, v)
		}
	}
	return (low + high) / 2
}

// perspective reads a code that is not square, by its alignment pattern.
func (g grid) perspective() []byte {
	const scale, margin = 4, 6
	size := scale * (g.dim + 2*margin)
	m, err := gozxing.NewBitMatrix(size, size)
	if err != nil {
		return nil
	}
	for y := range size {
		for x := range size {
			p := g.place((float64(x)+0.5)/scale-margin, (float64(y)+0.5)/scale-margin)
			if v := g.g.at(p.x, p.y); g.light && v > 255-g.level || !g.light && v < g.level {
				m.Set(x, y)
			}
		}
	}
	at := func(x, y int) *detector.FinderPattern {
		return detector.NewFinderPattern1(float64(scale*(x+margin))+2, float64(scale*(y+margin))+2, scale)
	}
	return guard(func() []byte {
		info := detector.NewFinderPatternInfo(at(3, g.dim-4), at(3, 3), at(g.dim-4, 3))
		r, err := detector.NewDetector(m).ProcessFinderPatternInfo(info)
		if err != nil {
			return nil
		}
		return decodeMatrix(r.GetBits())
	})
}

// decodeBits reads a code by which of its modules are dark.
func decodeBits(dim int, dark func(x, y int) bool) []byte {
	m, err := gozxing.NewSquareBitMatrix(dim)
	if err != nil {
		return nil
	}
	for y := range dim {
		for x := range dim {
			if dark(x, y) {
				m.Set(x, y)
			}
		}
	}
	return guard(func() []byte { return decodeMatrix(m) })
}

// decodeMatrix gives the bytes of a code as they are in it, where these are UTF-8 as a whole, and
// otherwise what gozxing makes of them.
func decodeMatrix(m *gozxing.BitMatrix) []byte {
	again, err := gozxing.NewSquareBitMatrix(m.GetWidth()) // as Decode changes m
	if err == nil {
		err = again.Xor(m)
	}
	if err != nil {
		return nil
	}
	// As ISO 8859-1 every byte is the character of its number.
	r, err := decoder.NewDecoder().Decode(m, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_CHARACTER_SET: "ISO-8859-1"})
	if err != nil {
		return nil
	}
	text := []byte{}
	for _, c := range r.GetText() {
		text = append(text, byte(c))
		if c > 255 {
			text = []byte{0xff} // as is no UTF-8
			break
		}
	}
	if utf8.Valid(text) {
		return text
	}
	if r, err = decoder.NewDecoder().DecodeWithoutHint(again); err != nil {
		return nil
	}
	return []byte(r.GetText())
}

// guard runs f, which may panic on what is no code: gozxing indexes by what it reads.
func guard(f func() []byte) (text []byte) {
	defer func() {
		if recover() != nil {
			text = nil
		}
	}()
	return f()
}
