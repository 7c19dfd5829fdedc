package screen

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"image"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/fobproject/fob/internal/provision/qr"
)

// The desktop portal (org.freedesktop.portal.Screenshot, org.freedesktop.portal.Request).
const (
	portalName     = "org.freedesktop.portal.Desktop"
	portalPath     = "/org/freedesktop/portal/desktop"
	requestIface   = "org.freedesktop.portal.Request"
	takeScreenshot = "org.freedesktop.portal.Screenshot.Screenshot"
)

// askPortal has the desktop take a picture.
func askPortal(ctx context.Context) (image.Image, error) {
	address := os.Getenv("DBUS_SESSION_BUS_ADDRESS")
	if dir := os.Getenv("XDG_RUNTIME_DIR"); address == "" && dir != "" {
		address = "unix:path=" + dir + "/bus"
	}
	if address == "" {
		return nil, none("the desktop has no session bus")
	}
	// The connection outlives ctx, so that the question can be taken back.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	stop := context.AfterFunc(ctx, end)
	conn, err := dbus.Connect(address, dbus.WithContext(life), dbus.WithAuth(dbus.AuthExternal(strconv.Itoa(os.Geteuid()))))
	if err != nil {
		return nil, asCtx(ctx, none("cannot reach the session bus: %w", err))
	}
	defer conn.Close()
	if !stop() {
		return nil, asCtx(ctx, ctx.Err())
	}
	uri, err := screenshot(ctx, conn)
	if err != nil {
		return nil, asCtx(ctx, err)
	}
	return take(ctx, uri)
}

// asCtx gives ctx's error where that is why another came about.
func asCtx(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("the desktop gave no picture of the screen in time: try again, %s: %w", instead, ctx.Err())
}

// screenshot asks for a picture and gives the URI of its file.
func screenshot(ctx context.Context, conn *dbus.Conn) (uri string, err error) {
	var owner string
	bus := conn.BusObject()
	if err := bus.CallWithContext(ctx, "org.freedesktop.DBus.GetNameOwner", 0, portalName).Store(&owner); err != nil {
		_ = bus.CallWithContext(ctx, "org.freedesktop.DBus.StartServiceByName", 0, portalName, uint32(0)).Err // the next says
		if err := bus.CallWithContext(ctx, "org.freedesktop.DBus.GetNameOwner", 0, portalName).Store(&owner); err != nil {
			return "", none("this desktop has no portal for it (xdg-desktop-portal)")
		}
	}
	token := "fob" + strings.ToLower(rand.Text())
	me := strings.ReplaceAll(strings.TrimPrefix(conn.Names()[0], ":"), ".", "_")
	request := dbus.ObjectPath(portalPath + "/request/" + me + "/" + token)

	signals := make(chan *dbus.Signal, 16)
	conn.Signal(signals)
	if err := conn.AddMatchSignalContext(ctx, dbus.WithMatchSender(owner), dbus.WithMatchObjectPath(request),
		dbus.WithMatchInterface(requestIface), dbus.WithMatchMember("Response")); err != nil {
		return "", none("cannot listen to the desktop: %w", err)
	}
	if err := conn.AddMatchSignalContext(ctx, dbus.WithMatchInterface("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"),
		dbus.WithMatchArg(0, portalName)); err != nil {
		return "", none("cannot listen to the desktop: %w", err)
	}
	call := conn.Object(owner, portalPath).GoWithContext(ctx, takeScreenshot, 0, make(chan *dbus.Call, 1),
		"", map[string]dbus.Variant{"handle_token": dbus.MakeVariant(token), "interactive": dbus.MakeVariant(false)})
	done := call.Done
	for {
		select {
		case <-ctx.Done():
			last, end := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer end()
			_ = conn.Object(owner, request).CallWithContext(last, requestIface+".Close", dbus.FlagNoAutoStart).Err // no more can be done
			return "", ctx.Err()
		case <-done:
			if call.Err != nil {
				return "", none("the desktop's portal takes none: %w", call.Err)
			}
			done = nil
		case s, open := <-signals:
			switch {
			case !open:
				return "", none("the session bus is gone")
			case s.Sender == "org.freedesktop.DBus" && s.Name == "org.freedesktop.DBus.NameOwnerChanged":
				return "", none("the desktop's portal ended")
			case s.Sender == owner && s.Path == request && s.Name == requestIface+".Response":
				return response(s.Body)
			}
		}
	}
}

// response reads what the portal answered.
func response(body []any) (uri string, err error) {
	var code uint32
	var results map[string]dbus.Variant
	if err := dbus.Store(body, &code, &results); err != nil {
		return "", none("the desktop's portal answered something else: %w", err)
	}
	switch code {
	case 0:
		if err := results["uri"].Store(&uri); err != nil {
			return "", none("the desktop's portal gave no file")
		}
		return uri, nil
	case 1:
		return "", ErrRefused
	}
	return "", none("the desktop's portal ended it")
}

// take reads the picture that the portal left in a file, and removes it: there are secrets on it.
func take(ctx context.Context, uri string) (image.Image, error) {
	path, err := local(uri)
	if err != nil {
		return nil, none("the desktop's portal named no file of a picture: %w", err)
	}
	// Without O_NONBLOCK a FIFO waits for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, none("cannot read what the desktop's portal took: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no file")
	}
	if err != nil {
		return nil, none("cannot read what the desktop's portal took: %w", err)
	}
	img, err := qr.Decode(ctx, f)
	if errors.Is(err, qr.ErrNoPicture) { // it may be anything of the user's: it stays
		return nil, none("what the desktop's portal took is no picture")
	}
	gone := os.Remove(path)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, asCtx(ctx, err)
	case err != nil:
		return nil, none("cannot read what the desktop's portal took: %w", err)
	case gone != nil:
		return nil, none("the picture stays on the disk, with what is on your screen: remove it by hand: %w", gone)
	}
	return img, nil
}

// local gives the path that a URI names: of a file below one of the folders where desktops put pictures.
func local(uri string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return "", errors.New("its address cannot be read")
	}
	if u.Scheme != "file" || u.Host != "" && u.Host != "localhost" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return "", errors.New("it is on no disk")
	}
	if !filepath.IsAbs(u.Path) || strings.ContainsRune(u.Path, 0) {
		return "", errors.New("its address is not whole")
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(u.Path))
	if err != nil {
		return "", err
	}
	for _, top := range []string{os.Getenv("HOME"), os.Getenv("XDG_RUNTIME_DIR"), os.TempDir(), "/tmp", "/var/tmp"} {
		if top, err = filepath.EvalSymlinks(top); err != nil || !filepath.IsAbs(top) {
			continue
		}
		if rel, err := filepath.Rel(top, dir); err == nil && filepath.IsLocal(rel) {
			return filepath.Join(dir, filepath.Base(u.Path)), nil
		}
	}
	return "", errors.New("it is outside of your folders")
}
