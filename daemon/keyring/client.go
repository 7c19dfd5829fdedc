package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"

	"github.com/fobproject/fob/internal/secret"
	"github.com/fobproject/fob/internal/vault"
)

const (
	serviceName = "org.freedesktop.secrets"
	servicePath = "/org/freedesktop/secrets"

	serviceInterface    = "org.freedesktop.Secret.Service"
	collectionInterface = "org.freedesktop.Secret.Collection"
	itemInterface       = "org.freedesktop.Secret.Item"
	promptInterface     = "org.freedesktop.Secret.Prompt"

	// none is the path that stands for no object, and for no prompt.
	none = dbus.ObjectPath("/")
)

// The item that holds the key.
const (
	itemLabel  = "Fob vault key"
	itemSchema = "io.github.fobproject.Fob.Vault"
)

// maxItems bounds the items that are looked at.
const maxItems = 16

var (
	errLocked     = fmt.Errorf("%w: the keyring is locked", vault.ErrKeeperAway)
	errNoService  = fmt.Errorf("%w: no secret service is on the session bus", vault.ErrKeeperAway)
	errNoKeyring  = fmt.Errorf("%w: there is no default keyring that outlasts the session", vault.ErrKeeperAway)
	errAsksPerson = fmt.Errorf("%w: the keyring wants to ask its user first", vault.ErrKeeperAway)
)

// client is one connection to the bus with a session of the service. Its calls end with ctx.
type client struct {
	ctx        context.Context
	conn       *dbus.Conn
	owner      string // of the service's name when it was asked: all calls go there
	session    dbus.ObjectPath
	key        *secret.Secret // of the session; nil if it is plain
	attributes map[string]string
}

// wireSecret is a secret on its way (Secret Service API 0.2, "Secret"): D-Bus type (oayays).
type wireSecret struct {
	Session     dbus.ObjectPath
	Parameters  []byte
	Value       []byte
	ContentType string
}

