package policy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Check fails on a file or directory that a policy may not come from.
type Check func(fs.FileInfo) error

// CheckOwner admits what root or the user with id daemon owns and nobody else may write to. The system
// instance loads its policy with it.
func CheckOwner(daemon uint32) Check {
	return func(info fs.FileInfo) error {
		st, ok := info.Sys().(*syscall.Stat_t)
		switch {
		case !ok:
			return errors.New("its owner cannot be told")
		case st.Uid != 0 && st.Uid != daemon:
			return fmt.Errorf("it belongs to uid %d: make it root's", st.Uid)
		case info.Mode().Perm()&0o022 != 0:
			return fmt.Errorf("users other than its owner may write to it (mode %04o): take that from them with chmod go-w", info.Mode().Perm())
		}
		return nil
	}
}

// Load reads the policy from the files dir/*.toml, hidden ones left out, in the order of their names.
// All of them count or none: errors wrap ErrInvalid. A directory that is missing or has none holds the
// built-in policy. Every file and the directory have to pass the checks.
func Load(dir string, checks ...Check) (*Policy, error) {
	files, err := readDir(dir, checks)
	if errors.Is(err, fs.ErrNotExist) {
		return Builtin(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return Parse(files)
}

func readDir(dir string, checks []Check) (files []File, err error) {
	d, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if err := check(d, dir, checks); err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		return !strings.HasSuffix(name, ".toml") || strings.HasPrefix(name, ".")
	})
	if len(names) > MaxFiles {
		return nil, fmt.Errorf("%s has more than %d files", dir, MaxFiles)
	}
	slices.Sort(names)
	for _, name := range names {
		text, err := readFile(filepath.Join(dir, name), checks)
		if errors.Is(err, fs.ErrNotExist) {
			// Not %w: a link to nothing is no missing directory.
			return nil, fmt.Errorf("%v", err)
		}
		if err != nil {
			return nil, err
		}
		files = append(files, File{Name: name, Text: text})
	}
	return files, nil
}

func readFile(path string, checks []Check) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe nobody writes to would hang it
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	if err := check(f, path, checks); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, MaxFile+1)) // Parse refuses one that is too large
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return text, nil
}

// check looks at what was opened, which the path may no longer lead to.
func check(f *os.File, path string, checks []Check) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	for _, c := range checks {
		if err := c(info); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}
