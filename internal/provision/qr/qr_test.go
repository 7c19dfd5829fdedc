package qr_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/image/bmp"

	"github.com/fobproject/fob/internal/provision/qr"
	"github.com/fobproject/fob/internal/provision/qr/qrtest"
)

const uri = "otpauth://totp/Example:alice@example.org?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Example"

// encode makes a code with qrencode.
func encode(t testing.TB, text string, module int, options ...string) image.Image {
	t.Helper()
	img, err := qrtest.Encode(text, module, options...)
	missing(t, err)
	return img
}

// missing skips the test on a desk where a program is missing, and fails otherwise.
func missing(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, qrtest.ErrMissing) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := enc.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// texts are what is found in a picture.
func texts(t testing.TB, picture []byte) []string {
	t.Helper()
	codes, err := qr.Read(t.Context(), bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, c := range codes {
		out = append(out, string(c.Text))
	}
	return out
}

// zbar is what zbarimg finds in a picture.
func zbar(t testing.TB, picture []byte) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "picture.png")
	if err := os.WriteFile(file, picture, 0o600); err != nil {
		t.Fatal(err)
	}
	lines, err := qrtest.Zbar(file)
	missing(t, err)
	out := []string{}
	for _, l := range lines {
		out = append(out, string(l))
	}
	return out
}

// on puts a code on a plain picture of a brightness.
func on(brightness uint8, size int, code image.Image) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, size, size))
	draw.Draw(img, img.Rect, image.NewUniform(color.Gray{brightness}), image.Point{}, draw.Src)
	free := size - code.Bounds().Dx()
	qrtest.Put(img, code, image.Pt(free/2, free/3))
	return img
}

// The ways in which codes stand on screens, each with codes of three lengths. What zbarimg finds is found in any case.
func TestFindsWhatZbarFinds(t *testing.T) {
	type sight struct {
		name    string
		modules []int // pixels of a module before
		back    uint8 // what is around the code
		change  func(img image.Image) image.Image
		zbar    bool // it may be too hard for us where zbarimg finds nothing either
	}
	same := func(img image.Image) image.Image { return img }
	painted := func(black, white uint8) func(image.Image) image.Image {
		return func(img image.Image) image.Image {
			return qrtest.Paint(img, color.Gray{black}, color.Gray{white})
		}
	}
	sights := []sight{
		{"plain", []int{2, 3, 5, 8, 14}, 255, same, false},
		{"on grey", []int{3, 6}, 128, same, false},
		{"on black", []int{3, 6}, 0, same, false},
		{"a pixel a module", []int{1}, 255, same, true},
		{"inverted", []int{2, 4, 9}, 0, painted(255, 0), false},
		{"inverted, in a dark theme", []int{3, 6}, 40, painted(220, 40), false},
		{"of low contrast", []int{3, 6}, 140, painted(100, 140), false},
		{"of very low contrast", []int{4}, 210, painted(200, 210), false},
		{"of low contrast on another colour", []int{4}, 128, painted(0, 60), true},
		{"inverted, of low contrast", []int{4}, 30, painted(60, 30), false},
		{"blurred by a pixel", []int{4, 6}, 255, func(img image.Image) image.Image { return qrtest.Blur(img, 1) }, false},
		{"blurred by two pixels", []int{3, 5, 8}, 255, func(img image.Image) image.Image { return qrtest.Blur(img, 2) }, true},
	}
	for _, percent := range []int{125, 150, 175, 200} {
		sights = append(sights, sight{fmt.Sprintf("scaled to %d %%", percent), []int{2, 3, 5}, 255, func(img image.Image) image.Image {
			return qrtest.Scale(img, float64(percent)/100)
		}, false})
	}
	for _, degrees := range []float64{4, 17, 45, 90, 101, 180, 270, 333} {
		sights = append(sights, sight{fmt.Sprintf("turned by %v degrees", degrees), []int{3, 5}, 255, func(img image.Image) image.Image {
			return qrtest.Turn(img, degrees)
		}, false})
	}
	for _, text := range []string{"fob", uri, uri + strings.Repeat("&pad=0123456789abcdef", 12)} {
		for _, s := range sights {
			for _, module := range s.modules {
				t.Run(fmt.Sprintf("%s, %d bytes, %d pixels a module", s.name, len(text), module), func(t *testing.T) {
					code := s.change(encode(t, text, module))
					picture := write(t, on(s.back, code.Bounds().Dx()+60, code))
					theirs, ours := zbar(t, picture), texts(t, picture)
					if len(ours) > 1 || len(ours) == 1 && ours[0] != text {
						t.Errorf("found %q", ours)
					}
					if len(ours) == 0 && (!s.zbar || len(theirs) > 0) {
						t.Errorf("found nothing; zbarimg found %q", theirs)
					}
				})
			}
		}
	}
}

