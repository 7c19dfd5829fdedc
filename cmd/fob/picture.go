package main

import (
	"context"
	"errors"
	"os"

	"github.com/fobproject/fob/internal/client"
	"github.com/fobproject/fob/internal/provision/qr"
)

// readPicture gives what the QR codes in a picture say.
func readPicture(ctx context.Context, path string) ([][]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, usagef("cannot read %s: %v", client.Show(path), errors.Unwrap(err))
	}
	defer f.Close()
	codes, err := qr.Read(ctx, f)
	if errors.Is(err, qr.ErrNoPicture) || errors.Is(err, qr.ErrTooLarge) {
		return nil, usagef("%s: %v", client.Show(path), err)
	}
	return texts(codes), err
}

func texts(codes []qr.Code) (all [][]byte) {
	for _, c := range codes {
		all = append(all, c.Text)
	}
	return all
}
