#!/usr/bin/env bash
# A sign-in from start to end, to watch: a private daemon, a key, its registration, a sign-in that is
# approved by a tap, its receipt, a fob whose code signs in once and not twice, a sign-in that is
# denied and told to wait, the log's check, an account that is scanned onto a card, and the vault opened
# by a tap. It fails where a step does not end as it says.
#
# The fob is made of its seed and oathtool, which shows what a fob's display would.
#
# The key is a software key on a pty, which this script touches when it waits; KEY=1 takes the keys
# that are plugged in, and you touch. Nothing is left behind, but for the credential on a real key,
# which holds no place there.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH=$PWD/bin:$PATH
real=${KEY:-}
pause=1.2 # seconds for which a blinking software key is seen before it is touched

dir=$(mktemp -d "${TMPDIR:-/tmp}/fob-demo.XXXXXX")
export FOB_SOCKET=$dir/fob.sock
fob() { command fob --socket "$FOB_SOCKET" "$@"; } # root's fob ignores FOB_SOCKET

declare -A running
finish() {
	trap - EXIT
	rm -f "$dir/hand"
	for name in request daemon key hand; do
		[ -z "${running[$name]:-}" ] || kill "${running[$name]}" 2>/dev/null || true
	done
	wait || true
	rm -rf "$dir"
}
trap finish EXIT
trap 'exit 130' INT TERM

if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; else bold='' dim='' plain=''; fi
step() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }
say() { printf '   %s\n' "$@"; }
command_line() { printf '   %s$ %s%s\n' "$dim" "$*" "$plain"; }
indent() { sed -u 's/^/     /'; }
fail() {
	printf '\nfob demo: %s\n' "$1" >&2
	if [ -s "$dir/daemon.log" ]; then
		echo "fob demo: the daemon's last words:" >&2
		tail -n 5 "$dir/daemon.log" >&2
	fi
	exit 1
}
# run COMMAND...: shows the command and what it says; its result alone goes to $dir/out.
run() {
	command_line "$*"
	local code=0
	"$@" 2> >(indent) >"$dir/out" || code=$?
	wait $! || true # until all that it said is shown
	[ ! -s "$dir/out" ] || indent <"$dir/out"
	return $code
}
# await WHAT COMMAND...: until COMMAND succeeds, 10 seconds at most.
await() {
	local what=$1
	shift
	for _ in {1..200}; do
		! "$@" >/dev/null 2>&1 || return 0
		sleep 0.05
	done
	fail "waited in vain for $what"
}
first_id() { sed -n 's/^ *"id": "\([^"]*\)".*/\1/p' | head -n 1; }
waits_for_touch() { fob requests --json | grep -q '"state": "touch"'; }

if [ -n "$real" ]; then
	echo "Fob's demo, with a key that is plugged in. Touch it whenever it blinks."
else
	echo "Fob's demo. A software key takes the place of a real one, and this script is the finger."
fi

step "1. The daemon starts"
say "On your desk, systemd starts it with your session. This one is private and lives in a temporary folder."
keys=()
if [ -z "$real" ]; then
	mkfifo "$dir/lines"
	fob-virtual key --link "$dir/key" --touch manual </dev/null >"$dir/lines" 2>"$dir/key.log" &
	running[key]=$!
	touch "$dir/hand" # as long as it is there, the hand touches a key that waits
	(
		trap 'exit 0' TERM
		while read -r line; do
			case $line in waiting*) ;; *) continue ;; esac
			sleep "$pause" # what it is for: so that a person sees the key wait
			[ -e "$dir/hand" ] || continue
			say "  (the finger touches the key)"
			kill -USR1 "${running[key]}" 2>/dev/null || true
		done <"$dir/lines"
	) &
	running[hand]=$!
	await "the software key" test -e "$dir/key"
	keys=(--key "$dir/key")
fi
fobd --dir "$dir" "${keys[@]}" 2>"$dir/daemon.log" &
running[daemon]=$!
await "the daemon" fob status
run fob keys || fail "the keys cannot be listed"
if ! fob keys --json | grep -q '"id"'; then
	fail "no key is plugged in: plug one in and run make demo KEY=1 again, or make demo without a key"
fi

step "2. You register the key"
say "You would plug it in and touch it when it blinks: once to register, once more as a test."
run fob methods add key --name Blue || fail "the key could not be registered"
run fob methods || fail "the methods cannot be listed"
grep -q Blue "$dir/out" || fail "the key is not among the methods"

step "3. A program asks whether it is really you"
say "Here it is a mail program. The key blinks, and you touch it: that is all."
command_line "fob verify --service mailer --command 'send 40 messages'"
fob --json verify --service mailer --command 'send 40 messages' 2> >(indent) >"$dir/approved" || fail "the sign-in was not approved"
grep -q '"decision": "approved"' "$dir/approved" || fail "the sign-in has no decision"
id=$(first_id <"$dir/approved")
say "${bold}approved${plain} (exit code 0), and on disk before the program heard it."

