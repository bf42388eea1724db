#!/usr/bin/env bash
# Makes target/debian/earmark_VERSION_ARCH.deb of what `make build` built, with completions and man pages.
set -euo pipefail
cd "$(dirname "$0")/.."

TARGET=${CARGO_TARGET_DIR:-target}/release
fail() { printf 'deb: %s\n' "$*" >&2; exit 1; }
command -v cargo-deb >/dev/null || fail "cargo-deb is missing: cargo install cargo-deb --locked"
[ -x "$TARGET/earmark" ] || fail "$TARGET/earmark is missing: run 'make build' first"

# As `make install` lays them out; [package.metadata.deb] in Cargo.toml takes them from here.
made=target/package
rm -rf "$made"
mkdir -p "$made/completions" "$made/man"
"$TARGET/earmark" completions bash >"$made/completions/earmark"
"$TARGET/earmark" completions zsh >"$made/completions/_earmark"
"$TARGET/earmark" completions fish >"$made/completions/earmark.fish"
"$TARGET/earmark" man --output "$made/man" --quiet
variant=()
[ "$(dpkg --print-architecture)" = arm64 ] && variant=(--variant arm64)
cargo deb --no-build --no-strip "${variant[@]}"
