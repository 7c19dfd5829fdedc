package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobproject/fob/internal/provision/qr"
)

// clearAfter is how long a code stays in the clipboard.
const clearAfter = 30 * time.Second

// clipboard is a program that reads and writes the desktop's clipboard.
type clipboard struct{ copy, paste, picture, clear []string }

// clipboards are those that there may be, by what must be in the environment.
var clipboards = []struct {
	env, name, pkg string
	clipboard
}{
	// It needs no window where the compositor has the data-control protocol.
	{"WAYLAND_DISPLAY", "wl-copy", "wl-clipboard", clipboard{[]string{"wl-copy"}, []string{"wl-paste", "--no-newline"}, []string{"wl-paste", "--type", "image/png"}, []string{"wl-copy", "--clear"}}},
	{"DISPLAY", "xclip", "xclip", clipboard{
		[]string{"xclip", "-selection", "clipboard", "-in"}, []string{"xclip", "-selection", "clipboard", "-out"},
		[]string{"xclip", "-selection", "clipboard", "-target", "image/png", "-out"}, []string{"xclip", "-selection", "clipboard", "-in", "/dev/null"},
	}},
}

// findClipboard finds the clipboard of this session, for a code.
func findClipboard() (clipboard, error) { return clipboardOr("leave --copy out") }

// clipboardOr finds the clipboard of this session; instead is what to do where there is none.
func clipboardOr(instead string) (clipboard, error) {
	missing := ""
	for _, c := range clipboards {
		if os.Getenv(c.env) == "" {
			continue
		}
		if _, err := exec.LookPath(c.name); err == nil {
			return c.clipboard, nil
		}
		if missing == "" {
			missing = c.pkg
		}
	}
	if missing == "" {
		return clipboard{}, usagef("there is no desktop here that has a clipboard: run this in a desktop session, or %s", instead)
	}
	return clipboard{}, usagef("the program that reaches the clipboard is missing: install the package %s", missing)
}

// copyCode puts a code into the clipboard, and has it cleared after a while if it is still there.
func copyCode(ctx context.Context, code []byte) error {
	c, err := findClipboard()
	if err != nil {
		return err
	}
	if err := runClipboard(ctx, c.copy, code, nil); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("the code is in the clipboard, and is not cleared by itself: %w", err)
	}
	sum := sha256.Sum256(code)
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("the code is in the clipboard, and is not cleared by itself: %w", err)
	}
	defer r.Close()
	cmd := exec.Command(self, clearCommand, "--after", clearAfter.String())
	cmd.Stdin, cmd.Dir = r, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // it outlives the terminal
	_, err = fmt.Fprintf(w, "%x\n", sum)
	if err = errors.Join(err, w.Close()); err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("the code is in the clipboard, and is not cleared by itself: %w", err)
	}
	return nil
}

// maxPasted bounds in bytes what is taken out of the clipboard.
const maxPasted = 64 << 20

// readClipboard gives the links in the clipboard, or what the QR codes in its picture say.
func readClipboard(ctx context.Context) ([][]byte, error) {
	c, err := clipboardOr("save a picture with the code and use --image")
	if err != nil {
		return nil, err
	}
	var text, picture bounded
	// A clipboard that has no text fails.
	if err := runClipboard(ctx, c.paste, nil, &text); err == nil && bytes.Contains(text.Bytes(), []byte("://")) {
		return bytes.Fields(text.Bytes()), nil
	}
	if err := runClipboard(ctx, c.picture, nil, &picture); err != nil || picture.Len() == 0 {
		return nil, nil // there is nothing in it that could be one
	}
	codes, err := qr.Read(ctx, &picture)
	if errors.Is(err, qr.ErrNoPicture) || errors.Is(err, qr.ErrTooLarge) {
		return nil, usagef("in the clipboard: %v", err)
	}
	return texts(codes), err
}

// bounded keeps no more than maxPasted bytes of what is written to it, and fails beyond.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxPasted {
		return 0, errClipboard
	}
	return b.Buffer.Write(p)
}

var errClipboard = errors.New("cannot reach the clipboard")

// runClipboard runs one of the programs. It goes on in the background as long as it holds the clipboard, with nothing
// of ours open.
func runClipboard(ctx context.Context, command []string, in []byte, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	if in != nil {
		cmd.Stdin = bytes.NewReader(in)
	}
	cmd.Stdout = out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: %s: %w", errClipboard, command[0], err)
	}
	return nil
}

// clearCommand is the command with which copyCode starts this program again.
const clearCommand = "clear-clipboard"

func (a *app) clearClipboardCmd() *cobra.Command {
	var after time.Duration
	cmd := &cobra.Command{
		Use:    clearCommand,
		Short:  "Clear the clipboard after a while, if it still holds what was copied",
		Hidden: true,
		Args:   noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			want, err := a.readInput("hash")
			if err != nil {
				return err
			}
			c, err := findClipboard()
			if err != nil {
				return err
			}
			select {
			case <-time.After(after):
			case <-cmd.Context().Done():
			}
			var now bytes.Buffer
			if err := runClipboard(cmd.Context(), c.paste, nil, &now); err != nil {
				return nil // it is empty, or gone
			}
			sum := sha256.Sum256(now.Bytes())
			if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), want) != 1 {
				return nil // something else was copied since
			}
			return runClipboard(cmd.Context(), c.clear, nil, nil)
		},
	}
	cmd.Flags().DurationVar(&after, "after", clearAfter, "how long to wait")
	return cmd
}
