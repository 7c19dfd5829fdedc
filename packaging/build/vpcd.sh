#!/bin/sh
# Fetches vsmartcard-vpcd's driver, the virtual smart card reader of the tests and the demo, into bin/vpcd. The
# package is not installed: it would have the system's own pcscd listen for cards on every address of the machine.
set -eu
dir=bin/vpcd
[ -e "$dir/libifdvpcd.so" ] && exit 0
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
	echo "fob: there is no apt here to fetch vsmartcard-vpcd with: put its libifdvpcd.so into $dir" >&2
	exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
fetch() { (cd "$work" && apt-get -q download vsmartcard-vpcd >/dev/null 2>&1); }
fetch || {
	sudo=
	[ "$(id -u)" = 0 ] || sudo=sudo
	$sudo apt-get -y -q update >/dev/null && fetch
} || {
	echo "fob: cannot fetch the Debian package vsmartcard-vpcd" >&2
	exit 1
}
dpkg-deb -x "$work"/vsmartcard-vpcd_*.deb "$work/x"
mkdir -p "$dir"
cp -L "$work/x/usr/lib/pcsc/drivers/serial/libifdvpcd.so" "$dir/libifdvpcd.so.new"
mv "$dir/libifdvpcd.so.new" "$dir/libifdvpcd.so"
