#!/bin/sh
# Fuzzes each target in turn for FUZZTIME (10s if unset). What a target finds is written below its
# package's testdata/fuzz, to be committed together with the fix.
set -eu
: "${FUZZTIME:=10s}"
grep -rl --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do
	sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file" | while read -r target; do
		echo "fuzz: $target in $(dirname "$file") for $FUZZTIME"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" "./$(dirname "$file")"
	done
done
