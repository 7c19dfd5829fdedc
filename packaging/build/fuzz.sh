#!/bin/sh
# Fuzzes each target in turn for FUZZTIME (10s if unset), and fails at the end if one found something.
# What it found is written below its package's testdata/fuzz, to be committed together with the fix.
set -eu
: "${FUZZTIME:=10s}"
out=$(mktemp)
trap 'rm -f "$out"' EXIT

# Go's fuzzer now and then calls its own deadline a failure; a finding names the input that it wrote.
by_its_clock() {
	grep -q 'context deadline exceeded' "$out" && ! grep -q 'Failing input written' "$out"
}

failed=0
for file in $(grep -rl --include='*_test.go' '^func Fuzz' . | sort); do
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
		echo "fuzz: $target in $(dirname "$file") for $FUZZTIME"
		if go test -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 20x "$(dirname "$file")" >"$out" 2>&1 || by_its_clock; then
			grep '^fuzz: elapsed' "$out" | tail -n 1
		else
			cat "$out"
			failed=1
		fi
	done
done
exit $failed
