#!/usr/bin/env bash
# Draws the pictures of the guide anew: the shipped recording at three budgets, and its page in a browser (needs chromium). After `make demo`.
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
"$earmark" run pipelines/sharp.yaml --input fixtures/kitchen.mp4 --output "$work/sharp.h5" --thumbnails --quiet
"$earmark" run pipelines/uniform.yaml --input fixtures/kitchen.mp4 --output "$work/uniform.h5" --quiet
"${EARMARK_PYTHON:-models/built/venv/bin/python}" tests/browser.py "$earmark" "$work" "$work/sharp.h5" "$work/uniform.h5" \
  fixtures/kitchen.mp4 fixtures/kitchen.labels.csv --pictures "$work/page"
for name in dark narrow zoom-10s zoom-1s zoom-all; do cp "$work/page/$name.png" tests/pictures/; done
cp tests/pictures/zoom-all.png "$pictures/report.png"
