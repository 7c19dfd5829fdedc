package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/fobproject/fob/internal/audit"
)

// ErrConfig says that fobd was told something that makes no sense: its flags, its environment or its
// configuration file.
var ErrConfig = errors.New("cannot use the configuration")

// Bounds of the configuration file.
const (
	maxFile = 64 << 10
	maxKeys = 16
)

// File is what the configuration file may hold.
type File struct {
	// Keys are paths of devices that are keys although they are not found by themselves.
	Keys []string `toml:"keys"`
	// LogLevel is debug, info, warn or error; info if empty.
	LogLevel string `toml:"log_level"`
	// Helper is the path of fob-helper, where it is not installed beside fobd.
	Helper string `toml:"helper"`
	// KeepLogDays is for how many days entries of the log are kept; 400 if 0.
	KeepLogDays int `toml:"keep_log_days"`
}

// ParseFile reads a configuration file's text. It refuses what it does not know and what has the
// wrong type, with the line. Errors do not name the file.
func ParseFile(text []byte) (File, error) {
	var f File
	meta, err := toml.NewDecoder(bytes.NewReader(text)).Decode(&f)
	if err != nil {
		return File{}, parseError(err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return File{}, unknownKey(text, unknown[0])
	}
	if err := f.check(); err != nil {
		return File{}, err
	}
	return f, nil
}

func (f File) check() error {
	if len(f.Keys) > maxKeys {
		return fmt.Errorf("keys: %d paths are more than %d", len(f.Keys), maxKeys)
	}
	for _, p := range f.Keys {
		if !filepath.IsAbs(p) {
			return fmt.Errorf("keys: %q is not an absolute path", p)
		}
	}
	if f.Helper != "" && !filepath.IsAbs(f.Helper) {
		return fmt.Errorf("helper: %q is not an absolute path", f.Helper)
	}
	if f.KeepLogDays < 0 || f.KeepLogDays > 36500 {
		return fmt.Errorf("keep_log_days: %d is not between 1 and 36,500", f.KeepLogDays)
	}
	if _, err := ParseLevel(f.LogLevel); err != nil {
		return fmt.Errorf("log_level: %w", err)
	}
	return nil
}

// keepLog is for how long entries of the log are kept.
func (f File) keepLog() time.Duration {
	if f.KeepLogDays == 0 {
		return audit.DefaultKeep
	}
	return time.Duration(f.KeepLogDays) * 24 * time.Hour
}

// ParseLevel reads a level's name; empty is info.
func ParseLevel(name string) (slog.Level, error) {
	switch name {
	case "debug":
		return slog.LevelDebug, nil
	case "", "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("%q is not a level: use debug, info, warn or error", name)
}

// trap fails wherever it is decoded into, so that the decoder says where that is.
type trap struct{}

var errTrap = errors.New("unknown key")

// UnmarshalTOML implements toml.Unmarshaler.
func (*trap) UnmarshalTOML(any) error { return errTrap }

// unknownKey finds the line of a key that nothing was decoded from: it decodes again into a struct
// that has a trap there.
func unknownKey(text []byte, key toml.Key) error {
	err := fmt.Errorf("unknown key %q", key)
	into := reflect.TypeFor[trap]()
	for _, name := range slices.Backward(key) {
		into = reflect.StructOf([]reflect.StructField{{Name: "Inner", Type: into, Tag: reflect.StructTag("toml:" + strconv.Quote(name))}})
	}
	_, trapped := toml.NewDecoder(bytes.NewReader(text)).Decode(reflect.New(into).Interface())
	if p, ok := errors.AsType[toml.ParseError](trapped); ok && p.Position.Line > 0 {
		return fmt.Errorf("line %d: %w", p.Position.Line, err)
	}
	return err
}

// parseError keeps the line and drops the library's name.
func parseError(err error) error {
	if p, ok := errors.AsType[toml.ParseError](err); ok {
		return fmt.Errorf("line %d: %s", p.Position.Line, strings.TrimSuffix(p.Message, "."))
	}
	return errors.New(strings.TrimPrefix(err.Error(), "toml: "))
}

// readFile reads the configuration file at path. A missing one is empty unless it must be there.
func readFile(path string, must bool) (File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe nobody writes to would hang it
	if errors.Is(err, fs.ErrNotExist) && !must {
		return File{}, nil
	}
	if err != nil {
		return File{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return File{}, fmt.Errorf("%w: %s is no regular file", ErrConfig, path)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return File{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if len(text) > maxFile {
		return File{}, fmt.Errorf("%w: %s is larger than %d bytes", ErrConfig, path, maxFile)
	}
	f, err := ParseFile(text)
	if err != nil {
		return File{}, fmt.Errorf("%w: %s: %w", ErrConfig, path, err)
	}
	return f, nil
}

// merge puts what the command line says on top of the file.
func (f File) merge(o Options) (File, error) {
	f.Keys = slices.Concat(f.Keys, o.Keys)
	if o.LogLevel != "" {
		f.LogLevel = o.LogLevel
	}
	if err := f.check(); err != nil {
		return File{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return f, nil
}
