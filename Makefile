# Fob's targets; `make help` lists them. `make demo` and `make test` work on a bare Debian with Go on
# PATH: they install what they need and lack (packaging/build/deps.sh).

PREFIX ?= /usr/local
DESTDIR ?=
FUZZTIME ?= 10s
# What `go test` gets beside -race; CI never takes yesterday's answer.
TESTFLAGS ?= $(if $(CI),-count=1)

bindir = $(PREFIX)/bin
libexecdir = $(PREFIX)/libexec/fob
datadir = $(PREFIX)/share
unitdir = $(PREFIX)/lib/systemd/user
systemunitdir = $(PREFIX)/lib/systemd/system

# A tree without git, or one that git refuses, builds all the same; it only knows its version less well.
ifneq ($(shell git rev-parse HEAD >/dev/null 2>&1 && echo yes),yes)
export GOFLAGS := $(GOFLAGS) -buildvcs=false
endif

deps = sh packaging/build/deps.sh

.DEFAULT_GOAL := help
.PHONY: help build demo test lint fuzz bench fresh install clean go

help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' Makefile | while IFS="$$(printf '\t')" read -r t d; do printf '  make %-9s %s\n' "$$t" "$$d"; done

build: go ## build the programs into bin/
	@$(deps) build
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/fobd ./cmd/fob ./cmd/fob-virtual
	CGO_ENABLED=1 go build -trimpath -o bin/ ./cmd/fob-helper

demo: go ## show a sign-in from start to end; KEY=1 uses a key that is plugged in
	@$(deps) build demo
	@sh packaging/build/vpcd.sh
	@$(MAKE) --no-print-directory build
	@KEY='$(KEY)' bash packaging/demo/demo.sh

test: go ## run every test, with the race detector
	@$(deps) build test
	@sh packaging/build/vpcd.sh
	go test $(TESTFLAGS) ./internal/provision/qr # in full: the race detector takes ten times as long with pictures
	go test -race $(TESTFLAGS) $$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...)

lint: go ## gofmt, go vet, staticcheck, govulncheck and the architecture tests
	@$(deps) build
	@sh packaging/build/lint.sh

fuzz: go ## fuzz each target for FUZZTIME (10s)
	@$(deps) build
	@FUZZTIME='$(FUZZTIME)' sh packaging/build/fuzz.sh

bench: go ## measure against the budgets; JSON=FILE writes the rows there too, STRICT=1 fails on a miss
	@$(deps) build test bench
	@sh packaging/build/vpcd.sh
	@$(MAKE) --no-print-directory build
	go run ./internal/bench -bin bin $(if $(JSON),-json '$(JSON)') $(if $(STRICT),-strict)

fresh: go ## prove demo and test in bare Debian 12 chroots (root, mmdebstrap, minutes); TARGETS=test for one
	@sh packaging/build/fresh.sh $(TARGETS)

install: ## install what make build built below DESTDIR and PREFIX (/usr/local)
	@[ -x bin/fobd ] || { echo "fob: there is nothing to install yet: run make build first" >&2; exit 1; }
	install -D -m 755 -t $(DESTDIR)$(bindir) bin/fobd bin/fob
	install -D -m 755 -t $(DESTDIR)$(libexecdir) bin/fob-helper
	install -D -m 644 -t $(DESTDIR)$(datadir)/dbus-1/interfaces packaging/dbus/io.github.fobproject.Fob1.xml
	install -d $(DESTDIR)$(datadir)/dbus-1/services $(DESTDIR)$(unitdir)
	sed 's,/usr/bin/,$(bindir)/,' packaging/dbus/io.github.fobproject.Fob1.service >$(DESTDIR)$(datadir)/dbus-1/services/io.github.fobproject.Fob1.service
	sed 's,/usr/bin/,$(bindir)/,' packaging/systemd/fobd-user.service >$(DESTDIR)$(unitdir)/fobd.service
	install -d $(DESTDIR)$(systemunitdir)
	sed 's,/usr/bin/,$(bindir)/,' packaging/systemd/fobd.service >$(DESTDIR)$(systemunitdir)/fobd.service
	install -D -m 644 packaging/sysusers/fob.sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/fob.conf
	install -D -m 644 -t $(DESTDIR)$(datadir)/dbus-1/system.d packaging/dbus/io.github.fobproject.Fob1.conf
	install -D -m 644 -t $(DESTDIR)$(datadir)/polkit-1/actions packaging/polkit/io.github.fobproject.fob.policy
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/udev/rules.d packaging/udev/70-fob.rules
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/systemd/catalog packaging/journal/fob.catalog

clean: ## remove what the other targets made
	rm -rf bin dist

go:
	@command -v go >/dev/null || { echo "fob: Go is not on PATH: install Go 1.21 or newer, it fetches the version that go.mod names by itself" >&2; exit 1; }
