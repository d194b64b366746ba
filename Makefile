# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A user needs `make demo`, a developer `make check` and `make test`; `make help` lists the rest.
# Everything runs as an ordinary user except what needs BPF, which says so.

SHELL := /bin/sh
CARGO ?= cargo

.PHONY: help setup setup-demo build release install uninstall deb dist packages demo check test lint lint-without-sql advisories analyzer notebooks readers spark docs book man golden guest guest-arm64 guest-causes guest-drops big-endian permissions coverage fuzz clangs debian bench clean

help: ## show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: ## install what building and testing need (Debian, as root)
	sh scripts/setup.sh test

# Without browser, emulator, Java and the other programs that only tests run.
setup-demo:
	sh scripts/setup.sh demo

build: ## both programs, debug, without polars
	$(CARGO) build --no-default-features --features record

# The commit of --version. cargo takes it from here without building anything again but the programs.
REVISION = $(shell git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null)

release: ## both programs, optimised, without polars: a few minutes
	$(if $(REVISION),ESTATS_REVISION=$(REVISION)) $(CARGO) build --release --no-default-features --features record

# Programs that are built. The targets below build nothing, so root builds nothing.
TARGET = $(or $(CARGO_TARGET_DIR),target)
PROGRAMS = $(TARGET)/release
PREFIX = /usr/local

install: ## what make release built, with man pages, completions and documents (PREFIX=/usr/local, DESTDIR)
	DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" sh scripts/install.sh $(PROGRAMS)

uninstall: ## remove what make install installed
	DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" sh scripts/install.sh $(PROGRAMS) remove

deb: ## a Debian package of what make release built, into target/dist (PROGRAMS=DIR: of others)
	sh scripts/deb.sh $(PROGRAMS) $(TARGET)/dist

dist: ## a tar file of what make release built, with licences and an SBOM, into target/dist
	sh scripts/dist.sh $(PROGRAMS) $(TARGET)/dist

# With the programs of tests: CI has no optimised ones.
packages: ## try install, deb and dist, and the package in clean roots (RELEASE="bookworm trixie", as root); builds nothing
	PROGRAMS=$(or $(TRIED),$(TARGET)/debug) sh scripts/packages.sh $(RELEASE)

demo: setup-demo ## record an iperf3 transfer between two network namespaces and show the result
	sh scripts/demo.sh

# With polars one test program is built, of which these modules run. query needs polars. golden, import and captures
# are run again, because polars turns on features of libraries that replay uses too. dependencies reads the licences of
# all packages, which are all downloaded only for this build.
WITHOUT_SQL = --no-default-features --features record
WITH_SQL = --all-features --test offline
# clippy is the compiler of this build, so what is built with polars is linted. cargo clippy would compile polars'
# packages once more, only to check types.
LINTED = RUSTC_WORKSPACE_WRAPPER=clippy-driver CLIPPY_ARGS=-Dwarnings
POLARS_MODULES = query:: golden:: import:: captures:: dependencies::

# Links of the documentation lead somewhere.
DOCUMENTED = RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" $(CARGO) doc --no-deps --document-private-items $(WITHOUT_SQL)

# Every cut and every octet of a recording, each replayed: more than 100 s of CPU time. make test runs them.
EXHAUSTIVE = whole::every_truncation whole::flipped_bytes whole::every_file_removed_and_every_two_exchanged

