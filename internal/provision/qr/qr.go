// Package qr finds and reads the QR codes of a picture.
package qr

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	_ "image/gif"
	_ "image/jpeg"
	_ "image/png"
	"io"

	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/webp"
)

// Bounds of a picture.
const (
	maxFile   = 64 << 20 // bytes
	maxPixels = 64 << 20
)

var (
	// ErrNoPicture says that a file is no picture of a kind that Read knows, or a damaged one.
	ErrNoPicture = errors.New("this is no picture that can be read: save it as PNG or JPEG")
	// ErrTooLarge says that a picture has more bytes or pixels than Read takes.
	ErrTooLarge = errors.New("the picture is too large: it may have 64 megapixels and 64 MiB; cut out the part with the code")
)

// Code is a QR code in a picture.
type Code struct {
	// Text is what the code says: UTF-8, unless the code is of bytes that are no text. It may be a secret,
	// which the caller clears.
	Text []byte
	// Bounds is the part of the picture that the code fills, without the light frame around it.
	Bounds image.Rectangle
}

// Read reads a picture (PNG, JPEG, GIF's first frame, WebP, BMP) and finds its codes, as Find does. Its
// errors wrap ErrNoPicture, ErrTooLarge, or what r or ctx said.
func Read(ctx context.Context, r io.Reader) ([]Code, error) {
	img, err := Decode(ctx, r)
	if err != nil {
		return nil, err
	}
	return Find(ctx, img)
}

// Decode reads a picture as Read does.
func Decode(ctx context.Context, r io.Reader) (img image.Image, err error) {
	b, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	defer clear(b)
	if err == nil {
		err = ctx.Err()
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read the picture: %w", err)
	case len(b) > maxFile:
		return nil, ErrTooLarge
	}
	defer func() {
		if r := recover(); r != nil { // the formats' decoders meet hostile files
			img, err = nil, ErrNoPicture
		}
	}()
	head, _, err := image.DecodeConfig(bytes.NewReader(b))
	switch {
	case err != nil || head.Width <= 0 || head.Height <= 0:
		return nil, ErrNoPicture
	case int64(head.Width) > maxPixels/int64(head.Height):
		return nil, ErrTooLarge
	}
	if img, _, err = image.Decode(bytes.NewReader(b)); err != nil {
		return nil, ErrNoPicture
	}
	return img, nil
}
