#!/bin/sh
# Installs the Debian packages that a make target needs and lacks.
#
#   deps.sh build|demo|test|bench ...
#
# Each thing is looked for by what it gives (a program, a library's pkg-config file), so that a system
# that has it from elsewhere is left alone; only what is missing is installed. Nothing missing: no
# output, no package manager run.
set -eu

missing=
need() { # need PACKAGE CHECK...: wants PACKAGE where CHECK fails
	package=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}

has() { command -v "$1"; }
has_headers() { echo '#include <stdlib.h>' | cc -E -; }
has_libfido2() { pkg-config --exists libfido2; }
has_libpcsclite() { pkg-config --exists libpcsclite; }
has_pam_oath() { ls /lib/*/security/pam_oath.so /usr/lib/*/security/pam_oath.so /usr/lib/security/pam_oath.so 2>/dev/null | grep -q .; }
has_pcscd() { command -v pcscd || [ -x /usr/sbin/pcscd ]; }
has_certificates() {
	[ -n "${SSL_CERT_FILE:-}" ] || [ -s /etc/ssl/certs/ca-certificates.crt ] ||
		[ -s /etc/pki/tls/certs/ca-bundle.crt ] || [ -s /etc/ssl/cert.pem ]
}

for group in "$@"; do
	case $group in
	build)
		need gcc has cc
		need libc6-dev has_headers
		need pkg-config has pkg-config
		need libfido2-dev has_libfido2
		need libpcsclite-dev has_libpcsclite
		need ca-certificates has_certificates
		;;
	demo)
		need fido2-tools has fido2-assert
		need oathtool has oathtool
		need pcscd has_pcscd
		need qrencode has qrencode
		;;
	bench)
		need libpam-oath has_pam_oath
		need pamtester has pamtester
		;;
	test)
		need age has age
		need fido2-tools has fido2-assert
		need gnome-keyring has gnome-keyring-daemon
		need oathtool has oathtool
		need pcscd has_pcscd
		need yubikey-manager has ykman
		need qrencode has qrencode
		need sway has sway
		need wl-clipboard has wl-copy
		need xclip has xclip
		need xvfb has Xvfb
		need pskc-utils has pskc2csv
		need pskctool has pskctool
		need dbus-daemon has dbus-daemon
		need libglib2.0-bin has gdbus
		need util-linux has setpriv
		need qrencode has qrencode
		need zbar-tools has zbarimg
		;;
	*)
		echo "deps.sh: there is no group \"$group\": it is build, demo, test or bench" >&2
		exit 2
		;;
	esac
done
missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')
missing=${missing% }
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
	echo "fob: cannot install what is missing, as there is no apt here." >&2
	echo "     Install what your system has in place of these Debian packages: $missing" >&2
	exit 1
fi
sudo=
if [ "$(id -u)" != 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "fob: some Debian packages are missing, and there is no sudo here. As root, run:" >&2
		echo "     apt-get install --no-install-recommends $missing" >&2
		exit 1
	fi
	sudo=sudo
fi

apt() { # apt ARGS...: apt-get that asks nothing
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -y -q "$@" </dev/null
}
known() { # known PACKAGES...: whether the package lists name a version of each
	for package in "$@"; do
		apt-cache policy "$package" 2>/dev/null | grep -q '^  Candidate: [^(]' || return 1
	done
}

echo "fob: installing $missing"
# shellcheck disable=SC2086 # one argument a package
{
	updated=
	if ! known $missing; then
		apt update
		updated=yes
	fi
	apt install --no-install-recommends $missing || {
		# Lists that are there but old name versions that are gone.
		[ -z "$updated" ] && apt update && apt install --no-install-recommends $missing
	}
} || {
	echo "fob: cannot install what is missing, as said above. As root, run:" >&2
	echo "     apt-get install --no-install-recommends $missing" >&2
	exit 1
}
