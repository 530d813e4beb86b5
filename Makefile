# Needs Go, git and make. What else a target needs, its line says.

PREFIX     ?= /usr/local
UNITDIR    ?= $(PREFIX)/lib/systemd/system
SYSUSERS   ?= $(PREFIX)/lib/sysusers.d
FUZZTIME   ?= 20s
SOAK       ?= 1m
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# What is built from one commit is the same whenever that is: its dates are the commit's.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)
BIN        := bin/vinfer-sync
UNITS      := vinfer-sync.service vinfer-sync@.service vinfer-sync-backfill@.service
GO         ?= go
# What runs tests; the gate puts a program in its place that also notes how long each took.
GOTEST     ?= $(GO) test
# Most tests wait rather than work: for a disk, for a program, for a time that a server names. So more run at a time than there are processors.
TESTFLAGS  ?= -p 4 -parallel 8 -timeout 20m
# Tests wait for the disk at each small file; in memory that costs nothing, where there is room and programs may be run. A killed process
# leaves the same there. Go's own files stay where they are.
MEMORY     := $(shell [ "$$(df --output=avail /dev/shm 2>/dev/null | tail -n 1)" -gt 4000000 ] 2>/dev/null && ! grep -q '^[^ ]* /dev/shm [^ ]* [^ ]*noexec' /proc/mounts && echo /dev/shm)
ifneq ($(MEMORY),)
test race test-programs: export GOTMPDIR := $(or $(TMPDIR),/tmp)
test race test-programs: export TMPDIR := $(MEMORY)
endif
# Those of real programs. What a program does is the same whether the test around it has the race detector or not.
PROGRAMS   := ^TestProgram(Killed|Lag)?$$
# Those in which a daemon does several things at a time.
DAEMONS    := ^Test(Alerts|AStopInTheMiddle|ABackfillIsCancelled|BackfillGoesOn|BadConfiguration|CommandsBeside|KeysAreRotated|OnceBeside|Reload)

# Without cgo the binary is static and runs on any Linux; without a build id and paths it is the same wherever it is built.
GOBUILD := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '-s -w -buildid= -X main.version=$(VERSION)'

.DEFAULT_GOAL := help
.PHONY: help security build man demo test test-programs test-external test-browser race lint fmt fuzz bench soak packages release test-release test-systemd check-units check-man check-rules install uninstall clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/vinfer-sync, static
	$(GOBUILD) -o $(BIN) ./cmd/vinfer-sync

man: ## write the manual page, dist/man/vinfer-sync.1
	@mkdir -p dist/man
	SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) CGO_ENABLED=0 GOOS= GOARCH= $(GO) run -trimpath -ldflags '-X main.version=$(VERSION)' ./cmd/vinfer-sync man > dist/man/vinfer-sync.1.new
	@mv dist/man/vinfer-sync.1.new dist/man/vinfer-sync.1

demo: build ## show it at work: made-up calls into a database, no account needed
	./$(BIN) demo --once

test: ## run the tests (two minutes)
	CGO_ENABLED=0 $(GOTEST) $(TESTFLAGS) ./...

test-external: ## run the tests that need more than Go: PostgreSQL, pgbouncer and MariaDB, which they start themselves, python3 and strace
	CGO_ENABLED=0 $(GO) test -p 1 -tags external ./crm/postgres ./crm/mysql ./crm/exec ./alert ./store/postgres
	CGO_ENABLED=0 $(GO) test -tags external -run 'Order|Sick|Late|Lease|Plan|Unfinished|Transcript|Disposition|Refused|Backfill' ./sync
	CGO_ENABLED=0 $(GO) test -tags external -run 'Databases|Connections|Nodes|Migrate' ./cmd/vinfer-sync

test-browser: ## look at the dashboard in a browser (needs chromium); SCREENSHOTS=DIR keeps pictures
	CGO_ENABLED=0 $(GO) test -count=1 -tags browser -run Browser ./admin

race: ## run the tests of packages under the race detector, and those of the daemon (needs gcc)
	CGO_ENABLED=1 $(GOTEST) -race -timeout 40m -skip '$(PROGRAMS)' $$($(GO) list ./... | grep -v '/cmd/')
	CGO_ENABLED=1 $(GOTEST) -race -timeout 40m -run '$(DAEMONS)' ./cmd/vinfer-sync

test-programs: ## run the tests of programs: commands, daemons, kills, each destination's way from check to sync
	CGO_ENABLED=0 $(GOTEST) $(TESTFLAGS) ./cmd/...
	CGO_ENABLED=0 $(GOTEST) $(TESTFLAGS) -run '$(PROGRAMS)' ./alert ./crm/...

lint: ## look for faults of style and sense (needs golangci-lint v2)
	golangci-lint run

fmt: ## format the code (needs golangci-lint v2)
	golangci-lint fmt

# One target at a time: go test takes no more. Input that is only interesting is not minimised for long; a failure still is.
fuzz: ## fuzz every fuzz target for FUZZTIME (20s), or so often (50000x)
	@set -e; grep -rlE '^func Fuzz' --include='*_test.go' . | sort | while read -r file; do \
		sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$$file" | while read -r target; do \
			echo "$$(dirname "$$file") $$target"; \
			CGO_ENABLED=0 $(GO) test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZTIME) -fuzzminimizetime=20x "$$(dirname "$$file")"; \
		done; \
	done