// screenshot puts so many codes on a screen of 3840 x 2160, at a scale, and gives their texts in the order of reading.
func screenshot(t testing.TB, screen *image.RGBA, codes int, scale float64) (*image.RGBA, []string) {
	t.Helper()
	img := &image.RGBA{Pix: bytes.Clone(screen.Pix), Stride: screen.Stride, Rect: screen.Rect}
	var texts []string
	for i, at := range []image.Point{{2900, 220}, {300, 1300}, {1500, 1350}}[:codes] {
		text := fmt.Sprintf("%s&n=%d", uri, i)
		code := qrtest.Scale(encode(t, text, 3+i), scale)
		qrtest.Put(img, code, at)
		texts = append(texts, text)
	}
	return img, texts
}

func TestScreenshots(t *testing.T) {
	for _, dark := range []bool{false, true} {
		screen := qrtest.Screen(3840, 2160, dark)
		for codes, scales := range screenshots {
			for _, percent := range scales {
				t.Run(fmt.Sprintf("dark %v, %d codes, %d %%", dark, codes, percent), func(t *testing.T) {
					img, want := screenshot(t, screen, codes, float64(percent)/100)
					picture := write(t, img)
					ours := texts(t, picture)
					if !slices.Equal(ours, want) {
						t.Errorf("found %q, want %q", ours, want)
					}
					for _, their := range zbar(t, picture) {
						if !slices.Contains(ours, their) {
							t.Errorf("zbarimg found %q, we %q", their, ours)
						}
					}
				})
			}
		}
	}
}

