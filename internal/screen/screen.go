// Package screen takes pictures of the screen, for codes to be read off them.
package screen

import (
	"context"
	"errors"
	"fmt"
	"image"
	"os"
)

// Outcomes of Grab.
var (
	// ErrNone says that there is no screen here, or none that a picture can be taken of.
	ErrNone = errors.New("cannot take a picture of the screen")
	// ErrRefused says that the user did not let the desktop take the picture.
	ErrRefused = errors.New("the desktop was told not to share a picture of the screen: try again and allow it, " + instead)
)

// instead is what the user can do in any case.
const instead = "or save a picture with the code and use --image"

// Grab takes a picture of each monitor, or one of all where the desktop gives that. Under Wayland the desktop may ask
// the user first, for as long as ctx lets it. Its errors wrap ErrNone, ErrRefused or what ctx said.
func Grab(ctx context.Context) ([]image.Image, error) {
	switch {
	case os.Getenv("WAYLAND_DISPLAY") != "" || os.Getenv("XDG_SESSION_TYPE") == "wayland":
		img, err := askPortal(ctx)
		if err != nil {
			return nil, err
		}
		return []image.Image{img}, nil
	case os.Getenv("DISPLAY") != "":
		return grabX(ctx)
	}
	return nil, none("there is no screen here: start this on a desktop")
}

// none words an ErrNone.
func none(format string, args ...any) error {
	return fmt.Errorf("%w: %w, %s", ErrNone, fmt.Errorf(format, args...), instead)
}
