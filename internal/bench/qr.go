package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"time"

	"github.com/fobproject/fob/internal/provision/qr"
	"github.com/fobproject/fob/internal/provision/qr/qrtest"
)

// qrRows measure how long it takes to find the codes of a large screenshot in its file, and how many are found
// at the scales that screens have.
func qrRows(ctx context.Context, _ options, dir string) (rows []Row, err error) {
	var there, found, theirs int
	for _, theme := range []string{"light", "dark"} {
		screen := qrtest.Screen(3840, 2160, theme == "dark")
		for _, scale := range []float64{1, 1.25, 1.5, 2} {
			file := filepath.Join(dir, fmt.Sprintf("%s-%v.png", theme, scale))
			codes, err := writeScreenshot(file, screen, scale)
			if err != nil {
				return nil, err
			}
			rounds := 1
			if scale == 1 {
				rounds = 15
			}
			var times, zbar []time.Duration
			var ours, lines map[string]bool
			for range rounds {
				took, err := timed(func() (err error) {
					ours, err = readScreenshot(ctx, file)
					return err
				})
				if err != nil {
					return nil, err
				}
				times = append(times, took)
				took, err = timed(func() (err error) {
					lines, err = zbarTexts(file)
					return err
				})
				if err != nil {
					return nil, fmt.Errorf("cannot measure the peer: %w", err)
				}
				zbar = append(zbar, took)
			}
			for _, code := range codes {
				there++
				if ours[code] {
					found++
				}
				if lines[code] {
					theirs++
				}
			}
			if scale == 1 {
				rows = append(rows, newRow(fmt.Sprintf("QR codes on a 3840 x 2160 screenshot, %s", theme), "ms", median(times), nil,
					&Bound{What: "zbarimg", Value: median(zbar), Budget: 1}))
			}
		}
	}
	row := newRow("QR codes found on such screenshots, at 100 to 200 %", "codes", float64(found),
		&Bound{What: "are there", Value: float64(there), Budget: 1, AtLeast: true}, nil)
	if theirs > 0 {
		row.Peer = &Bound{What: "zbarimg", Value: float64(theirs), Ratio: float64(found) / float64(theirs)}
	}
	return append(rows, row), nil
}

// writeScreenshot puts three codes on a screen, at a scale, and gives what they say.
func writeScreenshot(file string, screen *image.RGBA, scale float64) (codes []string, err error) {
	img := &image.RGBA{Pix: bytes.Clone(screen.Pix), Stride: screen.Stride, Rect: screen.Rect}
	for i, at := range []image.Point{{2900, 220}, {300, 1300}, {1500, 1350}} {
		text := fmt.Sprintf("otpauth://totp/Example:alice?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Example&n=%d", i)
		code, err := qrtest.Encode(text, 3+i)
		if err != nil {
			return nil, err
		}
		qrtest.Put(img, qrtest.Scale(code, scale), at)
		codes = append(codes, text)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return nil, fmt.Errorf("cannot make a screenshot: %w", err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		return nil, fmt.Errorf("cannot make a screenshot: %w", err)
	}
	return codes, nil
}

func readScreenshot(ctx context.Context, file string) (map[string]bool, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	codes, err := qr.Read(ctx, f)
	texts := map[string]bool{}
	for _, c := range codes {
		texts[string(c.Text)] = true
	}
	return texts, err
}

func zbarTexts(file string) (map[string]bool, error) {
	lines, err := qrtest.Zbar(file)
	texts := map[string]bool{}
	for _, l := range lines {
		texts[string(l)] = true
	}
	return texts, err
}