func TestFind(t *testing.T) {
	t.Run("says where a code is", func(t *testing.T) {
		img := image.NewRGBA(image.Rect(-100, -50, 500, 400)) // with a corner of its own
		draw.Draw(img, img.Rect, image.White, image.Point{}, draw.Src)
		code := encode(t, "fob", 5)
		qrtest.Put(img, code, image.Pt(40, 70))
		codes, err := qr.Find(t.Context(), img)
		want := image.Rect(60, 90, 60+105, 90+105)
		if err != nil || len(codes) != 1 || codes[0].Bounds != want {
			t.Errorf("found %v, %v, want one at %v", codes, err, want)
		}
	})
	t.Run("orders codes as they are read, and tells two with one text apart", func(t *testing.T) {
		img := image.NewRGBA(image.Rect(0, 0, 900, 700))
		draw.Draw(img, img.Rect, image.White, image.Point{}, draw.Src)
		for i, at := range []image.Point{{20, 25}, {320, 20}, {620, 30}, {10, 320}, {300, 330}} {
			qrtest.Put(img, encode(t, fmt.Sprint(i%4), 6), at)
		}
		want := []string{"0", "1", "2", "3", "0"}
		for range 5 {
			if got := texts(t, write(t, img)); !slices.Equal(got, want) {
				t.Fatalf("found %q, want %q", got, want)
			}
		}
	})
	t.Run("finds many codes side by side", func(t *testing.T) {
		img := image.NewRGBA(image.Rect(0, 0, 1000, 1000))
		draw.Draw(img, img.Rect, image.White, image.Point{}, draw.Src)
		var want []string
		for i := range 36 {
			text := fmt.Sprintf("code %d", i)
			want = append(want, text)
			qrtest.Put(img, encode(t, text, 4), image.Pt(40+i%6*130, 40+i/6*130))
		}
		if got := texts(t, write(t, img)); !slices.Equal(got, want) {
			t.Errorf("found %q, want %q", got, want)
		}
	})
	t.Run("finds a dark and a light one in a picture", func(t *testing.T) {
		img := on(255, 700, encode(t, "dark", 4))
		draw.Draw(img, image.Rect(0, 350, 700, 700), image.Black, image.Point{}, draw.Src)
		qrtest.Put(img, qrtest.Paint(encode(t, "light", 4), color.Gray{255}, color.Gray{0}), image.Pt(300, 450))
		if got := texts(t, write(t, img)); !slices.Equal(got, []string{"dark", "light"}) {
			t.Errorf("found %q", got)
		}
	})
	t.Run("reads every size of code", func(t *testing.T) {
		for version := 1; version <= 40; version++ {
			text := strings.Repeat("ab", 3+4*version)
			code := encode(t, text, 3, "-v", fmt.Sprint(version), "-l", "L")
			if got := texts(t, write(t, qrtest.Turn(code, float64(version)))); !slices.Equal(got, []string{text}) {
				t.Errorf("found %q in version %d", got, version)
			}
		}
	})
	t.Run("reads text that is not ASCII as its bytes", func(t *testing.T) {
		for _, text := range []string{"otpauth://totp/Bücherei:zoë?secret=JBSWY3DPEHPK3PXP", "é", "ログイン", "Ünï \U0001F511", "emoji 🔑 and text"} {
			if got := texts(t, write(t, encode(t, text, 4, "-8"))); !slices.Equal(got, []string{text}) {
				t.Errorf("found %q, want %q", got, text)
			}
		}
	})
	t.Run("reads a code before nothing", func(t *testing.T) {
		code := encode(t, "fob", 5)
		for _, ink := range []color.Color{color.Black, color.White} {
			img := image.NewNRGBA(code.Bounds())
			for y := range img.Rect.Max.Y {
				for x := range img.Rect.Max.X {
					if r, _, _, _ := code.At(x, y).RGBA(); r == 0 {
						img.Set(x, y, ink)
					}
				}
			}
			if got := texts(t, write(t, img)); !slices.Equal(got, []string{"fob"}) {
				t.Errorf("found %q", got)
			}
		}
	})
	t.Run("stops when it is told to", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := qr.Find(ctx, on(255, 200, encode(t, "fob", 4))); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestReadKnowsFormats(t *testing.T) {
	img := on(255, 300, encode(t, uri, 4))
	for name, write := range map[string]func(*bytes.Buffer) error{
		"PNG":  func(b *bytes.Buffer) error { return png.Encode(b, img) },
		"JPEG": func(b *bytes.Buffer) error { return jpeg.Encode(b, img, &jpeg.Options{Quality: 60}) },
		"GIF":  func(b *bytes.Buffer) error { return gif.Encode(b, img, nil) },
		"BMP":  func(b *bytes.Buffer) error { return bmp.Encode(b, img) },
		"PNG of 16 bits": func(b *bytes.Buffer) error {
			wide := image.NewNRGBA64(img.Rect)
			draw.Draw(wide, wide.Rect, img, image.Point{}, draw.Src)
			return png.Encode(b, wide)
		},
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		if got := texts(t, b.Bytes()); !slices.Equal(got, []string{uri}) {
			t.Errorf("found %q in a %s", got, name)
		}
	}
	b, err := os.ReadFile(filepath.Join("testdata", "code.webp"))
	if err != nil {
		t.Fatal(err)
	}
	if got := texts(t, b); !slices.Equal(got, []string{"fob"}) {
		t.Errorf("found %q in a WebP", got)
	}
}

// header is the beginning of a PNG of a size.
func header(w, h uint32) []byte {
	chunk := binary.BigEndian.AppendUint32([]byte("IHDR"), w)
	chunk = append(binary.BigEndian.AppendUint32(chunk, h), 8, 0, 0, 0, 0)
	b := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), chunk...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(chunk))
}

