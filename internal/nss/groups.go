package nss

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// GroupsOf returns the names of all groups of the user who is called exactly user, the primary one among
// them, sorted. A group whose gid has several names comes by the one that the name service gives for the
// gid. Errors wrap ErrUnknown where there is no such user, or ErrUnavailable: so too where one of the
// groups has no name, since it may be one that matters. A source of groups that fails without saying so,
// as getgrouplist(3) lets it, is not noticed. All of it takes Timeout at most.
func (l Lookup) GroupsOf(ctx context.Context, user string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout())
	defer cancel()
	u, err := l.ByName(ctx, user)
	if err != nil {
		return nil, err
	}
	names, err := l.groupsOf(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("cannot look up the groups of %q: %w", user, err)
	}
	return names, nil
}

func (l Lookup) groupsOf(ctx context.Context, u User) ([]string, error) {
	out, err := l.getent(ctx, "initgroups", allOf, u.Name)
	if errors.Is(err, ErrUnknown) {
		return nil, fmt.Errorf("%w: getent knows the user but not their groups", ErrUnavailable)
	}
	if err != nil {
		return nil, err
	}
	ids, err := parseInitgroups(out, u.Name)
	if err != nil {
		return nil, err
	}
	ids = append(ids, u.GID)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	keys := make([]string, len(ids))
	for n, id := range ids {
		keys[n] = strconv.FormatUint(uint64(id), 10)
	}
	groups, err := l.groups(ctx, keys)
	if err != nil {
		return nil, err
	}
	named := make(map[uint32]bool, len(groups))
	for _, g := range groups {
		named[g.id] = true
	}
	names := make([]string, 0, len(ids))
	for _, id := range ids {
		if !named[id] {
			return nil, fmt.Errorf("%w: the group %d has no name", ErrUnavailable, id)
		}
	}
	for _, g := range groups {
		if slices.Contains(ids, g.id) {
			names = append(names, g.name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// GroupsByNames returns the ids of the groups that are called exactly as one of names, by name; those
// that do not exist are left out. Its error wraps ErrUnavailable: then nothing is known of any of them.
func (l Lookup) GroupsByNames(ctx context.Context, names []string) (map[string]uint32, error) {
	wanted := make(map[string]bool, len(names))
	for _, name := range names {
		if validName(name) {
			wanted[name] = true
		}
	}
	groups, err := l.groups(ctx, slices.Sorted(maps.Keys(wanted)))
	if err != nil {
		return nil, fmt.Errorf("cannot look up groups: %w", err)
	}
	found := make(map[string]uint32, len(wanted))
	for _, g := range groups {
		if wanted[g.name] {
			found[g.name] = g.id
		}
	}
	return found, nil
}

// group is one group of the system, without its members.
type group struct {
	name string
	id   uint32
}

// groups asks for some entries of the group database; those that are unknown are left out.
func (l Lookup) groups(ctx context.Context, keys []string) (found []group, err error) {
	for some := range slices.Chunk(keys, batch) {
		const fields = 3
		out, err := l.getent(ctx, "group", fields, some...)
		if err != nil && !errors.Is(err, ErrUnknown) { // it says so where one of them is unknown
			return nil, err
		}
		for line := range strings.Lines(string(out)) {
			g, err := parseGroup(line)
			if err != nil {
				return nil, err
			}
			found = append(found, g)
		}
	}
	return found, nil
}

// parseGroup reads the first three fields of a line that getent prints for a group (group(5)). Its errors
// wrap ErrUnavailable.
func parseGroup(line string) (group, error) {
	line, ok := strings.CutSuffix(line, "\n")
	f := strings.Split(line, ":")
	if !ok || len(f) < 4 || !validName(f[0]) || strings.ContainsAny(line, "\n\r\x00") {
		return group{}, fmt.Errorf("%w: getent printed no entry of group", ErrUnavailable)
	}
	id, err := parseID(f[2])
	if err != nil {
		return group{}, err
	}
	return group{name: f[0], id: id}, nil
}

// parseInitgroups reads the one line that getent prints for the user called name: the name, which may
// have spaces itself, and the ids of the groups that name the user as a member. Its errors wrap
// ErrUnavailable.
func parseInitgroups(b []byte, name string) (ids []uint32, err error) {
	line, ok := strings.CutSuffix(string(b), "\n")
	rest, ours := strings.CutPrefix(line, name)
	if !ok || !ours || strings.ContainsAny(line, "\n\r\x00") || !utf8.Valid(b) || rest != "" && rest[0] != ' ' {
		return nil, fmt.Errorf("%w: getent did not print one line of the user's groups", ErrUnavailable)
	}
	for _, s := range strings.Fields(rest) {
		id, err := parseID(s)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}
