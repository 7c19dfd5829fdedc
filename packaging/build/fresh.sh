#!/bin/sh
# Proves README's two commands on bare Debian 12 systems: a chroot for each, made by mmdebstrap with
# nothing but make, Go on PATH and a clone of HEAD, in which the command has to install what it needs.
#
#   fresh.sh [TARGET...]        demo and test if none is named
#
# Needs root and mmdebstrap. FRESH_DIR holds the chroots (a temporary folder if unset, removed at the
# end). The host's module cache serves first, then GOPROXY; the host's proxies, resolver and own
# certificates apply, as a chroot has none.
set -eu

[ "$(id -u)" = 0 ] || { echo "fob: make fresh needs root, for chroot and mount" >&2; exit 1; }
command -v mmdebstrap >/dev/null || { echo "fob: make fresh needs mmdebstrap: apt-get install mmdebstrap" >&2; exit 1; }
[ $# -gt 0 ] || set -- demo test

dir=$(mktemp -d "${FRESH_DIR:-${TMPDIR:-/tmp}}/fob-fresh.XXXXXX")
trap 'rm -rf --one-file-system "$dir"' EXIT
trap 'exit 130' INT TERM

echo "fresh: making a bare Debian 12"
mmdebstrap --quiet --variant=minbase --include=make bookworm "$dir/base.tar"

for target in "$@"; do
	chroot=$dir/$target
	mkdir "$chroot"
	tar -C "$chroot" -xf "$dir/base.tar"
	git clone -q --no-hardlinks . "$chroot/srv/fob"
	cp /etc/resolv.conf /etc/hosts "$chroot/etc/"
	if [ -d /usr/local/share/ca-certificates ]; then
		mkdir -p "$chroot/usr/local/share/ca-certificates"
		cp -r /usr/local/share/ca-certificates/. "$chroot/usr/local/share/ca-certificates/"
	fi
	mkdir -p "$chroot/usr/local/go" "$chroot/modules"
	for program in go git gcc pkg-config fido2-assert dbus-daemon; do
		! chroot "$chroot" sh -c "command -v $program" >/dev/null || { echo "fresh: the chroot has $program already" >&2; exit 1; }
	done

	echo "fresh: make $target"
	# A name space of its own for mounts and processes: nothing of them is left at the end.
	FRESH_CHROOT=$chroot FRESH_TARGET=$target unshare --mount --pid --fork --kill-child sh -euc '
		c=$FRESH_CHROOT
		mount --bind "$c" "$c" # so that what is started in it can have mounts of its own
		mount --bind -o ro "$(go env GOROOT)" "$c/usr/local/go"
		mount --bind -o ro "$(go env GOMODCACHE)" "$c/modules"
		mount -t proc proc "$c/proc"
		mount --rbind /dev "$c/dev"
		mount -t sysfs -o ro sysfs "$c/sys"
		exec chroot "$c" env -i \
			PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
			HOME=/root LANG=C.UTF-8 ${CI:+CI="$CI"} \
			${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} ${no_proxy:+no_proxy="$no_proxy"} \
			GOPROXY="file:///modules/cache/download,$(go env GOPROXY)" GOSUMDB="$(go env GOSUMDB)" GOFLAGS="$(go env GOFLAGS)" \
			make -C /srv/fob "$FRESH_TARGET"' </dev/null
	echo "fresh: make $target passed"
	rm -rf --one-file-system "$chroot"
done
