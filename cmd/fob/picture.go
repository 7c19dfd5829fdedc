package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/provision/qr"
	display "github.com/fobproject/fob/internal/screen"
)

// openFile opens a file that a person named.
func openFile(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, usagef("cannot read %s: %v", client.Show(path), errors.Unwrap(err))
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, usagef("%s is a folder: name a file in it", client.Show(path))
	}
	return f, nil
}

// readPicture gives what the QR codes in a picture say.
func readPicture(ctx context.Context, path string) ([][]byte, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	codes, err := qr.Read(ctx, f)
	if errors.Is(err, qr.ErrNoPicture) || errors.Is(err, qr.ErrTooLarge) {
		return nil, usagef("%s: %v", client.Show(path), err)
	}
	return texts(codes), err
}

// screenTime is how long the screen may take: where the desktop asks the person, they have to answer.
const screenTime = 2 * time.Minute

// readScreen gives what the QR codes on all monitors say.
func readScreen(ctx context.Context) (all [][]byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, screenTime)
	defer cancel()
	pictures, err := display.Grab(ctx)
	if err != nil {
		return nil, usagef("%v", err)
	}
	for _, picture := range pictures {
		codes, err := qr.Find(ctx, picture)
		if err != nil {
			return nil, err
		}
		all = append(all, texts(codes)...)
	}
	return all, nil
}

func texts(codes []qr.Code) (all [][]byte) {
	for _, c := range codes {
		all = append(all, c.Text)
	}
	return all
}
