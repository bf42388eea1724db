#!/usr/bin/env bash
# Checks the crates against deny.toml: licences, duplicates, where they come from; and against the advisory database, if it can be downloaded.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'deny: %s\n' "$*" >&2; }

VERSION=0.20.2
tools=${CARGO_TARGET_DIR:-target}/tools
deny=$tools/bin/cargo-deny
if [ "$("$deny" --version 2>/dev/null)" != "cargo-deny $VERSION" ]; then
  say "building cargo-deny $VERSION into $tools, once"
  # Without optimisation: it is built in a third of the time, and checks in a second.
  if ! CARGO_PROFILE_DEV_DEBUG=0 timeout 900 cargo install --quiet --locked --debug --version "$VERSION" --root "$tools" cargo-deny; then
    say "SKIPPED: cargo-deny $VERSION can't be built here, so nobody has looked at licences, duplicates and sources"
    exit 0
  fi
fi

"$deny" --locked check licenses bans sources
"$deny" --locked --manifest-path plugins/learning/Cargo.toml --config plugins/learning/deny.toml check licenses bans sources
if timeout 120 "$deny" fetch db >/dev/null 2>&1; then
  "$deny" --locked check --disable-fetch advisories
else
  say "SKIPPED: the advisory database (https://github.com/RustSec/advisory-db) cannot be downloaded here, so unmaintained and vulnerable crates go unnoticed"
fi
