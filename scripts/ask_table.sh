#!/usr/bin/env bash
# Makes recordings with print in them, and the guide's table of how well frames are chosen for questions about them: target/ask/.
#   scripts/ask_table.sh [RECORDINGS=24]
# The answers come from tests/answerer.py, which reads the frames with tesseract. What was asked once is not asked again.
set -euo pipefail
cd "$(dirname "$0")/.."

recordings=${1:-24}
python=${EARMARK_PYTHON:-models/built/venv/bin/python}
earmark=${CARGO_TARGET_DIR:-target}/release/earmark
out=${CARGO_TARGET_DIR:-target}/ask
say() { printf 'ask-table: %s\n' "$*" >&2; }
command -v tesseract >/dev/null || { say "tesseract is missing: scripts/setup.sh tests installs it"; exit 1; }

mkdir -p "$out/plans"
if [ "$(cat "$out/made" 2>/dev/null)" != "$recordings $(sha256sum tests/printed.py)" ]; then
  say "making $recordings recordings"
  "$python" tests/printed.py "$out" --recordings "$recordings"
  rm -f "$out"/plans/*
  for video in "$out"/videos/*.mp4; do
    name=$(basename "$video" .mp4)
    "$earmark" plan pipelines/gated.yaml --quiet --input "$video" --output "$out/plans/$name.jsonl" >/dev/null
  done
  echo "$recordings $(sha256sum tests/printed.py)" >"$out/made"
fi

coproc ANSWERER { exec "$python" tests/answerer.py; }
trap 'kill "$ANSWERER_PID" 2>/dev/null || true' EXIT
read -r _ port <&"${ANSWERER[0]}"

table() { # table NAME ARGUMENTS...
  say "$1"
  "$earmark" eval qa --questions "$out/questions.jsonl" --features "$out/plans" --videos "$out/videos" --half held-out \
    --endpoint "http://127.0.0.1:$port/v1" --model tests/answerer.py --calls "$out/calls" --answers "$out/$1.jsonl" "${@:2}" | tee "$out/$1.txt"
}
# What is asked of the strategies: the same tokens for all, four frames at 448 px.
table equal
# And how many tokens uniform needs.
table more --sampling uniform,matched --prompt plain,sound --tokens 784,3136,6272,25088
# Sixteen times the frames at 112 px: they cost the same, and nobody can read them.
table low --sampling uniform,matched --prompt plain --tokens 3136 --tier low
say "the tables are in $out"
