package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// keyboard reads lines from the terminal while other things go on. Between prompts nothing typed is
// shown, so that Enter does not tear the line of progress apart; a prompt for something that is no
// secret turns the echo on.
type keyboard struct {
	tty   *os.File
	saved unix.Termios
	echo  bool
	rests bool // the terminal is as it was, until something is asked again
	// lines gives each line that was typed, without its end; it is closed when the terminal is gone or
	// Ctrl-D was typed.
	lines chan []byte
}

// errNoTerminal says that there is nobody to ask.
var errNoTerminal = errors.New("there is no terminal to ask at")

// openKeyboard takes the terminal over until close. It fails with errNoTerminal where there is none
// or where it belongs to a program in the foreground: to touch it would stop this process.
func openKeyboard() (*keyboard, error) {
	tty, err := openTTY()
	if err != nil {
		return nil, err
	}
	k := &keyboard{tty: tty, lines: make(chan []byte)}
	err = k.control(func(fd int) error {
		saved, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err == nil {
			k.saved = *saved
		}
		return err
	})
	if err == nil {
		err = k.setEcho(false)
	}
	if err != nil {
		tty.Close()
		return nil, fmt.Errorf("%w: %w", errNoTerminal, err)
	}
	go k.read()
	return k, nil
}

// openTTY opens the terminal, where there is one and it belongs to this process.
func openTTY() (*os.File, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, errNoTerminal
	}
	err = control(tty, func(fd int) error {
		group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		if err == nil && group != unix.Getpgrp() {
			err = errNoTerminal
		}
		return err
	})
	if err != nil {
		tty.Close()
		return nil, fmt.Errorf("%w: %w", errNoTerminal, err)
	}
	return tty, nil
}

// haveTerminal reports whether a person can be asked; the terminal stays as it is.
func haveTerminal() bool {
	tty, err := openTTY()
	if err != nil {
		return false
	}
	tty.Close()
	return true
}

// read ends with the process at the latest: a read of a terminal cannot always be broken off.
func (k *keyboard) read() {
	defer close(k.lines)
	buf := make([]byte, 4096)
	for {
		n, err := k.tty.Read(buf)
		if n > 0 {
			end := n
			if buf[end-1] == '\n' {
				end--
			}
			line := make([]byte, end)
			copy(line, buf)
			clear(buf[:n])
			k.lines <- line
		}
		if err != nil || n == 0 {
			return
		}
	}
}

// setEcho shows what is typed, or does not. Lines are edited as usual either way.
func (k *keyboard) setEcho(on bool) error {
	k.echo, k.rests = on, false
	mode := k.saved
	mode.Lflag |= unix.ICANON | unix.ISIG
	mode.Iflag |= unix.ICRNL
	if on {
		mode.Lflag |= unix.ECHO
	} else {
		mode.Lflag &^= unix.ECHO | unix.ECHONL
	}
	return k.control(func(fd int) error { return unix.IoctlSetTermios(fd, unix.TCSETS, &mode) })
}

// flush drops what was typed and not read yet.
func (k *keyboard) flush() {
	// Of a terminal that is gone nothing is read.
	_ = k.control(func(fd int) error { return unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH) })
	select {
	case line := <-k.lines:
		clear(line)
	default:
	}
}

// suspend gives the terminal back as it was and stops the process, as Ctrl-Z asks; when the process
// is continued the terminal is taken over again.
func (k *keyboard) suspend() error {
	k.restore()
	if err := unix.Kill(unix.Getpid(), unix.SIGSTOP); err != nil {
		return err
	}
	return k.setEcho(k.echo)
}

// rest gives the terminal back as it was while nothing is asked.
func (k *keyboard) rest() {
	k.restore()
	k.rests = true
}

func (k *keyboard) restore() {
	// Nothing can be done about a terminal that is gone.
	_ = k.control(func(fd int) error { return unix.IoctlSetTermios(fd, unix.TCSETS, &k.saved) })
}

// close gives the terminal back as it was; what was typed and not read is dropped with it.
func (k *keyboard) close() {
	k.restore()
	k.tty.Close()
}

func (k *keyboard) control(work func(fd int) error) error { return control(k.tty, work) }

// control works on the descriptor without File.Fd, which would make reads block in the kernel.
func control(tty *os.File, work func(fd int) error) error {
	raw, err := tty.SyscallConn()
	if err != nil {
		return err
	}
	var workErr error
	if err := raw.Control(func(fd uintptr) { workErr = work(int(fd)) }); err != nil {
		return err
	}
	return workErr
}

// keyboard is the terminal, opened when it is first needed.
func (a *app) keyboard() (*keyboard, error) {
	if a.tty == nil {
		k, err := openKeyboard()
		if err != nil {
			return nil, err
		}
		a.tty = k
	}
	if a.tty.rests {
		if err := a.tty.setEcho(false); err != nil {
			return nil, fmt.Errorf("%w: %w", errNoTerminal, err)
		}
	}
	return a.tty, nil
}
