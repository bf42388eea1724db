#!/usr/bin/env bash
# Draws the pictures of the guide anew: the shipped recording at three budgets, and what tests/browser.py saw of its page. After `make demo`.
set -euo pipefail
cd "$(dirname "$0")/.."
earmark=${CARGO_TARGET_DIR:-target}/release/earmark
pictures=docs/src/pictures
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for tokens in 49 98 196; do
  sed -E "s/^  tokens_per_s: [0-9]+/  tokens_per_s: $tokens/; s/^  max_gap_ms: [0-9]+/  max_gap_ms: 10000/" pipelines/sharp.yaml >"$work/$tokens.yaml"
  grep -q "tokens_per_s: $tokens " "$work/$tokens.yaml" && grep -q 'max_gap_ms: 10000 ' "$work/$tokens.yaml" ||
    { echo "pictures: pipelines/sharp.yaml no longer says tokens_per_s and max_gap_ms in a line each" >&2; exit 1; }
  "$earmark" run "$work/$tokens.yaml" --input fixtures/kitchen.mp4 --output "$work/$tokens.h5" --quiet
  "$earmark" plot "$work/$tokens.h5" --labels fixtures/kitchen.labels.csv --width 900 --output "$pictures/budget-$tokens.svg" --overwrite
done
cp tests/pictures/zoom-all.png "$pictures/report.png"
