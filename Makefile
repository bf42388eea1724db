# Earmark's entry points; the work itself is in scripts/. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: setup setup-tests setup-lite2 build learning demo test test-build wheel bench soak evidence ask-table fuzz lint docs install uninstall deb try-packages clean distclean help

INPUT ?= fixtures/kitchen.mp4
FUZZ_SECONDS ?= 3600
FUZZ_JOBS ?= 2
MINUTES ?= 60
OUTPUT ?=

PREFIX ?= /usr/local
DESTDIR ?=
export INPUT OUTPUT PREFIX DESTDIR V
export EARMARK_PYTHON ?= $(CURDIR)/models/built/venv/bin/python

# What compilers and package managers print goes to target/log; V=1 shows it.
setup: ## install what is missing: system packages, ONNX Runtime, models
	@scripts/setup.sh

setup-tests:
	@scripts/setup.sh tests

setup-lite2: ## install a second image encoder, for `earmark eval tokens --encoder models/optional/efficientnet-lite2.yaml`
	@scripts/setup.sh lite2

# The elements and what trains are compiled in one unit, where they run fastest. UNITS=16 compiles them in half of the time, for tests.
UNITS ?= 1
WORKSPACE = --release --workspace --locked --config profile.release.package.gst-plugin-earmark.codegen-units=$(UNITS)

# All of the workspace: fuzzing and tests switch on features of crates below, and everything would be compiled for them once more.
build: setup ## build target/release/earmark and target/release/libgstearmark.so; V=1 shows what the compiler says
	@scripts/step.sh build "compiling; only the first time takes minutes" \
		cargo build $(WORKSPACE)

# A workspace of its own: `make build` and `make demo` do not wait for it.
# LEARNING_FEATURES=wgpu or cuda: it trains on a graphics card.
LEARNING_FEATURES ?=
LEARNING = --config profile.release.package.earmark-learning.codegen-units=$(UNITS) --locked --manifest-path plugins/learning/Cargo.toml --target-dir $${CARGO_TARGET_DIR:-target}/learning --features '$(LEARNING_FEATURES)'

learning: ## build target/release/earmark-learning, which trains heads for `earmark learn` and `earmark eval tokens`
	@scripts/step.sh learning "compiling what trains; only the first time takes minutes" cargo build --release $(LEARNING)
	@mkdir -p $${CARGO_TARGET_DIR:-target}/release
	@cp -f $${CARGO_TARGET_DIR:-target}/learning/release/earmark-learning $${CARGO_TARGET_DIR:-target}/release/

demo: build ## extract features from INPUT=fixtures/kitchen.mp4 to OUTPUT=target/demo/<name>.h5, and a page to look at
	@scripts/demo.sh

# In release, so that demo and test share one build.
test: setup-tests build learning ## run every test
	cargo test --release $(LEARNING)
	cargo test $(WORKSPACE)

test-build: setup-tests build learning
	cargo test --release $(LEARNING) --no-run
	cargo test $(WORKSPACE) --no-run

wheel: setup-tests ## build the Python package into target/wheel
	cd python && $(EARMARK_PYTHON) -m flit_core.wheel --outdir $(CURDIR)/target/wheel

bench: build ## measure speed and memory beside other tools and the floor, for SECONDS_OF_VIDEO="600 3600"
	@$(EARMARK_PYTHON) scripts/bench.py $(SECONDS_OF_VIDEO)
	@$(EARMARK_PYTHON) scripts/bench_listen.py

soak: setup-tests build ## let two cameras play for MINUTES=60 and break one of them every minute; the report is in target/soak
	@$(EARMARK_PYTHON) scripts/soak.py --minutes $(MINUTES)

# Real sounds, a folder for each class, where there are some; else synthetic ones.
EVIDENCE_SOUNDS ?= target/evidence/sounds
EVIDENCE_CLIPS ?= 400
EVIDENCE_LONG ?= 40

evidence: build learning ## does listening pay? the protocol on EVIDENCE_CLIPS=400 synthetic recordings of 10 s and EVIDENCE_LONG=40 of 60 s, into target/evidence
	$(EARMARK_PYTHON) scripts/evidence.py make target/evidence/set --clips $(EVIDENCE_CLIPS) --long $(EVIDENCE_LONG) --sounds $(EVIDENCE_SOUNDS)
	$(EARMARK_PYTHON) scripts/evidence.py run target/evidence/set target/evidence/out

ask-table: setup-tests build ## make the guide's table of questions about recordings: accuracy by way of choosing frames, at equal tokens
	@scripts/ask_table.sh

fuzz: build ## feed spoilt input to everything that reads what others wrote, FUZZ_SECONDS=3600 a target, FUZZ_JOBS=2 targets at a time
	$${CARGO_TARGET_DIR:-target}/release/earmark-fuzz --seconds $(FUZZ_SECONDS) --jobs $(FUZZ_JOBS)

# In release: build scripts and macros are compiled once for this and for the build.
lint: setup ## check formatting, lints, documentation, and the crates against deny.toml
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets --locked -- -D warnings
	cargo fmt --manifest-path plugins/learning/Cargo.toml --check
	cargo clippy --release $(LEARNING) --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --release --workspace --no-deps --locked
	@scripts/deny.sh

# What `make docs` builds the guide with; it is compiled once, without optimisation: a book takes it a second all the same.
MDBOOK := target/tools/bin/mdbook

docs: $(MDBOOK) ## build the guide into target/guide
	$(MDBOOK) build docs

$(MDBOOK):
	@CARGO_PROFILE_DEV_DEBUG=0 scripts/step.sh mdbook "compiling what builds the guide, once" \
		cargo install mdbook --version 0.5.4 --locked --debug --no-default-features --root target/tools

install: ## install what `make build` made under PREFIX=/usr/local and nowhere else, DESTDIR is honoured; PLUGIN_LINK=yes links the plugin where GStreamer looks
	@scripts/install.sh install

uninstall: ## remove exactly what `make install` put under PREFIX
	@scripts/install.sh uninstall

deb: build ## make target/debian/earmark_*.deb; needs cargo-deb
	@scripts/deb.sh

try-packages: deb ## install, run and remove the Debian package, and run the container's steps, in clean Debian trees; needs root and debootstrap
	@scripts/try_packages.sh deb
	@scripts/try_packages.sh container

clean: ## remove what the build made (target/)
	rm -rf target fixtures/build

distclean: clean ## remove what the set-up fetched too (models/built/)
	rm -rf models/built

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