bench: ## run the benchmarks; BENCH_CALLS=1000000 for a past of a million calls (50,000)
	CGO_ENABLED=0 $(GO) test -run='^$$' -bench=. -benchtime=1x -timeout 4h ./bench

soak: ## let everything go wrong for SOAK (1m): nothing may be lost, doubled or leak
	CGO_ENABLED=0 $(GO) test -count=1 -tags soak -timeout 0 -parallel 4 -v ./soak -soak $(SOAK)

packages: ## build the deb, rpm and apk packages into dist, with SHA256SUMS (git; the first time it builds nfpm)
	packaging/build dist

release: ## build all of a release into dist: packages, tarballs, container image, bill of materials, SHA256SUMS (git and buildah); MINISIGN_KEY=FILE signs it
	FORMATS='deb rpm apk tar image sbom' packaging/build dist

# What these two unpack goes even where they are stopped: a whole system lies there.
test-release: release ## install, upgrade, remove and run all of a release, from its files alone (needs root, mmdebstrap, rpm, podman, runc, qemu-user-static and minisign)
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && trap 'exit 1' INT TERM && TMPDIR="$$dir" CGO_ENABLED=0 $(GO) test -count=1 -timeout 20m -tags packages ./packaging

test-systemd: ## boot a Debian system and run the service on it, installation to purge (needs root, mmdebstrap and systemd-nspawn)
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && trap 'exit 1' INT TERM && TMPDIR="$$dir" CGO_ENABLED=0 $(GO) test -count=1 -timeout 20m -v -tags systemd ./packaging

security: ## verify the modules, look for known weaknesses in them, and for secrets in the tree and in all commits (the first time it builds tools)
	.ci/security

# verify wants the program of ExecStart to exist, so the units are looked at with the one just built. It only warns of
# most faults: whatever it says is one.
check-units: build ## check the systemd units and their sandbox (needs systemd's tools)
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	for unit in $(UNITS); do \
		sed 's|/usr/bin/vinfer-sync|$(CURDIR)/$(BIN)|' "systemd/$$unit" > "$$dir/$$unit"; \
		systemd-analyze security --offline=true --threshold=15 --no-pager "$$dir/$$unit" > "$$dir/report" || { cat "$$dir/report"; exit 1; }; \
		tail -n 1 "$$dir/report"; \
	done; \
	systemd-analyze verify --man=no --recursive-errors=no "$$dir/vinfer-sync.service" "$$dir/vinfer-sync@sales.service" "$$dir/vinfer-sync-backfill@2026-01-01.service" > "$$dir/report" 2>&1 || { cat "$$dir/report"; exit 1; }; \
	if [ -s "$$dir/report" ]; then cat "$$dir/report"; exit 1; fi; \
	systemd-sysusers --dry-run '$(CURDIR)/systemd/vinfer-sync.sysusers'

check-man: man ## check the manual page (needs mandoc)
	mandoc -T lint dist/man/vinfer-sync.1

check-rules: ## check and test the alerting rules in contrib (needs promtool)
	promtool check rules contrib/prometheus-rules.yaml
	promtool test rules contrib/prometheus-rules_test.yaml

$(BIN):
	$(MAKE) build

install: $(BIN) ## install the program, units and example below DESTDIR and PREFIX (/usr/local)
	install -d '$(DESTDIR)/etc/vinfer-sync'
	install -D -m 0755 $(BIN) '$(DESTDIR)$(PREFIX)/bin/vinfer-sync'
	install -D -m 0644 config.example.yaml '$(DESTDIR)$(PREFIX)/share/doc/vinfer-sync/config.example.yaml'
	install -D -m 0644 systemd/vinfer-sync.sysusers '$(DESTDIR)$(SYSUSERS)/vinfer-sync.conf'
	install -d '$(DESTDIR)$(PREFIX)/share/man/man1'
	SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) $(BIN) man > '$(DESTDIR)$(PREFIX)/share/man/man1/vinfer-sync.1'
	install -d '$(DESTDIR)$(UNITDIR)'
	for unit in $(UNITS); do \
		sed 's|/usr/bin/vinfer-sync|$(PREFIX)/bin/vinfer-sync|' "systemd/$$unit" > "$(DESTDIR)$(UNITDIR)/$$unit" || exit 1; \
		chmod 0644 "$(DESTDIR)$(UNITDIR)/$$unit"; \
	done
	@echo 'Next: write /etc/vinfer-sync/config.yaml, then: systemd-sysusers && systemctl daemon-reload && systemctl enable --now vinfer-sync'

uninstall: ## remove what install put there; configuration and state stay
	rm -f '$(DESTDIR)$(PREFIX)/bin/vinfer-sync' '$(DESTDIR)$(PREFIX)/share/man/man1/vinfer-sync.1' '$(DESTDIR)$(SYSUSERS)/vinfer-sync.conf'
	rm -f '$(DESTDIR)$(UNITDIR)/vinfer-sync.service' '$(DESTDIR)$(UNITDIR)/vinfer-sync@.service' '$(DESTDIR)$(UNITDIR)/vinfer-sync-backfill@.service'
	rm -rf '$(DESTDIR)$(PREFIX)/share/doc/vinfer-sync'

clean: ## remove what was built
	rm -rf bin dist
