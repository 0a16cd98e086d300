# One command for developers and for CI alike. Each target installs what it lacks (scripts/setup).
# One target directory and one profile. Tests turn on features of some dependencies, so `make test` builds the processes
# together with them, once, instead of before them and then again.

.DEFAULT_GOAL := help
.PHONY: help demo test check advisories bench fuzz fmt build web image-qemu hwtest

CARGO ?= cargo
WEB := fleet-manager/web
# A short run of each belongs to `make test`; `make fuzz` is for the night.
FUZZ_SECONDS ?= 300

help: ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

demo: build web ## The whole platform on this machine, with a test stream: prints the links to open
	@scripts/setup lab
	@$(CARGO) run --quiet --locked --package nodi-lab --bin nodi-lab -- up --test-stream --port 8080 --dashboard-port 8081 --rtmp-port 1935

test: web ## All tests: Rust, documentation examples, pages, end to end, the box in a container, short runs of the fuzzers and of Schemathesis
	@scripts/setup build lab test
	$(CARGO) build --locked --workspace --bins --tests
	$(CARGO) nextest run --locked --workspace --no-fail-fast
	$(CARGO) test --locked --workspace --doc --quiet
	npm --prefix $(WEB) test
	scripts/fuzz 10
	fleet-manager/server/tests/schemathesis/run
	@scripts/setup image emulator hwtest
	hwtests/run --if-possible nspawn -m "not slow"
	hwtests/run --if-possible qemu tests/test_boot.py -m quick

check: ## Formatting, lints, licences, documentation, types: warnings are errors
	@scripts/setup build web check
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) deny --locked --log-level error check licenses bans sources
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items --quiet
	scripts/check-units
	scripts/check-image
	$${CARGO_TARGET_DIR:-target}/hwtests/venv/bin/ruff check --quiet --no-cache hwtests hwtests/run image/yocto
	scripts/check-yocto
	$${CARGO_TARGET_DIR:-target}/yocto/bin/python -B -m pytest -q -p no:cacheprovider image/yocto/checks/tests
	npm --prefix $(WEB) run check

advisories: ## Known vulnerabilities in what we depend on (needs the advisory database, so the network)
	@scripts/setup build check
	$(CARGO) deny --locked check advisories

bench: ## Our processes beside their peers on this machine, as tables (release build)
	@scripts/setup build web lab bench
	lab/bench/run

image-qemu: build ## The emulated box: a disk for QEMU, a root file system and a bundle, in target/image (needs root)
	@scripts/setup image emulator
	image/qemu/build all

hwtest: build ## The image in a container and on the emulated board: boots, sandboxes, streams, updates, power cuts (needs root)
	@scripts/setup lab image emulator hwtest
	hwtests/run nspawn
	hwtests/run qemu

fuzz: ## Every fuzz target and Schemathesis, FUZZ_SECONDS (300) each
	@scripts/setup build
	scripts/fuzz $(FUZZ_SECONDS)
	@scripts/setup test
	fleet-manager/server/tests/schemathesis/run $(FUZZ_SECONDS)

fmt: ## Format everything
	$(CARGO) fmt --all

# The lab starts the processes' binaries, which cargo builds only when it is asked for them.
build:
	@scripts/setup build
	$(CARGO) build --locked --workspace --bins

web:
	@scripts/setup web
	npm --prefix $(WEB) run --silent build