step "4. What you approved can be shown later"
say "The receipt holds what the key signed, word for word."
run fob log receipt "$id" --out "$dir/receipt" || fail "the receipt is not valid"
type=$(sed -n 's/.* fido2-assert -V.*public-key.pem \([a-z0-9]*\).*/\1/p' "$dir/out" | head -n 1)
say "The same, checked by libfido2's own tool, which knows nothing of Fob:"
run fido2-assert -V -p -i "$dir/receipt/assertion" "$dir/receipt/public-key.pem" "${type:-es256}" || fail "fido2-assert does not accept the signature"
say "  (it says nothing: the signature is valid)"

step "5. A fob takes the key's place, for the day the key is at home"
say "Its maker sends a file with the seed. You import it, and show with two codes in a row that you hold the fob."
serial=DEMO-0042
seed=$(od -An -N 20 -t x1 /dev/urandom | tr -d ' \n')
printf 'serial,user,secret\n%s,%s,%s\n' "$serial" "$(id -un)" "$seed" >"$dir/fobs.csv"
presses=0
# press: presses the fob's button; its code goes to $code and, as the display shows it, to the screen.
press() {
	code=$(oathtool --hotp --counter="$presses" "$seed") || fail "the fob shows nothing"
	presses=$((presses + 1))
	printf '\n       ╭───────────────────╮\n       │  ╔═════════════╗  │\n       │  ║   %s%s %s%s   ║ ◉│  (the finger presses the fob)\n       │  ╚═════════════╝  │\n       ╰───────────────────╯\n\n' \
		"$bold" "${code:0:3}" "${code:3}" "$plain"
	[ -n "$real" ] || sleep "$pause"
}
run fob tokens import "$dir/fobs.csv" --columns serial=serial,user=user,secret=secret --secret hex --type hotp || fail "the fob could not be imported"
rm "$dir/fobs.csv"
press
first=$code
press
printf '%s\n%s\n' "$first" "$code" >"$dir/typed"
run fob methods add token "$serial" --name Fob --code - <"$dir/typed" || fail "the fob could not be registered"
say "The key approved it first: whoever finds a fob cannot add it by themselves. Now its code signs you in:"
press
echo "$code" >"$dir/typed"
run fob verify --service mailer --code - <"$dir/typed" || fail "the code did not sign in"
say "${bold}approved${plain} (exit code 0). The same code once more, as somebody would who looked over your shoulder:"
ended=0
run fob verify --service mailer --code - <"$dir/typed" || ended=$?
[ "$ended" = 1 ] || fail "a code that was used ended with exit code $ended, not 1"
say "${bold}refused${plain} (exit code 1)."

step "6. A program asks, and it was not you"
say "You do not touch the key, and deny: in another terminal now, in the tray later."
rm -f "$dir/hand"
command_line "fob verify --service stranger"
fob --json verify --service stranger 2> >(indent) >"$dir/denied" &
running[request]=$!
await "the second request" waits_for_touch
[ -n "$real" ] || sleep "$pause"
id=$(fob requests --json | first_id)
run fob requests deny "$id" || fail "the request could not be denied"
code=0
wait "${running[request]}" || code=$?
unset 'running[request]'
[ "$code" = 1 ] || fail "a denied request ended with exit code $code, not 1"
grep -q '"decision": "denied"' "$dir/denied" || fail "the request was not denied"
say "${bold}denied${plain} (exit code 1). It does not give up, and you hear nothing of it:"
code=0
run fob verify --service stranger || code=$?
[ "$code" = 4 ] || fail "who was denied a moment ago ended with exit code $code, not 4"
say "${bold}told to wait${plain} (exit code 4)."

step "7. The record"
run fob log || fail "the log cannot be read"
run fob log --verify || fail "the log does not hold"

step "8. A code instead of a phone"
say "A site shows a QR code for an authenticator app. Your key's OATH applet takes the account; here it is a software card"
say "under a real pcscd, in a corner of its own that nothing outside can reach."
if fob-virtual readers -- true 2>"$dir/why" || [ -n "${CI:-}" ]; then
	fob-virtual readers -- bash packaging/demo/card.sh "$dir" </dev/null > >(indent) 2>&1 || fail "the account could not be put onto the card, or its code is not oathtool's"
else
	say "Left out: this machine cannot have that corner ($(cat "$dir/why"))."
fi

step "9. The vault opens by a tap"
say "It holds the fob's seed, and opened by a key file so far. Without that, nothing in it can be read without the key in"
say "the hand, also off a disk that was copied. A key can be lost, so there is a recovery key on paper first."
touch "$dir/hand"
run fob vault slots add recovery --name Paper || fail "the recovery key could not be made"
run fob vault slots add security-key --name Blue || fail "the key could not be let to open the vault"
run fob vault slots remove 'Key file' --yes || fail "the key file's slot could not be removed"
run fob vault lock || fail "the vault could not be locked"
run fob vault unlock || fail "the tap did not open the vault"
grep -q 'open until' "$dir/out" || fail "the vault does not lock by itself"

printf '\n%sThat was all of it.%s Nothing is left behind. README.md says how to use it for real.\n' "$bold" "$plain"