func TestReadRefuses(t *testing.T) {
	var whole bytes.Buffer
	if err := png.Encode(&whole, qrtest.Screen(100, 100, false)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		file io.Reader
		want error
	}{
		{"nothing", strings.NewReader(""), qr.ErrNoPicture},
		{"text", strings.NewReader("otpauth://totp/x?secret=AAAA"), qr.ErrNoPicture},
		{"half a picture", bytes.NewReader(whole.Bytes()[:whole.Len()/2]), qr.ErrNoPicture},
		{"a header alone", bytes.NewReader(header(100, 100)), qr.ErrNoPicture},
		{"no pixels", bytes.NewReader(header(0, 100)), qr.ErrNoPicture},
		{"100 megapixels, by the header", bytes.NewReader(header(10_000, 10_000)), qr.ErrTooLarge},
		{"more pixels than a number holds", bytes.NewReader(header(1<<31-1, 1<<31-1)), qr.ErrNoPicture},
		{"an endless file", endless{}, qr.ErrTooLarge},
		{"a file that fails", iotest.ErrReader(io.ErrUnexpectedEOF), io.ErrUnexpectedEOF},
	} {
		if codes, err := qr.Read(t.Context(), tt.file); !errors.Is(err, tt.want) || codes != nil {
			t.Errorf("%s: gives %v, %v, want %v", tt.name, codes, err, tt.want)
		}
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

// A picture that is all finder patterns, or stripes that look like them, takes no longer than others.
func TestHostilePicturesEndSoon(t *testing.T) {
	pattern := []string{"#######", "#.....#", "#.###.#", "#.###.#", "#.###.#", "#.....#", "#######"}
	dark := map[string]func(x, y int) bool{
		"finder patterns": func(x, y int) bool { return x%8 < 7 && y%8 < 7 && pattern[y%8][x%8] == '#' },
		"large ones":      func(x, y int) bool { return x/4%9 < 7 && y/4%9 < 7 && pattern[y/4%9][x/4%9] == '#' },
		"stripes":         func(x, y int) bool { return x%8 < 7 && pattern[3][x%8] == '#' },
		"chequers":        func(x, y int) bool { return (x+y)%2 == 0 },
		"noise":           func(x, y int) bool { return (x*7919^y*104729)*2654435761>>13&1 == 0 },
	}
	for name, dark := range dark {
		img := image.NewGray(image.Rect(0, 0, 2000, 1500))
		for i := range img.Pix {
			if !dark(i%2000, i/2000) {
				img.Pix[i] = 255
			}
		}
		start := time.Now()
		codes, err := qr.Find(t.Context(), img)
		if err != nil || len(codes) > 0 {
			t.Errorf("%s: found %v, %v", name, codes, err)
		}
		t.Log(name, time.Since(start))
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		head, _, err := image.DecodeConfig(bytes.NewReader(b))
		if n := head.Width * head.Height; err == nil && n > 1<<20 && n <= 64<<20 {
			t.Skip("takes too long to fuzz with")
		}
		codes, err := qr.Read(t.Context(), bytes.NewReader(b))
		if err != nil && (codes != nil || !errors.Is(err, qr.ErrNoPicture) && !errors.Is(err, qr.ErrTooLarge)) {
			t.Fatalf("gives %v, %v", codes, err)
		}
		for i, c := range codes {
			if c.Bounds.Empty() || !c.Bounds.In(image.Rect(0, 0, head.Width, head.Height)) || i > 0 && c.Bounds == codes[i-1].Bounds {
				t.Fatalf("gives %v", codes)
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	for _, dark := range []bool{false, true} {
		img, want := screenshot(b, qrtest.Screen(3840, 2160, dark), 3, 1)
		picture := write(b, img)
		file := filepath.Join(b.TempDir(), "picture.png")
		if err := os.WriteFile(file, picture, 0o600); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("dark=%v/zbarimg", dark), func(b *testing.B) {
			for b.Loop() {
				_, err := qrtest.Zbar(file)
				missing(b, err)
			}
		})
		b.Run(fmt.Sprintf("dark=%v/Read", dark), func(b *testing.B) {
			for b.Loop() {
				if got := texts(b, picture); !slices.Equal(got, want) {
					b.Fatalf("found %q", got)
				}
			}
		})
		b.Run(fmt.Sprintf("dark=%v/Find", dark), func(b *testing.B) {
			for b.Loop() {
				if _, err := qr.Find(b.Context(), img); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
