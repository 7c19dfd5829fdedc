package qr

import (
	"image"
	"image/color"
	"runtime"
	"sync"
)

// grey is a picture's brightness, and by which one of its dark pixels are told from its light ones.
type grey struct {
	pix  []byte
	w, h int
	// step is how many of the whole picture's pixels one of these is wide.
	step float64
	// thr is a threshold for each block of block x block pixels, bw of them a row.
	thr []byte
	bw  int
}

const (
	block = 8
	// reach is how many blocks around one its threshold is the mean of.
	reach = 1
)

// split does a part of n rows on each core.
func split(n int, f func(part, from, to int)) {
	var wg sync.WaitGroup
	parts := runtime.GOMAXPROCS(0)
	for i := range parts {
		wg.Go(func() { f(i, n*i/parts, n*(i+1)/parts) })
	}
	wg.Wait()
}

// greyOf is an image's brightness before a backdrop, and whether the backdrop shows through.
func greyOf(img image.Image, backdrop byte) (g *grey, clear bool) {
	b := img.Bounds()
	g = &grey{w: b.Dx(), h: b.Dy(), step: 1}
	g.pix = make([]byte, g.w*g.h)
	clears := make([]bool, runtime.GOMAXPROCS(0))
	split(g.h, func(part, from, to int) {
		for y := from; y < to; y++ {
			if greyRow(g.pix[y*g.w:(y+1)*g.w], img, b.Min.X, b.Min.Y+y, backdrop) {
				clears[part] = true
			}
		}
	})
	for _, c := range clears {
		clear = clear || c
	}
	return g, clear
}

func greyRow(row []byte, img image.Image, x0, y int, backdrop byte) (clear bool) {
	switch img := img.(type) {
	case *image.Gray:
		copy(row, img.Pix[img.PixOffset(x0, y):])
	case *image.YCbCr:
		copy(row, img.Y[img.YOffset(x0, y):])
	case *image.RGBA:
		p := img.Pix[img.PixOffset(x0, y):]
		p = p[:4*len(row)]
		for x := range row {
			q := p[4*x : 4*x+4 : 4*x+4]
			row[x] = luma(uint32(q[0]), uint32(q[1]), uint32(q[2]))
			if q[3] != 255 {
				clear = true
				row[x] = byte(min(255, uint32(row[x])+uint32(backdrop)*uint32(255-q[3])/255))
			}
		}
	case *image.NRGBA:
		p := img.Pix[img.PixOffset(x0, y):]
		p = p[:4*len(row)]
		for x := range row {
			q := p[4*x : 4*x+4 : 4*x+4]
			row[x] = luma(uint32(q[0]), uint32(q[1]), uint32(q[2]))
			if q[3] != 255 {
				clear = true
				row[x] = byte((uint32(row[x])*uint32(q[3]) + uint32(backdrop)*uint32(255-q[3])) / 255)
			}
		}
	case image.RGBA64Image:
		for x := range row {
			c := img.RGBA64At(x0+x, y)
			row[x] = luma(uint32(c.R>>8), uint32(c.G>>8), uint32(c.B>>8))
			if a := c.A >> 8; a != 255 {
				clear = true
				row[x] = byte(min(255, uint32(row[x])+uint32(backdrop)*uint32(255-a)/255))
			}
		}
	default:
		for x := range row {
			row[x] = color.GrayModel.Convert(img.At(x0+x, y)).(color.Gray).Y
		}
	}
	return clear
}

func luma(r, g, b uint32) byte { return byte((19595*r + 38470*g + 7471*b + 1<<15) >> 16) }

// half is g at half its size.
func (g *grey) half() *grey {
	h := &grey{w: g.w / 2, h: g.h / 2, step: 2 * g.step}
	h.pix = make([]byte, h.w*h.h)
	split(h.h, func(_, from, to int) {
		for y := from; y < to; y++ {
			a := g.pix[2*y*g.w:][:2*h.w]
			b := g.pix[(2*y+1)*g.w:][:2*h.w]
			row := h.pix[y*h.w:][:h.w]
			for x := range row {
				row[x] = byte((uint(a[2*x]) + uint(a[2*x+1]) + uint(b[2*x]) + uint(b[2*x+1]) + 2) / 4)
			}
		}
	})
	return h
}

// threshold fills thr.
func (g *grey) threshold() {
	g.bw = (g.w + block - 1) / block
	bh := (g.h + block - 1) / block
	mean := make([]byte, g.bw*bh)
	split(bh, func(_, from, to int) {
		sums := make([]uint32, g.bw)
		for by := from; by < to; by++ {
			clear(sums)
			y1 := min((by+1)*block, g.h)
			for y := by * block; y < y1; y++ {
				row := g.pix[y*g.w : (y+1)*g.w]
				whole := len(row) / block
				for i := range whole {
					p := row[i*block : i*block+block : i*block+block]
					sums[i] += uint32(p[0]) + uint32(p[1]) + uint32(p[2]) + uint32(p[3]) +
						uint32(p[4]) + uint32(p[5]) + uint32(p[6]) + uint32(p[7])
				}
				for _, p := range row[whole*block:] {
					sums[whole] += uint32(p)
				}
			}
			for i, sum := range sums {
				n := (min((i+1)*block, g.w) - i*block) * (y1 - by*block)
				mean[by*g.bw+i] = byte(sum / uint32(n))
			}
		}
	})
	g.thr = make([]byte, len(mean))
	split(bh, func(_, from, to int) {
		for by := from; by < to; by++ {
			y0, y1 := max(by-reach, 0), min(by+reach+1, bh)
			for bx := range g.bw {
				x0, x1 := max(bx-reach, 0), min(bx+reach+1, g.bw)
				sum := 0
				for y := y0; y < y1; y++ {
					for _, m := range mean[y*g.bw+x0 : y*g.bw+x1] {
						sum += int(m)
					}
				}
				g.thr[by*g.bw+bx] = byte(sum / ((y1 - y0) * (x1 - x0)))
			}
		}
	})
}

// at is the brightness between pixels, (0, 0) being the upper left corner of the first; beyond the
// picture, that of its edge.
func (g *grey) at(x, y float64) float64 {
	x = min(max(x-0.5, 0), float64(g.w-1))
	y = min(max(y-0.5, 0), float64(g.h-1))
	xi, yi := min(int(x), max(g.w-2, 0)), min(int(y), max(g.h-2, 0))
	fx, fy := x-float64(xi), y-float64(yi)
	i := yi*g.w + xi
	right, below := min(1, g.w-1), min(1, g.h-1)*g.w
	top := float64(g.pix[i])*(1-fx) + float64(g.pix[i+right])*fx
	bottom := float64(g.pix[i+below])*(1-fx) + float64(g.pix[i+below+right])*fx
	return top*(1-fy) + bottom*fy
}
