package screen

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"log"
	"math/bits"
	"sync"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xinerama"
	"github.com/jezek/xgb/xproto"
)

// maxPixels bounds a monitor's picture.
const maxPixels = 64 << 20

// quiet keeps xgb from writing to the terminal.
var quiet = sync.OnceFunc(func() { xgb.Logger = log.New(io.Discard, "", 0) })

// grabX takes a picture of each monitor of $DISPLAY.
func grabX(ctx context.Context) ([]image.Image, error) {
	quiet()
	type answer struct {
		images []image.Image
		err    error
	}
	answers := make(chan answer, 1)
	conns := make(chan *xgb.Conn, 1)
	go func() {
		conn, err := xgb.NewConn()
		if err != nil {
			answers <- answer{nil, none("cannot reach the X server: %w", err)}
			return
		}
		conns <- conn
		images, err := monitors(conn)
		if err != nil {
			err = none("the X server gives none: %w", err)
		}
		answers <- answer{images, err}
	}()
	defer func() {
		select {
		case conn := <-conns:
			go conn.Close() // it may wait for the server
		default:
		}
	}()
	select {
	case a := <-answers:
		return a.images, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("the X server gave no picture of the screen in time: try again, %s: %w", instead, ctx.Err())
	}
}

func monitors(conn *xgb.Conn) (images []image.Image, err error) {
	setup := xproto.Setup(conn)
	root := setup.DefaultScreen(conn)
	whole := image.Rect(0, 0, int(root.WidthInPixels), int(root.HeightInPixels))
	places := []image.Rectangle{whole}
	if xinerama.Init(conn) == nil {
		if r, err := xinerama.QueryScreens(conn).Reply(); err == nil && len(r.ScreenInfo) > 0 {
			places = nil
			for _, s := range r.ScreenInfo {
				places = append(places, image.Rect(int(s.XOrg), int(s.YOrg), int(s.XOrg)+int(s.Width), int(s.YOrg)+int(s.Height)))
			}
		}
	}
	seen := map[image.Rectangle]bool{} // mirrored monitors show the same
	for _, place := range places {
		place = place.Intersect(whole)
		if place.Empty() || seen[place] {
			continue
		}
		seen[place] = true
		img, err := part(conn, setup, root, place)
		if err != nil {
			return nil, err
		}
		images = append(images, img)
	}
	if len(images) == 0 {
		return nil, errors.New("no monitor is on")
	}
	return images, nil
}

// part takes a picture of a part of the screen.
func part(conn *xgb.Conn, setup *xproto.SetupInfo, root *xproto.ScreenInfo, place image.Rectangle) (image.Image, error) {
	w, h := place.Dx(), place.Dy()
	if w*h > maxPixels {
		return nil, fmt.Errorf("a monitor of %d x %d pixels is too large", w, h)
	}
	r, err := xproto.GetImage(conn, xproto.ImageFormatZPixmap, xproto.Drawable(root.Root),
		int16(place.Min.X), int16(place.Min.Y), uint16(w), uint16(h), 0xffffffff).Reply()
	if err != nil {
		return nil, err
	}
	if len(r.Data) < 4*w*h || !wide(setup, r.Depth) {
		return nil, errors.New("its colours are not of 24 bits")
	}
	masks, ok := colours(root, r.Visual)
	if !ok {
		return nil, errors.New("its colours are not of 24 bits")
	}
	var order binary.ByteOrder = binary.LittleEndian
	if setup.ImageByteOrder == xproto.ImageOrderMSBFirst {
		order = binary.BigEndian
	}
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := 0; i < 4*w*h; i += 4 {
		v := order.Uint32(r.Data[i:])
		for c, m := range masks {
			img.Pix[i+c] = byte((v & m) >> bits.TrailingZeros32(m) >> (bits.OnesCount32(m) - 8))
		}
		img.Pix[i+3] = 255
	}
	return img, nil
}

// wide reports whether pixels of a depth take 32 bits.
func wide(setup *xproto.SetupInfo, depth byte) bool {
	for _, f := range setup.PixmapFormats {
		if f.Depth == depth {
			return f.BitsPerPixel == 32
		}
	}
	return false
}

// colours gives the bits of red, green and blue, of which each has eight at least.
func colours(root *xproto.ScreenInfo, visual xproto.Visualid) (masks [3]uint32, ok bool) {
	for _, d := range root.AllowedDepths {
		for _, v := range d.Visuals {
			if v.VisualId == visual {
				masks = [3]uint32{v.RedMask, v.GreenMask, v.BlueMask}
				return masks, min(bits.OnesCount32(v.RedMask), bits.OnesCount32(v.GreenMask), bits.OnesCount32(v.BlueMask)) >= 8
			}
		}
	}
	return masks, false
}
