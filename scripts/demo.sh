#!/usr/bin/env bash
# Runs the main job on one recording, INPUT (the shipped kitchen scene) to OUTPUT (target/demo/<name>.h5), and makes a page of it.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$here/target}

input=${INPUT:-$here/fixtures/kitchen.mp4}
name=$(basename "${input%.*}")
output=${OUTPUT:-$target/demo/$name.h5}
mkdir -p "$(dirname "$output")"
echo "demo      listening to $input, then taking frames where it pays" >&2
"$target/release/earmark" run "$here/pipelines/gated.yaml" --input "$input" --output "$output" --overwrite --thumbnails

labels=()
[ ! -f "${input%.*}.labels.csv" ] || labels=(--labels "${input%.*}.labels.csv")
"$target/release/earmark" report "$output" --video "$input" "${labels[@]}" --time-decoding --output "${output%.h5}.html" --overwrite
echo "demo      the features are in ${output#"$PWD"/}, a page to look at in ${output%.h5}.html" >&2
command=${target#"$PWD"/}/release/earmark
echo "demo      next: open that page; '$command inspect ${output#"$PWD"/}' tells the rest, '$command --help' what else there is" >&2
