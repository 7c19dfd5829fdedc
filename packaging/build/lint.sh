#!/bin/sh
# Everything that judges the source without running it. Goes through all checks, then fails if one did.
set -u
failed=0
unknown= # why a check could not be made, for the one that is running
check() { # check NAME COMMAND...
	name=$1
	shift
	verdict=fine
	"$@" || verdict=FAILED
	[ $verdict = fine ] || failed=1
	echo "lint: $name: ${unknown:-$verdict}"
	unknown=
}

formatted() {
	files=$(find . -name '*.go' -not -path './.git/*' -exec gofmt -l {} +) || return 1
	[ -z "$files" ] && return
	echo "these files are not formatted (gofmt -w mends it):" >&2
	echo "$files" >&2
	return 1
}

# govulncheck fails alike for a hole that it found and for a database that it cannot reach; only
# the first is the tree's fault.
vulnerabilities() {
	output=$(go tool govulncheck ./... 2>&1) && return
	case $output in
	*"fetching vulnerabilities:"*) unknown="its database cannot be reached, so nothing was looked for" ;;
	*)
		echo "$output" >&2
		return 1
		;;
	esac
}

check gofmt formatted
check "go vet" go vet ./...
check staticcheck go tool staticcheck ./...
check govulncheck vulnerabilities
check "fobd without C" env CGO_ENABLED=0 go build -o /dev/null ./cmd/fobd
check archtest go test ./internal/archtest
exit $failed
