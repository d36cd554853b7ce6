# kprop: build, test and install. "make" alone lists the targets.

PREFIX     ?= /usr/local
SBINDIR    ?= $(PREFIX)/sbin
MANDIR     ?= $(PREFIX)/share/man
UNITDIR    ?= $(PREFIX)/lib/systemd/system
DOCDIR     ?= $(PREFIX)/share/doc/kprop
DESTDIR    ?=

GO          ?= go
FUZZTIME    ?= 10s
TESTTIMEOUT ?= 20m
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
VULNDB      := https://vuln.go.dev

.DEFAULT_GOAL := help
.PHONY: help deps testdeps build test lint fuzz torture bench demo install

help: ## list the targets
	@echo "usage: make TARGET [VARIABLE=value ...]"
	@echo
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' Makefile | while IFS="$$(printf '\t')" read -r t text; do \
		printf '  %-8s %s\n' "$$t" "$$text"; done

deps: ## install the MIT Kerberos programs, where missing (Debian, as root)
	@.ci/deps

testdeps: ## install all programs that the tests need, where missing (Debian, as root)
	@.ci/deps xinetd faketime tmux ip chromium systemd-analyze ssh sshd

build: ## build the programs, static, into bin/
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/...

test: testdeps ## run all tests, also those against the MIT programs (TESTTIMEOUT=20m)
	KPROP_REQUIRE_MIT=1 $(GO) test -count=1 -timeout $(TESTTIMEOUT) ./...

lint: ## check format, suspicious code and known vulnerabilities
	@bad=$$(gofmt -l $$(find . -name '*.go' -not -path './bin/*')); \
		if [ -n "$$bad" ]; then echo "not formatted, run gofmt -w on:"; echo "$$bad"; exit 1; fi
	@$(GO) vet ./...
	@$(GO) run $(STATICCHECK) ./...
	@if curl -fsS -o /dev/null --max-time 10 $(VULNDB)/index/db.json 2>/dev/null; \
		then $(GO) run $(GOVULNCHECK) ./...; \
		else echo "lint: $(VULNDB) cannot be reached, known vulnerabilities not checked"; fi
	@echo "lint: ok"

fuzz: ## run every fuzz target for FUZZTIME=10s each
	@GO="$(GO)" .ci/fuzz "$(FUZZTIME)"

torture: testdeps ## propagate under more than 2000 faults while a KDC is asked; some minutes
	@# Where no package is named, go test prints the tally also of a success.
	cd cmd/kpropd && KPROP_REQUIRE_MIT=1 $(GO) test -count=1 -timeout 60m -run '^TestTorture' -args -torture
	cd cmd/kprop && KPROP_REQUIRE_MIT=1 $(GO) test -count=1 -timeout 60m -run '^TestTortureLoad' -v -args -torture

bench: build ## measure against the MIT programs and rsync (BENCH="-only krdist -files 5000 -mib 100")
	@.ci/deps rsync gnuplot
	@$(GO) run ./internal/krbtest/bench $(BENCH)

demo: deps build ## propagate a throw-away realm on this machine and show what happens
	@$(GO) run ./internal/krbtest/demo

install: ## install what "make build" made, man pages, units, pages and samples (DESTDIR, PREFIX)
	@DESTDIR="$(DESTDIR)" SBINDIR="$(SBINDIR)" MANDIR="$(MANDIR)" UNITDIR="$(UNITDIR)" EXAMPLEDIR="$(DOCDIR)/examples" .ci/install
