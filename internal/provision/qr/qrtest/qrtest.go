// Package qrtest makes pictures with QR codes in them, for tests and benchmarks.
package qrtest

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os/exec"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/f64"
	"golang.org/x/image/math/fixed"
)

// ErrMissing says that there is no qrencode or zbarimg to run.
var ErrMissing = errors.New("cannot find a program: install the packages qrencode and zbar-tools")

// Encode has qrencode make a code, with four modules of white around it and so many pixels a module.
func Encode(text string, module int, options ...string) (image.Image, error) {
	options = append([]string{"-t", "PNG", "-o", "-", "-m", "4", "-s", fmt.Sprint(module)}, options...)
	out, err := run(text, "qrencode", options...)
	if err != nil {
		return nil, err
	}
	return png.Decode(bytes.NewReader(out))
}

// Zbar gives what zbarimg finds in an image file, a line each, in no order.
func Zbar(file string) (lines [][]byte, err error) {
	out, err := run("", "zbarimg", "-q", "--nodbus", "--raw", "-Sdisable", "-Sqrcode.enable", file)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 4 { // it found none
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return bytes.Split(bytes.TrimSuffix(out, []byte("\n")), []byte("\n")), nil
}

func run(input, program string, args ...string) ([]byte, error) {
	if _, err := exec.LookPath(program); err != nil {
		return nil, ErrMissing
	}
	cmd := exec.Command(program, args...)
	cmd.Stdin = bytes.NewReader([]byte(input))
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot run %s: %w", program, err)
	}
	return out, nil
}

// Screen is a screenshot with windows and text on it, the same at every call.
func Screen(w, h int, dark bool) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	desk, window, ink := color.Gray{235}, color.Gray{255}, color.Gray{30}
	if dark {
		desk, window, ink = color.Gray{24}, color.Gray{40}, color.Gray{220}
	}
	draw.Draw(img, img.Rect, image.NewUniform(desk), image.Point{}, draw.Src)
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 12 {
		at := image.Pt(rnd.IntN(w), rnd.IntN(h))
		r := image.Rectangle{at, at.Add(image.Pt(w/6+rnd.IntN(w/3), h/6+rnd.IntN(h/3)))}.Intersect(img.Rect)
		draw.Draw(img, r, image.NewUniform(ink), image.Point{}, draw.Src)
		r = r.Inset(1)
		draw.Draw(img, r, image.NewUniform(window), image.Point{}, draw.Src)
		accent := color.RGBA{uint8(rnd.IntN(256)), uint8(rnd.IntN(256)), uint8(rnd.IntN(256)), 255}
		draw.Draw(img, image.Rect(r.Min.X, r.Min.Y, r.Max.X, r.Min.Y+24).Intersect(r), image.NewUniform(accent), image.Point{}, draw.Src)
		d := font.Drawer{Dst: img.SubImage(r).(draw.Image), Src: image.NewUniform(ink), Face: basicfont.Face7x13}
		for y := r.Min.Y + 44; y < r.Max.Y; y += 16 {
			line := make([]byte, (r.Dx()-20)/7)
			for i := range line {
				if line[i] = byte('!' + rnd.IntN(94)); rnd.IntN(6) == 0 {
					line[i] = ' '
				}
			}
			d.Dot = fixed.P(r.Min.X+10, y)
			d.DrawBytes(line)
		}
	}
	return img
}

// Put draws a picture into another, with its upper left corner there.
func Put(on draw.Image, img image.Image, at image.Point) {
	draw.Draw(on, image.Rectangle{at, at.Add(img.Bounds().Size())}, img, img.Bounds().Min, draw.Over)
}

// Scale gives a picture at another size, as a compositor scales it.
func Scale(img image.Image, factor float64) *image.RGBA {
	size := img.Bounds().Size()
	to := image.NewRGBA(image.Rect(0, 0, int(math.Round(float64(size.X)*factor)), int(math.Round(float64(size.Y)*factor))))
	draw.BiLinear.Scale(to, to.Rect, img, img.Bounds(), draw.Src, nil)
	return to
}

// Turn gives a picture turned by so many degrees, with nothing in the corners.
func Turn(img image.Image, degrees float64) *image.RGBA {
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	w, h := float64(img.Bounds().Dx()), float64(img.Bounds().Dy())
	tw, th := math.Abs(w*cos)+math.Abs(h*sin), math.Abs(w*sin)+math.Abs(h*cos)
	to := image.NewRGBA(image.Rect(0, 0, int(math.Round(tw)), int(math.Round(th))))
	draw.BiLinear.Transform(to, f64.Aff3{cos, -sin, tw/2 - cos*w/2 + sin*h/2, sin, cos, th/2 - sin*w/2 - cos*h/2}, img, img.Bounds(), draw.Src, nil)
	return to
}

// Paint gives a picture with its black and its white in other colours.
func Paint(img image.Image, black, white color.Gray) *image.RGBA {
	to := image.NewRGBA(image.Rectangle{Max: img.Bounds().Size()})
	for y := range to.Rect.Max.Y {
		for x := range to.Rect.Max.X {
			p := img.At(img.Bounds().Min.X+x, img.Bounds().Min.Y+y)
			v, _, _, a := p.RGBA()
			if a == 0 {
				continue
			}
			grey := int(black.Y) + int(v)*(int(white.Y)-int(black.Y))/0xffff
			to.Set(x, y, color.Gray{uint8(grey)})
		}
	}
	return to
}

// Blur gives a picture whose pixels are the mean of those as near as radius, twice.
func Blur(img image.Image, radius int) *image.RGBA {
	to := image.NewRGBA(image.Rectangle{Max: img.Bounds().Size()})
	draw.Draw(to, to.Rect, img, img.Bounds().Min, draw.Src)
	for range 2 {
		from := image.NewRGBA(to.Rect)
		copy(from.Pix, to.Pix)
		for y := range to.Rect.Max.Y {
			for x := range to.Rect.Max.X {
				var sum [4]int
				n := 0
				r := image.Rect(x-radius, y-radius, x+radius+1, y+radius+1).Intersect(to.Rect)
				for j := r.Min.Y; j < r.Max.Y; j++ {
					for i := r.Min.X; i < r.Max.X; i++ {
						for c, v := range from.Pix[from.PixOffset(i, j):][:4] {
							sum[c] += int(v)
						}
						n++
					}
				}
				for c := range sum {
					to.Pix[to.PixOffset(x, y)+c] = byte(sum[c] / n)
				}
			}
		}
	}
	return to
}
