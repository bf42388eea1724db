#!/usr/bin/env bash
# Runs the main job on one recording: INPUT (the shipped kitchen scene) to OUTPUT (target/demo/<name>.h5).
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$here/target}

input=${INPUT:-$here/fixtures/kitchen.mp4}
name=$(basename "${input%.*}")
output=${OUTPUT:-$target/demo/$name.h5}
mkdir -p "$(dirname "$output")"
exec "$target/release/earmark" run "$here/pipelines/gated.yaml" --input "$input" --output "$output" --overwrite --thumbnails