check: ## format, lints, units, golden tables and documents: without root, network, guests and polars
	$(CARGO) fmt --check
	clang-format --dry-run -Werror bpf/*.c bpf/*.h
	sh scripts/check-text.sh
	$(CARGO) clippy --all-targets $(WITHOUT_SQL) -- -D warnings
	$(DOCUMENTED)
	$(CARGO) test $(WITHOUT_SQL) --lib --bins --test offline -- $(addprefix --skip ,$(EXHAUSTIVE))
	$(CARGO) test $(WITHOUT_SQL) --doc

test: setup lint-without-sql ## all tests; the live ones need root and BPF and say so
	$(LINTED) $(CARGO) test $(WITH_SQL) --no-fail-fast -- $(POLARS_MODULES)
	$(CARGO) test $(WITHOUT_SQL) --no-fail-fast
	$(MAKE) packages RELEASE=bookworm
	$(MAKE) notebooks readers spark

# With the features of the tests of SQL, or polars would be built once more.
analyzer: setup
	$(LINTED) $(CARGO) test $(WITH_SQL) --no-run

ANALYZE = $(or $(CARGO_TARGET_DIR),target)/debug/estats-analyze

notebooks: analyzer ## run the notebooks and every snippet of the README and the manual, with the Python packages they pin
	sh scripts/notebooks.sh $(ANALYZE)

readers: analyzer ## open the tables and the log in polars, pandas, DuckDB, DataFusion, ClickHouse and pyarrow; the Python package
	sh scripts/readers.sh $(ANALYZE)

spark: analyzer ## recordings of several hosts through Apache Spark (456 MB to download; ESTATS_SPARK=0 leaves it out)
	sh scripts/spark.sh $(ANALYZE)

lint: lint-without-sql ## formatting, clippy with all features, and that estats-analyze builds without clang and libbpf
	$(CARGO) clippy --all-targets --all-features -- -D warnings

lint-without-sql:
	$(CARGO) fmt --check
	clang-format --dry-run -Werror bpf/*.c bpf/*.h
	$(CARGO) clippy --all-targets $(WITHOUT_SQL) -- -D warnings
	$(CARGO) check --no-default-features
	$(DOCUMENTED)
	sh scripts/check-text.sh

advisories: ## what RustSec knows against the packages in use; needs cargo-deny (cargo install cargo-deny)
	$(CARGO) deny --all-features check advisories

docs: ## renew the generated documents (docs/variables.md, tables.md, sockets.md, validation.md)
	BLESS=1 $(CARGO) test $(WITHOUT_SQL) --test offline -- docs:: reference::

# Its structure and its links are tested without it (tests/offline/docs/pages.rs), so only this command needs mdBook.
MDBOOK = $(or $(CARGO_TARGET_DIR),target)/mdbook

book: ## the manual (docs/) as HTML in target/book; installs mdBook into target/mdbook, some minutes, the first time
	[ -x $(MDBOOK)/bin/mdbook ] || CARGO_TARGET_DIR=$(MDBOOK)/target $(CARGO) install mdbook --version 0.5.4 --locked --no-default-features --features search --root $(MDBOOK)
	sh scripts/book.sh $(MDBOOK)/bin/mdbook

man: ## man pages of both programs, from their flags, into target/man
	$(CARGO) run -q --no-default-features --features record --bin estats-analyze -- man target/man
	$(CARGO) run -q --no-default-features --features record --bin estats-record -- man target/man

golden: ## renew the expected tables of the golden tests, on purpose
	BLESS=1 $(CARGO) test $(WITHOUT_SQL) --test offline -- golden::

guest: ## the guest tests alone, or of one kernel: make guest KERNEL=6.12, KERNEL=newest
	$(CARGO) test --no-default-features --features record --test guest $(if $(KERNEL),linux_$(subst .,_,$(KERNEL)) -- --exact --nocapture)

guest-causes: ## the tests of docs/limits.md in a guest with hooks on functions (KERNEL="6.12 6.18")
	sh scripts/guest/suite.sh live causes:: $(KERNEL)

guest-drops: ## the tests of dropped packets in such a guest, also those that change a setting of the whole kernel
	sh scripts/guest/suite.sh record drops:: $(KERNEL)

fuzz: ## the fuzz targets, one minute each (FUZZ=wire: one of them); the first build takes some minutes
	sh scripts/fuzz.sh 60 $(FUZZ)

permissions: ## renew docs/permissions.md and testdata/sock_diag from what the guests' kernels say
	BLESS=1 $(CARGO) test --no-default-features --features record --test guest -- --include-ignored --exact permissions_document sock_diag_messages
	BLESS=1 $(CARGO) test $(WITHOUT_SQL) --test offline -- sock_diag::

guest-arm64: ## the guest tests on arm64 kernels, emulated (KERNEL="6.12 6.18"); BLESS=1 renews the table of docs/arm64.md
	sh scripts/guest/arm64.sh $(KERNEL)

big-endian: ## that estats-analyze says on a big-endian machine (s390x, emulated) that it does not work there
	sh scripts/guest/big-endian.sh

coverage: ## renew docs/coverage.md from what the guests' kernels say
	BLESS=1 $(CARGO) test --no-default-features --features record --test guest coverage_document

clangs: setup ## renew docs/compilers.md: the BPF objects of every clang of Debian in guests (CLANGS="19 23" tries these)
	sh scripts/clang/matrix.sh $(CLANGS)

debian: ## make demo, the tests that need no guest, and the package, in roots of a Debian release (RELEASE=trixie), as root
	sh scripts/distribution.sh $(or $(RELEASE),trixie)
	$(MAKE) packages RELEASE=$(or $(RELEASE),trixie)

bench: release ## the benchmarks of docs/benchmarks.md: ratios against peers, about ten minutes
	sh bench/run.sh

clean: ## remove what was built
	$(CARGO) clean