func connect(ctx context.Context, s SecretService) (*client, error) {
	if !strings.HasPrefix(s.Address, "unix:") {
		return nil, fmt.Errorf("%w: the session bus's address does not begin with “unix:”", vault.ErrKeeperAway)
	}
	conn, err := dbus.Connect(s.Address, dbus.WithContext(ctx), dbus.WithAuth(dbus.AuthExternal(strconv.Itoa(os.Geteuid()))))
	if err != nil {
		return nil, fmt.Errorf("cannot reach the session bus: %w", err)
	}
	c := &client{ctx: ctx, conn: conn, attributes: map[string]string{"xdg:schema": itemSchema, "instance": s.InstanceID}}
	if c.owner, err = c.findService(); err == nil {
		err = c.openSession()
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// close ends the session as well: the service notices that we leave.
func (c *client) close() {
	c.key.Wipe()
	_ = c.conn.Close() // it may be closed already
}

// findService gives the connection that has the service's name. One that is not there is started if
// the bus can do that; otherwise that is said at once.
func (c *client) findService() (owner string, err error) {
	bus := func(method string, args ...any) *dbus.Call {
		return c.conn.BusObject().CallWithContext(c.ctx, "org.freedesktop.DBus."+method, 0, args...)
	}
	if err := bus("GetNameOwner", serviceName).Store(&owner); !isError(err, "org.freedesktop.DBus.Error.NameHasNoOwner") {
		return owner, err
	}
	var startable []string
	if err := bus("ListActivatableNames").Store(&startable); err != nil {
		return "", err
	}
	if !slices.Contains(startable, serviceName) {
		return "", errNoService
	}
	if err := bus("StartServiceByName", serviceName, uint32(0)).Err; err != nil {
		return "", fmt.Errorf("%w: it cannot be started: %w", vault.ErrKeeperAway, err)
	}
	err = bus("GetNameOwner", serviceName).Store(&owner)
	return owner, err
}

// call calls a method of one of the service's objects and stores what it returns.
func (c *client) call(path dbus.ObjectPath, method string, args []any, results ...any) error {
	call := c.conn.Object(c.owner, path).CallWithContext(c.ctx, method, dbus.FlagNoAutoStart, args...)
	if call.Err != nil {
		if isError(call.Err, "org.freedesktop.Secret.Error.IsLocked") {
			return errLocked
		}
		return call.Err
	}
	return call.Store(results...)
}

func isError(err error, name string) bool {
	var known dbus.Error
	return errors.As(err, &known) && known.Name == name
}

// openSession agrees on how secrets travel: encrypted, or as they are where the service cannot do that.
func (c *client) openSession() error {
	x, err := newExchange()
	if err != nil {
		return err
	}
	var theirs dbus.Variant
	err = c.call(servicePath, serviceInterface+".OpenSession", []any{algorithmDH, dbus.MakeVariant(x.public)}, &theirs, &c.session)
	if isError(err, "org.freedesktop.DBus.Error.NotSupported") {
		return c.call(servicePath, serviceInterface+".OpenSession", []any{algorithmPlain, dbus.MakeVariant("")}, &theirs, &c.session)
	}
	if err != nil {
		return err
	}
	public, _ := theirs.Value().([]byte)
	c.key, err = x.finish(public)
	return err
}

// look gives the items that hold a key, unlocked, or vault.ErrNoKey with the collection to put one in.
// A locked keyring may show none of its items: only an unlocked one proves that there is no key.
func (c *client) look() (items []dbus.ObjectPath, collection dbus.ObjectPath, err error) {
	items, locked, err := c.search()
	if err == nil && len(items) == 0 && len(locked) > 0 {
		if err = c.unlock(locked); err == nil {
			items, _, err = c.search()
		}
	}
	if err != nil || len(items) > 0 {
		return items, none, err
	}
	if collection, err = c.collection(); err != nil {
		return nil, none, err
	}
	isLocked, err := c.isLocked(collection)
	if err != nil {
		return nil, none, err
	}
	if isLocked {
		if err := c.unlock([]dbus.ObjectPath{collection}); err != nil {
			return nil, none, err
		}
		items, _, err = c.search()
		if err != nil || len(items) > 0 {
			return items, none, err
		}
	}
	return nil, collection, vault.ErrNoKey
}

func (c *client) search() (unlocked, locked []dbus.ObjectPath, err error) {
	err = c.call(servicePath, serviceInterface+".SearchItems", []any{c.attributes}, &unlocked, &locked)
	if err == nil && len(unlocked)+len(locked) > maxItems {
		err = ErrAmbiguous
	}
	return unlocked, locked, err
}

// unlock unlocks objects if that needs nobody.
func (c *client) unlock(objects []dbus.ObjectPath) error {
	var unlocked []dbus.ObjectPath
	var prompt dbus.ObjectPath
	if err := c.call(servicePath, serviceInterface+".Unlock", []any{objects}, &unlocked, &prompt); err != nil {
		return err
	}
	if c.dismissed(prompt) || len(unlocked) < len(objects) {
		return errLocked
	}
	return nil
}

// dismissed reports whether there was a prompt, and dismisses it: it would be shown only if it were
// asked to, and must not stay.
func (c *client) dismissed(prompt dbus.ObjectPath) bool {
	if prompt == none {
		return false
	}
	_ = c.call(prompt, promptInterface+".Dismiss", nil) // our leaving the bus ends it too
	return true
}

// collection is the default keyring. One that lives as long as the session is none.
func (c *client) collection() (dbus.ObjectPath, error) {
	var standard, session dbus.ObjectPath
	if err := c.call(servicePath, serviceInterface+".ReadAlias", []any{"default"}, &standard); err != nil {
		return none, err
	}
	if err := c.call(servicePath, serviceInterface+".ReadAlias", []any{"session"}, &session); err != nil {
		session = none // not every service has this alias
	}
	if standard == none || standard == session {
		return none, errNoKeyring
	}
	return standard, nil
}

func (c *client) isLocked(collection dbus.ObjectPath) (bool, error) {
	var v dbus.Variant
	if err := c.call(collection, "org.freedesktop.DBus.Properties.Get", []any{collectionInterface, "Locked"}, &v); err != nil {
		return false, err
	}
	locked, ok := v.Value().(bool)
	if !ok {
		return false, errors.New("the secret service does not say whether the keyring is locked")
	}
	return locked, nil
}

// get gives the one key that there is.
func (c *client) get() (*secret.Secret, error) {
	items, _, err := c.look()
	if err != nil {
		return nil, err
	}
	var key *secret.Secret
	for _, item := range items {
		k, err := c.read(item)
		if err == nil && key != nil && !bytes.Equal(k.Reveal(), key.Reveal()) {
			err = ErrAmbiguous
		}
		key.Wipe()
		if err != nil {
			k.Wipe()
			return nil, err
		}
		key = k
	}
	return key, nil
}

// read gives the key in an item.
func (c *client) read(item dbus.ObjectPath) (*secret.Secret, error) {
	var s wireSecret
	if err := c.call(item, itemInterface+".GetSecret", []any{c.session}, &s); err != nil {
		return nil, err
	}
	defer clear(s.Value)
	text, err := unwrap(c.key, s.Parameters, s.Value)
	if err != nil {
		return nil, err
	}
	defer text.Wipe()
	return parseKey(text.Reveal())
}

// create puts the key into a new item of the collection.
func (c *client) create(collection dbus.ObjectPath, key *secret.Secret) error {
	text := formatKey(key)
	defer text.Wipe()
	params, value, err := wrap(c.key, text.Reveal())
	if err != nil {
		return err
	}
	defer clear(value)
	properties := map[string]dbus.Variant{
		itemInterface + ".Label":      dbus.MakeVariant(itemLabel),
		itemInterface + ".Attributes": dbus.MakeVariant(c.attributes),
	}
	const replace = false
	var item, prompt dbus.ObjectPath
	s := wireSecret{c.session, params, value, "text/plain"}
	if err := c.call(collection, collectionInterface+".CreateItem", []any{properties, s, replace}, &item, &prompt); err != nil {
		return err
	}
	if c.dismissed(prompt) {
		return errAsksPerson
	}
	return nil
}

func (c *client) delete(item dbus.ObjectPath) error {
	var prompt dbus.ObjectPath
	if err := c.call(item, itemInterface+".Delete", nil, &prompt); err != nil {
		return err
	}
	if c.dismissed(prompt) {
		return errAsksPerson
	}
	return nil
}
