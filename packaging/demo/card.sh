#!/usr/bin/env bash
# The demo's step with a card, where the virtual readers are: an account is scanned from a QR image onto the card, and
# its code is the one that oathtool makes of the same secret. It takes the demo's folder.
set -euo pipefail
work=$1/card
mkdir "$work"
socket=$work/fob.sock
fob() { command fob --socket "$socket" "$@"; }
declare -A running
finish() {
	for name in fobd card; do
		[ -z "${running[$name]:-}" ] || kill "${running[$name]}" 2>/dev/null || true
	done
	wait || true
}
trap finish EXIT
await() {
	for _ in {1..200}; do
		! "$@" >/dev/null 2>&1 || return 0
		sleep 0.05
	done
	echo "waited in vain for: $*"
	exit 1
}

fob-virtual card >"$work/card.log" &
running[card]=$!
fobd --dir "$work" 2>"$work/fobd.log" &
running[fobd]=$!
await fob status
await sh -c "fob --socket '$socket' cards | grep -q 'open, without password'"

secret=$(head -c 20 /dev/urandom | base32)
qrencode -o "$work/qr.png" "otpauth://totp/Contoso:alice@example.com?secret=$secret&issuer=Contoso"
# All is shown within one period of 30 s.
left=$((30 - $(date +%s) % 30))
[ "$left" -ge 5 ] || sleep "$left"
echo '$ fob accounts add --image qr.png'
fob accounts add --image "$work/qr.png"
echo '$ fob codes'
fob codes
echo '$ oathtool --totp --base32 …'
code=$(oathtool --totp --base32 "$secret")
echo "$code"
fob --json codes contoso | grep -q "\"code\": \"$code\"" || { echo "the card's code is another"; exit 1; }
echo "The same: the site cannot tell the key from a phone."
